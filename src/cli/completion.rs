//! Answers a shell that completes a command line.
//!
//! The script that `scheduler completions` prints calls the program with the words of the line, and
//! the variable [`VARIABLE`] set to the shell's name. So completions know the project's features.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};

use super::config::run_keys;
use super::project::Project;
use super::runtime;
use super::source::Source;
use super::text::clean;
use crate::model::feature::Status;
use crate::model::ids::FeatureId;
use crate::model::state::{Feature, State};

/// Set while a shell asks.
pub const VARIABLE: &str = "CREWLOG_COMPLETE";

/// Most values of one argument; nobody reads a longer list.
const VALUES_MAX: usize = 1_000;

/// If a shell asks, prints the values that fit and returns true. Call it before anything is printed
/// and before any thread starts.
pub fn answered(command: fn() -> clap::Command) -> bool {
    let asked = CompleteEnv::with_factory(command).var(VARIABLE);
    let here = std::env::current_dir().ok();
    // A shell that gets no values completes nothing; an error would garble the line.
    asked
        .try_complete(std::env::args_os(), here.as_deref())
        .unwrap_or(true)
}

/// The script for a shell; `None` if it is not known. It calls `program` by its name.
pub fn script(shell: &str, program: &str) -> Option<Vec<u8>> {
    let shells = Shells::builtins();
    let mut script = Vec::new();
    let shell = shells.completer(shell)?;
    let written = shell.write_registration(VARIABLE, program, program, program, &mut script);
    written.ok().map(|()| script)
}

/// Every feature, with its name.
pub fn features() -> Vec<CompletionCandidate> {
    listed(|_| true)
}

/// Features whose agents ask something.
pub fn questions() -> Vec<CompletionCandidate> {
    listed(|feature| feature.status == Status::NeedsInput)
}

/// Features that `retry` tries again.
pub fn retried() -> Vec<CompletionCandidate> {
    listed(|feature| {
        let stopped = matches!(feature.status, Status::Parked | Status::Skipped);
        stopped || feature.failures > 0
    })
}

/// What `show` shows: features, and the newest attempts.
pub fn shown() -> Vec<CompletionCandidate> {
    let mut values = features();
    let names = project().and_then(|project| std::fs::read_dir(project.transcripts).ok());
    let names = names
        .into_iter()
        .flatten()
        .flatten()
        .map(|it| it.file_name());
    let attempts: BTreeSet<u64> = names.filter_map(attempt).collect();
    let newest = attempts.iter().rev().take(VALUES_MAX);
    let newest =
        newest.map(|id| CompletionCandidate::new(format!("a{id}")).help(Some("attempt".into())));
    values.extend(newest);
    values
}

/// The attempt of a transcript's file: `12.jsonl.zst`.
fn attempt(name: OsString) -> Option<u64> {
    let name = name.into_string().ok()?;
    name.strip_prefix("a")
        .unwrap_or(&name)
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Settings that `set` changes, before their values.
pub fn settings() -> Vec<CompletionCandidate> {
    let keys = run_keys().into_iter();
    keys.map(|key| CompletionCandidate::new(format!("{key}=")))
        .collect()
}

/// Workers that a run starts.
pub fn workers() -> Vec<CompletionCandidate> {
    let counts = ["coding=1", "coding=3", "coding=3,testing=1"];
    counts.map(CompletionCandidate::new).into()
}

fn listed(wanted: impl Fn(&Feature) -> bool) -> Vec<CompletionCandidate> {
    let Some(state) = state() else {
        return Vec::new();
    };
    let features = state.features().filter(|feature| wanted(feature));
    let value = |FeatureId(id): FeatureId, name: &str| {
        CompletionCandidate::new(id.to_string()).help(Some(clean(name).into()))
    };
    let values = features.take(VALUES_MAX);
    values.map(|it| value(it.id, &it.spec.name)).collect()
}

fn state() -> Option<State> {
    let project = project()?;
    runtime::start().ok()?.block_on(async {
        let source = Source::open(&project).await.ok()?;
        source.state(&project, None).await.ok()
    })
}

/// The project that the words of the line name, or that of the current directory.
fn project() -> Option<Project> {
    let words: Vec<OsString> = std::env::args_os()
        .skip_while(|word| word != "--")
        .collect();
    let named = words.windows(2).find_map(|pair| match pair {
        [option, value] if option == "-C" || option == "--project" => Some(PathBuf::from(value)),
        _ => None,
    });
    Project::find(named.as_deref()).ok()
}
