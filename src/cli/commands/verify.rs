//! `scheduler verify`: proves that the log is complete.

use std::ops::ControlFlow;

use super::{ProjectContext, warn_about_source};
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::failures;
use crate::cli::pages::damage;
use crate::cli::pages::verify::{self, Proven, Snapshots};
use crate::cli::project::Project;
use crate::cli::runtime;
use crate::cli::source::Item;
use crate::model::apply::apply;
use crate::model::event::Recorded;
use crate::model::ids::Sequence;
use crate::model::lifecycle;
use crate::model::state::{STATE_VERSION, State};
use crate::queue::snapshot::{self, ValidSnapshot};
use crate::queue::verify::{Fault, Walk};
use crate::queue::{Contents, Ending, Envelope, directory, repair};
use crate::scheduler::load;

/// Unlawful events that are named: the first one says what is wrong, the rest follows from it.
const UNLAWFUL_MAX: usize = 5;

/// Prove that the log is complete and that every snapshot agrees with it.
///
/// Each event contains a hash of the one before. Verify checks this chain, and that every snapshot
/// leads to the same state as the whole log.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler verify && echo complete\n\nEach event contains a hash of the one before. `verify` checks this chain, that the rules allow every event where it stands, and that every snapshot leads to the same state as the whole log."
)]
pub struct Args {}

/// Carries the verb out.
pub fn run(context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    let proven = prove(context, &here).map_err(|error| first_bad(&here, error))?;
    if context.out.is_json() {
        context.out.json(&proven.json())?;
    } else if !context.out.quiet {
        let page = verify::page(&proven, &context.out);
        context.out.bytes(page.as_bytes())?;
    }
    let Some(next) = proven.next() else {
        return Ok(ExitCode::Passing);
    };
    if !context.out.is_json() {
        context.note(next);
    }
    Ok(ExitCode::LogDamaged)
}

fn prove(context: &Context, here: &ProjectContext) -> Result<Proven, Error> {
    runtime::start()?.block_on(async {
        let source = here.source().await?;
        let contents = here.contents();
        let mut proof = Proof::new(&here.project, &contents)?;
        let take = &mut |item: Item<'_>, _: &dyn Contents| proof.take(item);
        source.read(Sequence(1), false, take).await?;
        warn_about_source(context, &source);
        let proven = proof.end()?;
        match source.ending()? {
            Some(Ending::Altered) => Err(altered()),
            _ => Ok(proven),
        }
    })
}

/// Replaces an error about a damaged log by one that names the first bad event.
fn first_bad(here: &ProjectContext, error: Error) -> Error {
    if error.code != ExitCode::LogDamaged {
        return error;
    }
    let project = &here.project;
    if !directory::exists(&project.log) {
        return error;
    }
    match repair::look(&project.log, &project.snapshots) {
        Ok(findings) if !findings.is_whole() => Error::new(
            ExitCode::LogDamaged,
            damage::what(&findings),
            damage::why(&findings).join("\n"),
            damage::NEXT,
        ),
        // The log's files are good: a snapshot is wrong, or what the scheduler sent.
        _ => error,
    }
}

/// A proof in progress: the chain of hashes, the fold of the whole log, and a fold from each
/// snapshot.
struct Proof<'a> {
    walk: Walk<'a>,
    state: State,
    /// Snapshots that the fold has not reached yet, oldest last.
    ahead: Vec<ValidSnapshot>,
    /// Folds that started from a snapshot, with its event.
    folds: Vec<(Sequence, State)>,
    /// Every event so far was applied to `state`; false after an event whose text is lost.
    is_whole: bool,
    notes: Vec<String>,
    unlawful: Vec<String>,
}

impl<'a> Proof<'a> {
    fn new(project: &Project, contents: &'a dyn Contents) -> Result<Self, Error> {
        let stored = snapshot::all(&project.snapshots).map_err(|error| failures::of_log(&error))?;
        let (mut ahead, mut notes) = (Vec::new(), Vec::new());
        for stored in stored {
            match snapshot::check(&stored) {
                Ok(it) if it.state_version == STATE_VERSION => ahead.push(it),
                Ok(it) => notes.push(format!(
                    "of event {}: another version of Crewlog wrote it",
                    it.sequence
                )),
                Err(passed_over) => {
                    let name = passed_over.path.file_name().unwrap_or_default();
                    notes.push(format!("{}: {}", name.display(), passed_over.why));
                }
            }
        }
        let (walk, state) = (Walk::new(contents), State::default());
        Ok(Self {
            walk,
            state,
            ahead,
            folds: Vec::new(),
            is_whole: true,
            notes,
            unlawful: Vec::new(),
        })
    }

    fn take(&mut self, item: Item<'_>) -> Result<ControlFlow<()>, Error> {
        let Item::Event(envelope) = item else {
            return Ok(ControlFlow::Continue(()));
        };
        match self.walk.step(envelope) {
            Ok(Some(recorded)) => {
                self.judge(&recorded);
                apply(&mut self.state, &recorded);
                for (_, fold) in &mut self.folds {
                    apply(fold, &recorded);
                }
            }
            Ok(None) => self.lose(envelope.sequence),
            Err(why) => return Err(damaged(self.walk.fault(why))),
        }
        while let Some(due) = self.ahead.pop_if(|it| it.sequence <= envelope.sequence) {
            self.begin(due, envelope)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Notes an event that no rule causes. After a lost text, this can no longer be decided.
    fn judge(&mut self, recorded: &Recorded) {
        if !self.is_whole || self.unlawful.len() > UNLAWFUL_MAX {
            return;
        }
        if let Err(why) = lifecycle::check(&self.state, recorded) {
            let (sequence, name) = (recorded.sequence, recorded.event.name());
            let line = match self.unlawful.len() {
                UNLAWFUL_MAX => "and more".to_owned(),
                _ => format!("event {sequence} ({name}): {why}"),
            };
            self.unlawful.push(line);
        }
    }

    /// Notes that an event's text is lost. Only later snapshots know what the event changed, so
    /// from here on they are compared with each other.
    fn lose(&mut self, sequence: Sequence) {
        self.is_whole = false;
        for (earlier, _) in self.folds.drain(..) {
            self.notes.push(format!(
                "of event {earlier}: cannot be compared, because the text of event {sequence} is lost"
            ));
        }
    }

    /// Starts the fold of a snapshot whose event was just applied.
    fn begin(&mut self, mut snapshot: ValidSnapshot, envelope: &Envelope<'_>) -> Result<(), Error> {
        let sequence = snapshot.sequence;
        if sequence < envelope.sequence || envelope.hash() != snapshot.chain_hash {
            self.notes
                .push(format!("of event {sequence}: it belongs to another log"));
            return Ok(());
        }
        match load::read(&mut snapshot) {
            Ok(fold) => self.folds.push((sequence, fold)),
            Err(error) => return Err(disagrees(sequence, error)),
        }
        Ok(())
    }

    fn end(self) -> Result<Proven, Error> {
        if let Some(snapshot) = self.ahead.first() {
            // Snapshots are written only of what is on the disk.
            return Err(Error::new(
                ExitCode::LogDamaged,
                "the end of the log is missing",
                format!(
                    "there is a snapshot of event {}, but the log ends before it",
                    snapshot.sequence
                ),
                failures::DAMAGED_NEXT,
            ));
        }
        let bytes = |state: &State| {
            state
                .to_bytes()
                .map_err(|error| Error::internal("cannot compare states", error, ""))
        };
        let last = self.folds.last().filter(|_| !self.is_whole);
        let whole = bytes(last.map_or(&self.state, |(_, fold)| fold))?;
        let mut agree = Vec::new();
        for (sequence, fold) in &self.folds {
            if bytes(fold)? != whole {
                let why = "it leads to a different state than the whole log";
                return Err(disagrees(*sequence, why));
            }
            agree.push(*sequence);
        }
        let unused = self.notes;
        let (events, unlawful) = (self.walk.done(), self.unlawful);
        let snapshots = Snapshots { agree, unused };
        Ok(Proven {
            events,
            snapshots,
            unlawful,
        })
    }
}

/// Every event is readable now, but the storage engine may lose some at the next start.
fn altered() -> Error {
    Error::new(
        ExitCode::LogDamaged,
        "the log's files are damaged, but every event can still be read",
        "the storage engine's files changed after the log was closed",
        failures::DAMAGED_NEXT,
    )
}

fn damaged(fault: Fault) -> Error {
    Error::new(
        ExitCode::LogDamaged,
        "the log is damaged",
        fault,
        failures::DAMAGED_NEXT,
    )
}

fn disagrees(sequence: Sequence, why: impl std::fmt::Display) -> Error {
    Error::new(
        ExitCode::LogDamaged,
        format!("the snapshot of event {sequence} disagrees with the log"),
        why,
        "the log itself is complete: move the files in its `snapshots` directory away and try again",
    )
}
