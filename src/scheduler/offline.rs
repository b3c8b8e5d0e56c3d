//! A person's command without a running scheduler: the same rules, one batch, the same log.

use std::path::Path;

use super::Error;
use super::core::{Accepted, Core};
use super::load::load;
use crate::model::actor::Actor;
use crate::model::command::{Command, PersonCommand};
use crate::model::ids::{CommandId, Timestamp};
use crate::model::state::State;
use crate::queue::EventLog;

/// Decides and appends. The events are durable when it returns.
pub fn submit(
    log: &dyn EventLog,
    snapshots: &Path,
    actor: &Actor,
    id: CommandId,
    now: Timestamp,
    command: PersonCommand,
) -> Result<Accepted, Error> {
    submit_to(log, load(log, snapshots)?, actor, id, now, command)
}

/// Like `submit`, on the state at the log's head.
pub fn submit_to(
    log: &dyn EventLog,
    state: State,
    actor: &Actor,
    id: CommandId,
    now: Timestamp,
    command: PersonCommand,
) -> Result<Accepted, Error> {
    let expected = state.sequence;
    let epoch = log.lead()?;
    let mut core = Core::new(state, epoch);
    let accepted = core.submit(actor, id, now, &Command::Person(command))?;
    log.append(&core.take_batch(), expected, epoch)?;
    Ok(accepted)
}
