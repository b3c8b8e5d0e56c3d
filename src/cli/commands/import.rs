//! `scheduler import`: imports a backlog file, or a portable log into a project without one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::ProjectContext;
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::runtime;
use crate::cli::{failures, store};
use crate::model::backlog::{self, BacklogErrors, BacklogFeature, FILE_BYTES_MAX, Format};
use crate::model::command::{PersonCommand, Rejection};
use crate::model::encoding;
use crate::model::event::{Event, Recorded};
use crate::model::ids::Sequence;
use crate::queue;

/// Import a backlog file: all of its features, or none if one is invalid.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler import features.toml\n  scheduler import --portable backup.crewlog\n\nImporting the same file again changes nothing."
)]
pub struct Args {
    /// Backlog file, TOML or JSON; `-` reads standard input
    #[arg(value_name = "FILE", required_unless_present = "portable")]
    pub file: Option<PathBuf>,
    /// Change existing features that differ, instead of refusing the file
    #[arg(long)]
    pub update: bool,
    /// Import a log from `scheduler export --portable`; this project must not have one yet
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "update"])]
    pub portable: Option<PathBuf>,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    if let Some(file) = &args.portable {
        return portable(context, &here, file);
    }
    let file = args.file.as_deref().unwrap_or(Path::new("-"));
    let parsed = read(file)?;
    runtime::start()?.block_on(async {
        let (count, update) = (parsed.len(), args.update);
        let features = parsed;
        let command = PersonCommand::ImportFile { features, update };
        let (project, config) = (&here.project, &here.config);
        let answer = store::ask(project, config, store::new_command(), command).await?;
        let (first, last) = answer.map_err(|rejection| match rejection {
            Rejection::Backlog(errors) => broken(file, &errors),
            rejection => failures::refused(&rejection),
        })?;
        let counts = Counts::of(&here, first, last, count).await?;
        let events = (last.0 + 1).saturating_sub(first.0);
        print(context, file, &counts, events)?;
        Ok(ExitCode::Passing)
    })
}

fn read(file: &Path) -> Result<Vec<BacklogFeature>, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::usage(
            format!("cannot read the backlog {}", file.display()),
            why,
            "give a TOML or JSON file; `scheduler init` writes a sample",
        )
    };
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the parser can report that the file is too long.
    let limit = FILE_BYTES_MAX as u64 + 1;
    let read = match file.to_str() {
        Some("-") => std::io::stdin().lock().take(limit).read_to_end(&mut bytes),
        _ => File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    };
    read.map_err(|error| failed(&error))?;
    let text = encoding::decode(&bytes).map_err(|error| {
        let what = format!("cannot read the backlog {}", file.display());
        Error::usage(what, error, error.remedy(&file.to_string_lossy()))
    })?;
    let format = match file.to_str() {
        // Standard input has no name to go by; no TOML begins like JSON does.
        Some("-") if text.trim_start().starts_with('{') => Format::Json,
        Some("-") if text.trim_start().starts_with("[") && !is_toml(text) => Format::Json,
        Some("-") => Format::Toml,
        _ => Format::of_file_name(&file.to_string_lossy()),
    };
    backlog::parse(text, format).map_err(|error| broken(file, &error))
}

/// `[[feature]]` and `[feature]` begin a table; `[{` and `[ {` a list.
fn is_toml(text: &str) -> bool {
    let inside = text.trim_start().trim_start_matches('[').trim_start();
    inside.starts_with(|c: char| c.is_alphabetic())
}

fn broken(file: &Path, error: &BacklogErrors) -> Error {
    Error::usage(
        format!("cannot import {}", file.display()),
        error,
        "nothing was imported; correct the file and import it again",
    )
}

/// How many features an import adds, changes and leaves as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    added: usize,
    changed: usize,
    unchanged: usize,
}

impl Counts {
    /// Counts what the events from `first` to `last` changed, for a file of this many features.
    async fn of(
        here: &ProjectContext,
        first: Sequence,
        last: Sequence,
        features: usize,
    ) -> Result<Self, Error> {
        let (mut added, mut changed) = (BTreeSet::new(), BTreeSet::new());
        if first <= last {
            let source = here.source().await?;
            let each = &mut |recorded: Recorded| {
                if recorded.sequence > last {
                    return Ok(ControlFlow::Break(()));
                }
                match recorded.event {
                    Event::FeatureAdded(it) => added.insert(it.feature),
                    Event::FeatureEdited(it) => changed.insert(it.feature),
                    Event::DependenciesSet(it) => changed.insert(it.feature),
                    _ => false,
                };
                Ok(ControlFlow::Continue(()))
            };
            source.events(first, each).await?;
        }
        let changed = changed.difference(&added).count();
        Ok(Self {
            added: added.len(),
            changed,
            unchanged: features.saturating_sub(added.len() + changed),
        })
    }

    /// As text: `imported 2 new features, changed 1, left 40 as before`.
    fn words(self) -> String {
        let features = |count: usize| if count == 1 { "feature" } else { "features" };
        let (added, changed) = (self.added, self.changed);
        let mut words = match (added, changed) {
            (0, _) => format!("changed {changed} {}", features(changed)),
            (_, 0) => format!("imported {added} {}", features(added)),
            _ => format!(
                "imported {added} new {}, changed {changed}",
                features(added)
            ),
        };
        if self.unchanged > 0 {
            words.push_str(&format!(", left {} as before", self.unchanged));
        }
        words
    }
}

fn print(context: &Context, file: &Path, counts: &Counts, events: u64) -> Result<(), Error> {
    let Counts {
        added,
        changed,
        unchanged,
    } = *counts;
    if context.out.is_json() {
        return context.out.json(&serde_json::json!({
            "features": added + changed + unchanged,
            "added": added, "changed": changed, "unchanged": unchanged, "events": events,
        }));
    }
    if context.out.quiet {
        return Ok(());
    }
    let file = file.display();
    // Importing the same file again causes no event, and is not an error.
    if events == 0 {
        return context.out.line(format_args!(
            "nothing to do: everything in {file} is already imported"
        ));
    }
    context
        .out
        .line(format_args!("{} from {file}", counts.words()))?;
    context
        .out
        .line("next: scheduler run --workers coding=3,testing=1")
}

/// Imports a log that another project exported, byte for byte.
fn portable(context: &Context, here: &ProjectContext, file: &Path) -> Result<ExitCode, Error> {
    let what = || format!("cannot import {}", file.display());
    let opened = File::open(file);
    let opened = opened.map_err(|error| {
        Error::usage(
            what(),
            error,
            "give a file from `scheduler export --portable`",
        )
    })?;
    let project = here.project.settle()?;
    let options = store::open_options(&here.config);
    let head = match queue::portable::import(opened, &project.log, &options) {
        Err(queue::Error::Import(why)) => {
            let next =
                "nothing was imported; import a portable log into a project that has no events";
            return Err(Error::usage(what(), why, next));
        }
        imported => imported.map_err(|error| failures::of_log(&error))?,
    };
    if context.out.is_json() {
        let json = serde_json::json!({ "events": head.sequence, "hash": head.hash.to_string() });
        context.out.json(&json)?;
    } else if !context.out.quiet {
        let (events, hash, file) = (head.sequence, head.hash, file.display());
        context.out.line(format_args!(
            "imported {events} events from {file}\n  head      {hash}\nnext: scheduler status"
        ))?;
    }
    Ok(ExitCode::Passing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_in_words() {
        let table = [
            ((1, 0, 0), "imported 1 feature"),
            ((2, 0, 3), "imported 2 features, left 3 as before"),
            ((1, 1, 0), "imported 1 new feature, changed 1"),
            ((0, 1, 40), "changed 1 feature, left 40 as before"),
        ];
        for ((added, changed, unchanged), words) in table {
            let counts = Counts {
                added,
                changed,
                unchanged,
            };
            assert_eq!(counts.words(), words);
        }
    }
}
