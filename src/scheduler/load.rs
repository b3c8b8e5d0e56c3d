//! Loads the state from a log and its snapshots.

use std::ops::ControlFlow;
use std::path::Path;

use super::Error;
use crate::model::apply::{apply, pass_over};
use crate::model::ids::Sequence;
use crate::model::state::{STATE_VERSION, State};
use crate::queue::log::{hash_at, recorded};
use crate::queue::snapshot::{self, Snapshot, ValidSnapshot};
use crate::queue::{self, ChainHash, Contents, Envelope, EventLog};

/// Bytes of events that are read at once while folding.
const CHUNK_BYTES: usize = 4 << 20;

/// The state at the log's head: the latest snapshot of this log, and the events after it. Snapshots
/// that do not match are skipped, because they only save time.
pub fn load(log: &dyn EventLog, snapshots: &Path) -> Result<State, Error> {
    must_not_be_ahead(log, snapshots)?;
    Ok(resume(log, from_snapshot(log, snapshots)?)?)
}

/// The state at the log's head, from an earlier state of the same log or from none.
pub fn resume(log: &dyn EventLog, earlier: Option<State>) -> Result<State, queue::Error> {
    let mut state = earlier.unwrap_or_default();
    if planted!(SnapshotOffByOne) && state.sequence.0 > 0 {
        state.sequence = state.sequence.next();
    }
    let mut fold = Fold::of(state);
    let mut from = fold.from();
    loop {
        let chunk = log.read(from, CHUNK_BYTES)?;
        if chunk.is_empty() {
            return Ok(fold.done().unwrap_or_default());
        }
        for envelope in chunk.envelopes() {
            let sequence = from;
            let envelope = envelope.map_err(|source| queue::Error::Decode { sequence, source })?;
            from = envelope.sequence.next();
            // Without a last event, the fold takes every event.
            let _ = fold.take(&envelope, log.contents())?;
        }
    }
}

/// Fails if a valid snapshot is of an event after the log's end. Snapshots contain only what is on
/// the disk, so the log has lost its end or was deleted.
fn must_not_be_ahead(log: &dyn EventLog, dir: &Path) -> Result<(), Error> {
    let head = log.head().sequence;
    let stored = snapshot::all(dir)?;
    let ahead = stored.iter().filter(|stored| stored.sequence > head);
    for stored in ahead {
        if snapshot::check(stored).is_ok() {
            let why = format!(
                "it ends at event {head}, but there is a snapshot of event {} in {}",
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
        tracing::warn!(path = %snapshot.path.display(), why = snapshot.why, "ignoring a snapshot");
    }
    // A snapshot only saves time, so one that cannot be read is ignored.
    Ok(sound.and_then(|mut sound| read(&mut sound).ok()))
}

/// Decodes the state in a snapshot.
pub fn read(sound: &mut ValidSnapshot) -> Result<State, Error> {
    let bytes_max = sound.bytes;
    let bytes = sound.state().map_err(bincode::Error::from)?;
    Ok(State::from_reader(bytes, bytes_max)?)
}

/// Folds a log's events into a state, wherever they come from.
#[derive(Debug, Default)]
pub struct Fold {
    state: State,
    /// Hash of the snapshot's own event, until the log has shown that it contains that event.
    unproven: Option<ChainHash>,
    last: Option<Sequence>,
    lost: Vec<(Sequence, &'static str)>,
}

impl Fold {
    /// Continues from a state of the same log.
    pub fn of(state: State) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    /// Where a fold can begin, the best place first: at each readable snapshot in `dir`, and at
    /// last at the first event. A snapshot may turn out to belong to another log. Events after
    /// `last` are not folded.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn starts(
        dir: &Path,
        last: Option<Sequence>,
    ) -> Result<impl Iterator<Item = Self>, queue::Error> {
        let stored = snapshot::all(dir)?.into_iter();
        let stored = stored.filter(move |it| last.is_none_or(|last| it.sequence <= last));
        let starts = stored.filter_map(move |stored| {
            let mut sound = snapshot::check(&stored).ok()?;
            let fits = sound.state_version == STATE_VERSION;
            let state = fits.then(|| read(&mut sound).ok()).flatten()?;
            Some(Self {
                unproven: Some(sound.chain_hash),
                last,
                ..Self::of(state)
            })
        });
        let whole = Self {
            last,
            ..Self::default()
        };
        Ok(starts.chain([whole]))
    }

    /// The first event to feed. With a snapshot, this is the snapshot's own event.
    pub fn from(&self) -> Sequence {
        match self.unproven {
            Some(_) => self.state.sequence,
            None => self.state.sequence.next(),
        }
    }

    /// Takes the next event. Breaks after the last wanted event, or if the snapshot belongs to
    /// another log.
    ///
    /// # Errors
    /// The event cannot be decoded.
    pub fn take(
        &mut self,
        envelope: &Envelope<'_>,
        contents: &dyn Contents,
    ) -> Result<ControlFlow<()>, queue::Error> {
        if let Some(hash) = self.unproven {
            if envelope.hash() != hash {
                return Ok(ControlFlow::Break(()));
            }
            self.unproven = None;
            return Ok(ControlFlow::Continue(()));
        }
        if self.last.is_some_and(|last| envelope.sequence > last) {
            return Ok(ControlFlow::Break(()));
        }
        if !fold(&mut self.state, envelope, contents)? {
            self.lost.push((envelope.sequence, envelope.name()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Events that were skipped because their texts are lost.
    pub fn lost(&self) -> &[(Sequence, &'static str)] {
        &self.lost
    }

    /// The state; `None` if the log never showed the snapshot's event.
    pub fn done(mut self) -> Option<State> {
        self.state.settle();
        self.unproven.is_none().then_some(self.state)
    }
}

/// Folds the event of an envelope. False if its text is lost and it was skipped.
pub fn fold(
    state: &mut State,
    envelope: &Envelope<'_>,
    contents: &dyn Contents,
) -> Result<bool, queue::Error> {
    match recorded(envelope, contents) {
        Ok(recorded) => apply(state, &recorded),
        Err(error) if error.is_lost_text() => {
            let (sequence, name) = (envelope.sequence, envelope.name());
            tracing::warn!(%sequence, name, %error, "ignoring an event whose text is lost");
            pass_over(state, sequence, envelope.at, envelope.cause, name);
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// A snapshot of the state, for [`snapshot::write`]; `None` if the log does not reach so far.
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

/// Writes a snapshot of the state, if the log reaches so far.
pub fn save(log: &dyn EventLog, snapshots: &Path, state: &State) -> Result<(), Error> {
    if let Some(snapshot) = snapshot_of(log, state)? {
        snapshot::write(snapshots, &snapshot)?;
    }
    Ok(())
}
