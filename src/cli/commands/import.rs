//! `scheduler import`: a backlog file into the log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Ground;
use crate::cli::Context;
use crate::cli::engine;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::store;
use crate::model::backlog::{self, BacklogErrors, BacklogFeature, FILE_BYTES_MAX, Format};
use crate::model::command::PersonCommand;
use crate::model::feature::Status;
use crate::model::ids::FeatureId;
use crate::model::state::{Feature, State};

/// The file is validated as a whole first; then all of it is imported or nothing.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler import features.toml")]
pub struct Args {
    /// The backlog: TOML or JSON; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Change features that exist and differ, instead of refusing the file
    #[arg(long)]
    pub update: bool,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let ground = Ground::find(context)?;
    let parsed = read(&args.file)?;
    let count = parsed.len();
    engine::runtime()?.block_on(async {
        let existing = {
            let source = ground.source().await?;
            let state = source.state(&ground.project, None).await?;
            names(&state)
        };
        let features =
            backlog::resolve(parsed, &existing).map_err(|error| broken(&args.file, &error))?;
        let update = args.update;
        let command = PersonCommand::Import { features, update };
        let submitted = store::submit(&ground.project, &ground.config, command);
        let (first, last) = submitted.await?;
        // The same file again causes no event, and is no mistake.
        let events = (last.0 + 1).saturating_sub(first.0);
        say(context, args, count, events)?;
        Ok(ExitCode::Passing)
    })
}

/// Every number that was ever used and its feature's name, empty where it was removed.
fn names(state: &State) -> BTreeMap<FeatureId, String> {
    let slots = (0..).map_while(|slot| state.in_slot(slot));
    let name = |feature: &Feature| match feature.status {
        Status::Removed => String::new(),
        _ => feature.spec.name.clone(),
    };
    slots.map(|feature| (feature.id, name(feature))).collect()
}

fn read(file: &Path) -> Result<Vec<BacklogFeature>, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::usage(
            format!("cannot read the backlog {}", file.display()),
            why,
            "name a TOML or JSON file; `scheduler init` writes a sample",
        )
    };
    let mut text = String::new();
    // One byte more than allowed, so that the parser can say that it is too long.
    let limit = FILE_BYTES_MAX as u64 + 1;
    let read = match file.to_str() {
        Some("-") => std::io::stdin()
            .lock()
            .take(limit)
            .read_to_string(&mut text),
        _ => File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text)),
    };
    read.map_err(|error| failed(&error))?;
    let format = match file.to_str() {
        // Standard input has no name to go by; no TOML begins like JSON does.
        Some("-") if text.trim_start().starts_with('{') => Format::Json,
        Some("-") if text.trim_start().starts_with("[") && !is_toml(&text) => Format::Json,
        Some("-") => Format::Toml,
        _ => Format::of_file_name(&file.to_string_lossy()),
    };
    backlog::parse(&text, format).map_err(|error| broken(file, &error))
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
        "nothing was imported; mend the file and import it again",
    )
}

fn say(context: &Context, args: &Args, features: usize, events: u64) -> Result<(), Error> {
    if context.out.is_json() {
        return context
            .out
            .json(&serde_json::json!({ "features": features, "events": events }));
    }
    if context.out.quiet {
        return Ok(());
    }
    let file = args.file.display();
    match events {
        0 => context.out.line(format_args!("nothing to do: the log has all of {file} already")),
        _ => context.out.line(format_args!(
            "imported {features} features from {file}\nnext: scheduler run --workers coding=3,testing=1"
        )),
    }
}
