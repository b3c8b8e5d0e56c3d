//! One file per command: its arguments and its `run` function.

pub mod answer;
pub mod attach;
pub mod completions;
pub mod config;
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
pub mod report;
pub mod resume;
pub mod retry;
pub mod run;
pub mod service;
pub mod set;
pub mod show;
pub mod skip;
pub mod status;
pub mod stop;
pub mod verify;
pub mod why;
pub mod worker;

use super::config::Config;
use super::error::Error;
use super::exit::ExitCode;
use super::project::Project;
use super::source::Source;
use super::{Context, pages, runtime, store};
use crate::model::command::PersonCommand;
use crate::model::event::Recorded;
use crate::model::ids::FeatureId;
use crate::queue::FileContents;

/// Parses a feature's number, with or without a leading `#`.
fn feature_id(text: &str) -> Result<FeatureId, String> {
    text.strip_prefix('#')
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|number| (1..=FeatureId::MAX).contains(number))
        .map(FeatureId)
        .ok_or_else(|| format!("a feature's number is from 1 to {}", FeatureId::MAX))
}

/// The project and its config, which every command except `init` and `demo` needs.
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

    /// The project's content files, for reading only.
    fn contents(&self) -> FileContents {
        FileContents::at(&store::contents(&self.project))
    }
}

/// Warns when the events came from the disk instead of the scheduler, and about lost texts.
fn warn_about_source(context: &Context, source: &Source) {
    if let Some(from_disk) = source.from_disk() {
        context.note(from_disk);
    }
    for (sequence, name) in source.lost() {
        context.note(format_args!(
            "the text of event {sequence} ({name}) is lost, so its changes are not shown; `scheduler verify` names the file"
        ));
    }
}

/// Submits a person's command and prints what it did. `typed` are the settings that it changes, as
/// they were typed.
fn submit(context: &Context, command: PersonCommand, typed: &str) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    let submitted = store::submit(&here.project, &here.config, command.clone());
    let (first, last) = runtime::start()?.block_on(submitted)?;
    let events = (last.0 + 1).saturating_sub(first.0);
    if context.out.is_json() {
        let json = serde_json::json!({
            "accepted": true, "events": events, "first": first, "last": last,
        });
        context.out.json(&json)?;
    } else if !context.out.quiet {
        let page = pages::accepted::page(&command, events, typed, &context.out);
        context.out.bytes(page.as_bytes())?;
    }
    Ok(ExitCode::Passing)
}

/// The event as one line of JSON, without the line end.
fn event_json(recorded: &Recorded) -> Result<String, Error> {
    pages::event::json(recorded)
        .map_err(|error| Error::internal("cannot write an event as JSON", error, ""))
}
