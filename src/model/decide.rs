//! Decides commands: the events that a command causes, or the reason why it is rejected.
//!
//! Nothing is changed here. The caller records the events and applies them before it decides the
//! next command, so two workers never get the same feature.

mod assign;
mod backlog;
mod merge;
mod parking;
mod report;
mod run;
mod trouble;

use super::command::{Command, PersonCommand, Rejection};
use super::event::Event;
use super::ids::Timestamp;
use super::state::State;

/// The events that `command` causes at `now`. An empty list means that everything is already as it
/// asks.
pub fn decide(state: &State, now: Timestamp, command: &Command) -> Result<Vec<Event>, Rejection> {
    let now = state.time(now);
    let events = caused(state, now, command)?;
    Ok(parking::follow(state, events))
}

fn caused(state: &State, now: Timestamp, command: &Command) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::Person(command) => person(state, command),
        Command::StartRun {
            branch,
            head,
            settings,
            seed,
        } => run::start(state, branch, head, settings, *seed),
        Command::FinishRun { outcome, reason } => run::finish(state, now, *outcome, reason),
        Command::Join { kind, process } => Ok(run::join(state, *kind, process)),
        Command::Leave { worker, reason } => run::leave(state, *worker, reason),
        Command::Assign {
            worker,
            features,
            profile,
            terms,
            runners_up,
            ready,
        } => {
            let fits = assign::coding_fits(state, now, *worker, features, profile)?;
            Ok(assign::coding(
                state, fits, features, *terms, runners_up, *ready,
            ))
        }
        Command::AssignTest {
            worker,
            features,
            profile,
            last,
            draw,
            terms,
            runners_up,
        } => {
            let profile = profile.as_ref();
            let fits = assign::testing_fits(state, now, *worker, features, *last, profile)?;
            let drawn = (*draw, *terms);
            Ok(assign::testing(
                state, fits, features, *last, drawn, runners_up,
            ))
        }
        Command::Report {
            attempt,
            report,
            usage,
            jitter,
        } => report::report(state, now, *attempt, report, *usage, *jitter),
        Command::Spend { attempt, usage } => Ok(report::spending(state, *attempt, *usage)),
        Command::SettleMerge {
            attempt,
            merged,
            head,
        } => merge::settle(state, *attempt, *merged, head),
        Command::Lose { attempt, reason } => run::lose(state, *attempt, reason),
        Command::Refuse {
            attempt,
            wish,
            reason,
        } => Ok(run::refuse(*attempt, wish, reason)),
        Command::RecordConfig { content, changes } => {
            Ok(run::record_config(state, *content, changes))
        }
        Command::SetProfiles { profiles } => Ok(run::set_profiles(state, profiles)),
        Command::ExplainMove(moved) => Ok(run::explain_move(state, moved)),
        Command::HoldMerges { at } => Ok(run::hold_merges(state, at.as_deref())),
        Command::Recover { attempt } => Ok(trouble::recover(state, *attempt)),
        Command::MoveHead { head } => Ok(run::move_head(state, head)),
        Command::NoteJump { by_ms } => Ok(run::note_jump(state, *by_ms)),
    }
}

fn person(state: &State, command: &PersonCommand) -> Result<Vec<Event>, Rejection> {
    match command {
        PersonCommand::Import { features, update } => backlog::import(state, features, *update),
        PersonCommand::ImportFile { features, update } => {
            backlog::import_file(state, features, *update)
        }
        PersonCommand::Remove { feature } => backlog::remove(state, *feature),
        PersonCommand::Skip { feature, reason } => backlog::skip(state, *feature, reason),
        PersonCommand::Retry { features } => backlog::retry(state, features),
        PersonCommand::Answer { feature, answer } => backlog::answer(state, *feature, answer),
        PersonCommand::Pause { reason } => Ok(run::pause(state, reason)),
        PersonCommand::Resume => Ok(run::resume(state)),
        PersonCommand::ChangeSettings { changes } => run::change_settings(state, changes),
    }
}
