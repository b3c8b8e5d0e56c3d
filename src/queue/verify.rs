//! The proof that nothing is missing or altered.

use std::collections::BTreeSet;

use super::content::Contents;
use super::encoding::Envelope;
use super::log::{self, EventLog, Head};
use super::{Error, pack};
use crate::model::event::{Event, Recorded};
use crate::model::evidence::CheckRun;
use crate::model::ids::{AttemptId, ContentHash, FeatureId, Sequence};

/// Bytes that are looked at at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Lost texts that are named one by one; the others are counted.
pub const LOST_MAX: usize = 1_000;

/// A text whose content file is missing, or is not what was written. Whatever names it is in the
/// chain anyway, and so is everything after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostText {
    /// SHA-256 of the content, which is also its file name.
    pub content: ContentHash,
    /// True when there is a file, and its bytes are others.
    pub altered: bool,
    /// The first event that names it.
    pub event: Sequence,
    /// What it says.
    pub what: Text,
}

/// What a content file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// An event of this name, too long for its envelope. What it changed is not known.
    Body(&'static str),
    /// What a check put out. No work is lost with it.
    Output {
        /// The feature whose check it was.
        feature: FeatureId,
        /// The attempt in which it ran.
        attempt: AttemptId,
        /// Which of the feature's checks, from 1.
        check: usize,
    },
}

impl LostText {
    /// True where something on the disk is not as it should be: outputs may be missing because they
    /// were made on another machine, or were cleaned up.
    pub fn is_damage(&self) -> bool {
        self.altered || matches!(self.what, Text::Body(_))
    }
}

/// A log whose events are as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many events were checked: all.
    pub events: u64,
    /// How many of them have their bodies in content files that are there.
    pub long_bodies: u64,
    /// How many different outputs of checks the events name and are kept as they were.
    pub outputs: u64,
    /// How many are not kept here (another machine's, or cleaned up); no work is lost with them.
    pub outputs_missing: u64,
    /// Texts that are missing or altered, the first [`LOST_MAX`] of them.
    pub lost: Vec<LostText>,
    /// How many there are.
    pub lost_count: u64,
    /// The last event and its hash.
    pub head: Head,
}

/// The first event that is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("event {sequence}: {why}; the {verified} events before it are verified")]
pub struct Fault {
    /// Position of the event in the log, from 1.
    pub sequence: Sequence,
    /// How many are good before it.
    pub verified: u64,
    /// What is wrong.
    pub why: Error,
}

/// Reads all of `log` up to its present head: sequences, checksums, the chain of hashes; every
/// body, so that each event is one that this build knows; the content files of long bodies, and
/// the outputs that evidence names. The hash of a content file is part of the chain and its bytes
/// are not, so that a lost text is named and is no [`Fault`].
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

/// The same proof, envelope by envelope, for who gets a log from somebody else.
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

    /// Checks the next envelope, and returns its event; none where its body is lost. After an error
    /// nothing more is good.
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
        // Zeros say that no output was kept.
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
