//! One file for each verb: its arguments, and what carries it out.

pub mod answer;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod drill;
pub mod export;
pub mod import;
pub mod init;
pub mod log;
pub mod pause;
pub mod remove;
pub mod repair;
pub mod replay;
pub mod resume;
pub mod retry;
pub mod run;
pub mod show;
pub mod skip;
pub mod status;
pub mod stop;
pub mod verify;
pub mod why;
pub mod worker;

use std::str::FromStr;

use super::config::Config;
use super::error::Error;
use super::exit::ExitCode;
use super::project::Project;
use super::source::Source;
use super::{Context, engine, pages, store};
use crate::model::command::PersonCommand;
use crate::model::event::Recorded;
use crate::model::ids::FeatureId;
use crate::queue::FileContents;

/// How many workers of each kind `run` starts and keeps running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Coding workers.
    pub coding: u32,
    /// Testing workers.
    pub testing: u32,
}

impl WorkerCounts {
    /// More worker processes than this of one kind do not fit any machine that we know of.
    pub const EACH_MAX: u32 = 1_000;
}

impl FromStr for WorkerCounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut coding, mut testing) = (None, None);
        for part in text.split(',') {
            let (kind, count) = part.split_once('=').ok_or_else(|| {
                format!("{part:?} is not KIND=N; write for example coding=3,testing=1")
            })?;
            let slot = match kind.trim() {
                "coding" => &mut coding,
                "testing" => &mut testing,
                other => {
                    return Err(format!(
                        "there are no {other:?} workers, only coding and testing"
                    ));
                }
            };
            let count: u32 = count
                .trim()
                .parse()
                .ok()
                .filter(|count| *count <= Self::EACH_MAX)
                .ok_or_else(|| format!("{count:?} is not a number from 0 to {}", Self::EACH_MAX))?;
            if slot.replace(count).is_some() {
                return Err(format!("{} is given twice", kind.trim()));
            }
        }
        Ok(Self {
            coding: coding.unwrap_or(0),
            testing: testing.unwrap_or(0),
        })
    }
}

/// A feature's number, with or without the `#` in front of it.
fn feature_id(text: &str) -> Result<FeatureId, String> {
    text.strip_prefix('#')
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|number| (1..=FeatureId::MAX).contains(number))
        .map(FeatureId)
        .ok_or_else(|| format!("a feature's number is 1 to {}", FeatureId::MAX))
}

/// A project and its config: what every verb but `init` and `demo` stands on.
struct ProjectContext {
    project: Project,
    config: Config,
}

impl ProjectContext {
    fn find(context: &Context) -> Result<Self, Error> {
        let project = Project::find(context.global.project.as_deref())?;
        let config = Config::load(&project)?;
        Ok(Self { project, config })
    }

    async fn source(&self) -> Result<Source, Error> {
        Source::open(&self.project).await
    }

    /// Content files, for reading.
    fn contents(&self) -> FileContents {
        FileContents::at(&store::contents(&self.project))
    }
}

/// Says where the events came from, if not from where they should.
fn say_source(context: &Context, source: &Source) {
    if let Some(from_disk) = source.from_disk() {
        context.note(from_disk);
    }
    for (sequence, name) in source.lost() {
        context.note(format_args!(
            "the text of event {sequence} ({name}) is lost; what it changed is left out (`scheduler verify` names the file)"
        ));
    }
}

/// Has a person's command decided, and says so: `said` to people.
fn submit(context: &Context, command: PersonCommand, said: &str) -> Result<ExitCode, Error> {
    submit_counted(context, command, |_| said.to_owned())
}

/// The same for a command that says of how many events it caused.
fn submit_counted(
    context: &Context,
    command: PersonCommand,
    said: impl FnOnce(u64) -> String,
) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    let submitted = store::submit(&here.project, &here.config, command);
    let (first, last) = engine::runtime()?.block_on(submitted)?;
    if context.out.is_json() {
        let json = serde_json::json!({ "accepted": true, "first": first, "last": last });
        context.out.json(&json)?;
    } else if !context.out.quiet {
        context
            .out
            .line(said((last.0 + 1).saturating_sub(first.0)))?;
    }
    Ok(ExitCode::Passing)
}

/// An event as a line of JSON.
fn event_json(recorded: &Recorded) -> Result<String, Error> {
    pages::event::json(recorded)
        .map_err(|error| Error::internal("cannot write an event as JSON", error, ""))
}
