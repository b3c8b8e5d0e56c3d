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
    let (first, last) = runtime::start()?.block_on(submitted)?;
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
