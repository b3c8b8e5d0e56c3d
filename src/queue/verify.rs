//! Proves that nothing in a log is missing or altered.

use std::collections::BTreeSet;

use super::content::Contents;
use super::encoding::Envelope;
use super::log::{self, EventLog, Head};
use super::{Error, pack};
use crate::model::event::{Event, Recorded};
use crate::model::evidence::CheckRun;
use crate::model::ids::{AttemptId, ContentHash, FeatureId, Sequence};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Lost texts that are listed; the others are only counted.
pub const LOST_MAX: usize = 1_000;

/// A text whose content file is missing or altered. The event that names it is in the chain anyway,
/// and so is everything after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostText {
    /// SHA-256 of the content, which is also its file name.
    pub content: ContentHash,
    /// True if the file exists with other bytes.
    pub altered: bool,
    /// The first event that names it.
    pub event: Sequence,
    /// What the text is.
    pub what: Text,
}

/// The meaning of a content file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// The body of an event of this type, too long for its envelope. What it changed is unknown.
    Body(&'static str),
    /// The output of a check. No work is lost with it.
    Output {
        /// The feature whose check it was.
        feature: FeatureId,
        /// The attempt in which it ran.
        attempt: AttemptId,
        /// Number of the feature's check, from 1.
        check: usize,
    },
}

impl LostText {
    /// True if something on the disk is wrong. Outputs may be missing because they were produced on
    /// another machine, or were cleaned up.
    pub fn is_damage(&self) -> bool {
        self.altered || matches!(self.what, Text::Body(_))
    }
}

/// The result for a log whose events are unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of events, all of which were checked.
    pub events: u64,
    /// Events with their body in a content file that exists.
    pub long_bodies: u64,
    /// Different outputs of checks that events name and that are unchanged.
    pub outputs: u64,
    /// Outputs that are not here (another machine's, or cleaned up); no work is lost with them.
    pub outputs_missing: u64,
    /// Texts that are missing or altered, the first [`LOST_MAX`] of them.
    pub lost: Vec<LostText>,
    /// Number of all such texts.
    pub lost_count: u64,
    /// The last event and its hash.
    pub head: Head,
}

/// The first event that is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("event {sequence}: {why}; the {verified} events before it are verified")]
pub struct Fault {
    /// Position of the event in the log, from 1.
    pub sequence: Sequence,
    /// Number of good events before it.
    pub verified: u64,
    /// What is wrong.
    pub why: Error,
}

/// Reads all of `log` up to its present head: sequences, checksums, the chain of hashes; every
/// body, so that this build knows each event; the content files of long bodies, and the outputs
/// that evidence names. The chain contains the hash of a content file but not its bytes, so a lost
/// text is reported and is no [`Fault`].
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
            "its hash is {}, but the log's head file says {}",
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

/// Like [`verify`], envelope by envelope, for events that come from elsewhere.
pub struct Walk<'a> {
    contents: &'a dyn Contents,
    head: Head,
    long_bodies: u64,
    outputs: BTreeSet<ContentHash>,
    outputs_missing: u64,
    outputs_altered: u64,
    lost: Vec<LostText>,
    lost_count: u64,
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
            outputs_altered: 0,
            lost: Vec::new(),
            lost_count: 0,
        }
    }

    /// Checks the next envelope and returns its event; `None` if its body is lost. After an error,
    /// nothing later is verified.
    pub fn step(&mut self, envelope: &Envelope<'_>) -> Result<Option<Recorded>, Error> {
        let head = pack::follow(self.head, envelope)?;
        let sequence = envelope.sequence;
        let recorded = match log::recorded(envelope, self.contents) {
            Err(error) if error.is_lost_text() => {
                let content = envelope.content().unwrap_or_default();
                let altered = matches!(error, Error::ContentAltered(_));
                self.lose(sequence, content, altered, Text::Body(envelope.name()));
                self.head = head;
                return Ok(None);
            }
            recorded => recorded?,
        };
        self.long_bodies += u64::from(envelope.content().is_some());
        for (what, output) in outputs(&recorded.event) {
            self.output(sequence, output, what)?;
        }
        self.head = head;
        Ok(Some(recorded))
    }

    fn output(&mut self, event: Sequence, hash: ContentHash, what: Text) -> Result<(), Error> {
        // Zeros mean that no output was kept.
        if hash == ContentHash::default() || !self.outputs.insert(hash) {
            return Ok(());
        }
        match self.contents.get(&hash) {
            Err(error) if error.is_lost_text() => {
                let altered = matches!(error, Error::ContentAltered(_));
                self.outputs_missing += u64::from(!altered);
                self.outputs_altered += u64::from(altered);
                self.lose(event, hash, altered, what);
            }
            kept => drop(kept?),
        }
        Ok(())
    }

    fn lose(&mut self, event: Sequence, content: ContentHash, altered: bool, what: Text) {
        self.lost_count += 1;
        if self.lost.len() < LOST_MAX {
            self.lost.push(LostText {
                content,
                altered,
                event,
                what,
            });
        }
    }

    /// Adds where the error happened.
    pub fn fault(&self, why: Error) -> Fault {
        let (sequence, verified) = (self.head.sequence.next(), self.head.sequence.0);
        Fault {
            sequence,
            verified,
            why,
        }
    }

    /// The result for all envelopes so far.
    pub fn done(self) -> Verified {
        Verified {
            events: self.head.sequence.0,
            long_bodies: self.long_bodies,
            outputs: self.outputs.len() as u64 - self.outputs_missing - self.outputs_altered,
            outputs_missing: self.outputs_missing,
            lost: self.lost,
            lost_count: self.lost_count,
            head: self.head,
        }
    }
}

/// The outputs of checks that an event names.
fn outputs(event: &Event) -> Vec<(Text, ContentHash)> {
    let of = |attempt: AttemptId, feature: FeatureId, checks: &[CheckRun]| {
        let each = (1..).zip(checks).map(|(check, run)| {
            let what = Text::Output {
                feature,
                attempt,
                check,
            };
            (what, run.output)
        });
        each.collect::<Vec<_>>()
    };
    match event {
        Event::MergeStarted(it) => {
            let each = it.evidence.iter();
            each.flat_map(|(feature, evidence)| of(it.attempt, *feature, &evidence.checks))
                .collect()
        }
        Event::FeaturePassed(it) => of(it.attempt, it.feature, &it.evidence.checks),
        Event::TestPassed(it) => of(it.attempt, it.feature, &it.evidence.checks),
        Event::FeatureFailed(it) => of(it.attempt, it.feature, &it.failure.checks),
        Event::RegressionFound(it) => of(it.attempt, it.feature, &it.failure.checks),
        Event::TestInconclusive(it) => of(it.attempt, it.feature, &it.failure.checks),
        _ => Vec::new(),
    }
}
