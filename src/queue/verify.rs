//! The proof that nothing is missing or altered.

use std::collections::BTreeSet;

use super::content::Contents;
use super::encoding::Envelope;
use super::log::{self, EventLog, Head};
use super::{Error, pack};
use crate::model::event::{Event, Recorded};
use crate::model::evidence::CheckRun;
use crate::model::ids::{ContentHash, Sequence};

/// Bytes that are looked at at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A log that is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many events were checked: all.
    pub events: u64,
    /// How many of them have their bodies in content files; all are there.
    pub long_bodies: u64,
    /// How many different outputs of checks the events name and are kept as they were.
    pub outputs: u64,
    /// How many are not kept here (another machine's, or cleaned up); no work is lost with them.
    pub outputs_missing: u64,
    /// The last event and its hash.
    pub head: Head,
}

/// The first event that is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("event {sequence}: {why}; the {verified} events before it are as they were written")]
pub struct Fault {
    /// Which.
    pub sequence: Sequence,
    /// How many are good before it.
    pub verified: u64,
    /// What is wrong.
    pub why: Error,
}

/// Reads all of `log` up to its present head: sequences, checksums, the chain of hashes; every
/// body, so that each event is one that this build knows; the content files of long bodies, and
/// the outputs that evidence names.
pub fn verify(log: &dyn EventLog) -> Result<Verified, Fault> {
    let end = log.head();
    let mut walk = Walk::new(log.contents());
    while walk.head.sequence < end.sequence {
        let next = walk.head.sequence.next();
        let chunk = log.read(next, CHUNK_BYTES).map_err(|why| walk.fault(why))?;
        if chunk.is_empty() {
            let why = "it is missing".to_owned();
            return Err(walk.fault(Error::NotNext {
                sequence: next,
                why,
            }));
        }
        for envelope in chunk.envelopes() {
            let sequence = walk.head.sequence.next();
            let decoded = envelope.map_err(|source| Error::Decode { sequence, source });
            let checked = decoded.and_then(|envelope| walk.step(&envelope));
            checked.map(drop).map_err(|why| walk.fault(why))?;
            // Events that were appended since are not waited for.
            if walk.head.sequence == end.sequence {
                break;
            }
        }
    }
    if walk.head.hash != end.hash {
        let why = format!(
            "its hash is {} and the log's head says {}",
            walk.head.hash, end.hash
        );
        let sequence = end.sequence;
        let why = Error::NotNext { sequence, why };
        return Err(Fault {
            sequence,
            verified: sequence.0.saturating_sub(1),
            why,
        });
    }
    Ok(walk.done())
}

/// The same proof, envelope by envelope, for who gets a log from somebody else.
pub struct Walk<'a> {
    contents: &'a dyn Contents,
    head: Head,
    long_bodies: u64,
    outputs: BTreeSet<ContentHash>,
    outputs_missing: u64,
}

impl<'a> Walk<'a> {
    /// Begins before the first event.
    pub fn new(contents: &'a dyn Contents) -> Self {
        Self {
            contents,
            head: Head::default(),
            long_bodies: 0,
            outputs: BTreeSet::new(),
            outputs_missing: 0,
        }
    }

    /// Checks the next envelope, and returns its event. After an error nothing more is good.
    pub fn step(&mut self, envelope: &Envelope<'_>) -> Result<Recorded, Error> {
        let head = pack::follow(self.head, envelope)?;
        let recorded = log::recorded(envelope, self.contents)?;
        self.long_bodies += u64::from(envelope.content().is_some());
        for check in checks(&recorded.event) {
            self.output(check.output)?;
        }
        self.head = head;
        Ok(recorded)
    }

    fn output(&mut self, hash: ContentHash) -> Result<(), Error> {
        // Zeros say that no output was kept.
        if hash == ContentHash::default() || !self.outputs.insert(hash) {
            return Ok(());
        }
        match self.contents.get(&hash) {
            Err(Error::ContentMissing(_)) => self.outputs_missing += 1,
            kept => drop(kept?),
        }
        Ok(())
    }

    /// Says where it went wrong.
    pub fn fault(&self, why: Error) -> Fault {
        let (sequence, verified) = (self.head.sequence.next(), self.head.sequence.0);
        Fault {
            sequence,
            verified,
            why,
        }
    }

    /// What was proven.
    pub fn done(self) -> Verified {
        Verified {
            events: self.head.sequence.0,
            long_bodies: self.long_bodies,
            outputs: self.outputs.len() as u64 - self.outputs_missing,
            outputs_missing: self.outputs_missing,
            head: self.head,
        }
    }
}

/// The checks whose outputs an event names.
fn checks(event: &Event) -> Vec<&CheckRun> {
    match event {
        Event::MergeStarted(merge) => merge
            .evidence
            .iter()
            .flat_map(|(_, evidence)| &evidence.checks)
            .collect(),
        Event::FeaturePassed(passed) => passed.evidence.checks.iter().collect(),
        Event::TestPassed(passed) => passed.evidence.checks.iter().collect(),
        Event::FeatureFailed(failed) => failed.failure.checks.iter().collect(),
        Event::RegressionFound(found) => found.failure.checks.iter().collect(),
        Event::TestInconclusive(test) => test.failure.checks.iter().collect(),
        _ => Vec::new(),
    }
}
