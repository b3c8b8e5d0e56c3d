//! From a log and its snapshots to a state.

use std::path::Path;

use super::Error;
use crate::model::apply::{apply, pass_over};
use crate::model::ids::Sequence;
use crate::model::state::{STATE_VERSION, State};
use crate::queue::log::{hash_at, recorded};
use crate::queue::snapshot::{self, Snapshot, ValidSnapshot};
use crate::queue::{self, Contents, Envelope, EventLog};

/// Bytes of events that are read at once while folding.
const CHUNK_BYTES: usize = 4 << 20;

/// The state at the log's head: the latest snapshot that belongs to this log, and the events
/// after it. Snapshots that do not fit are passed over; they only save time.
pub fn load(log: &dyn EventLog, snapshots: &Path) -> Result<State, Error> {
    must_not_be_ahead(log, snapshots)?;
    Ok(resume(log, from_snapshot(log, snapshots)?)?)
}

/// The state at the log's head, from an earlier state of the same log or from nothing.
pub fn resume(log: &dyn EventLog, earlier: Option<State>) -> Result<State, queue::Error> {
    let mut state = earlier.unwrap_or_default();
    if planted!(SnapshotOffByOne) && state.sequence.0 > 0 {
        state.sequence = state.sequence.next();
    }
    fold_to(log, &mut state, None)?;
    state.settle();
    Ok(state)
}

/// A snapshot is written only of what is on the disk: a sound one of an event beyond the log's end
/// proves that the log has lost its end, or is gone altogether.
fn must_not_be_ahead(log: &dyn EventLog, dir: &Path) -> Result<(), Error> {
    let head = log.head().sequence;
    let stored = snapshot::all(dir)?;
    let ahead = stored.iter().filter(|stored| stored.sequence > head);
    for stored in ahead {
        if snapshot::check(stored).is_ok() {
            let why = format!(
                "it ends at event {head}, and there is a snapshot of event {} in {}",
                stored.sequence,
                dir.display()
            );
            let path = stored.path.clone();
            return Err(queue::Error::Damaged { path, why }.into());
        }
    }
    Ok(())
}

fn from_snapshot(log: &dyn EventLog, dir: &Path) -> Result<Option<State>, Error> {
    let (sound, passed_over) = snapshot::latest(dir, log, STATE_VERSION)?;
    for snapshot in passed_over {
        tracing::warn!(path = %snapshot.path.display(), why = snapshot.why, "a snapshot is not used");
    }
    // A snapshot only saves time, so that one that does not read is passed over, too.
    Ok(sound.and_then(|mut sound| read(&mut sound).ok()))
}

/// The state in a snapshot.
pub fn read(sound: &mut ValidSnapshot) -> Result<State, Error> {
    let bytes_max = sound.bytes;
    let bytes = sound.state().map_err(bincode::Error::from)?;
    Ok(State::from_reader(bytes, bytes_max)?)
}

/// Folds the events after the state's own position, up to `last` or the log's head.
pub fn fold_to(
    log: &dyn EventLog,
    state: &mut State,
    last: Option<Sequence>,
) -> Result<(), queue::Error> {
    loop {
        let chunk = log.read(state.sequence.next(), CHUNK_BYTES)?;
        if chunk.is_empty() {
            return Ok(());
        }
        for envelope in chunk.envelopes() {
            let sequence = state.sequence.next();
            let envelope = envelope.map_err(|source| queue::Error::Decode { sequence, source })?;
            if last.is_some_and(|last| envelope.sequence > last) {
                return Ok(());
            }
            fold(state, &envelope, log.contents())?;
        }
    }
}

/// Folds the event of an envelope. False where its text is lost, so that it was passed over.
pub fn fold(
    state: &mut State,
    envelope: &Envelope<'_>,
    contents: &dyn Contents,
) -> Result<bool, queue::Error> {
    match recorded(envelope, contents) {
        Ok(recorded) => apply(state, &recorded),
        Err(error) if error.is_lost_text() => {
            let (sequence, name) = (envelope.sequence, envelope.name());
            tracing::warn!(%sequence, name, %error, "an event is passed over");
            pass_over(state, sequence, envelope.at, envelope.cause, name);
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// A snapshot of the state, to be written with [`snapshot::write`]; none when the log does not
/// reach so far.
pub fn snapshot_of(log: &dyn EventLog, state: &State) -> Result<Option<Snapshot>, Error> {
    let Some(chain_hash) = hash_at(log, state.sequence)? else {
        return Ok(None);
    };
    Ok(Some(Snapshot {
        sequence: state.sequence,
        chain_hash,
        state_version: STATE_VERSION,
        bytes: state.to_bytes()?,
    }))
}

/// Writes the state down as a snapshot, if the log reaches so far.
pub fn save(log: &dyn EventLog, snapshots: &Path, state: &State) -> Result<(), Error> {
    if let Some(snapshot) = snapshot_of(log, state)? {
        snapshot::write(snapshots, &snapshot)?;
    }
    Ok(())
}
