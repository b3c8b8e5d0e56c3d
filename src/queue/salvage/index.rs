//! Where every event of a log is in its engine's files, and which of them follow each other.
//!
//! It takes some fifty bytes per event, so a log of a million needs little memory. Hashes are kept
//! by their first eight bytes, which put the events in order; verification computes them
//! completely.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::scan::Found;
use crate::model::ids::{Epoch, Sequence};
use crate::queue::encoding::{ChainHash, DecodeError, Envelope};
use crate::queue::log::Head;

/// Number of broken events that are recorded; only the first missing one matters.
const BROKEN_MAX: usize = 100_000;
/// More events do not fit into 32 bits.
const COPIES_MAX: usize = u32::MAX as usize - 1;

/// A thousand million events: no log has that many, and a wrong number must not cost memory.
const SEEN_WORDS_MAX: usize = 1 << 24;

/// Where a copy of an event was found.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Place {
    pub sequence: Sequence,
    pub epoch: Epoch,
    /// First bytes of its own hash, and of its predecessor's hash.
    pub hash: u64,
    pub previous: u64,
    pub offset: u64,
    pub crc: u32,
    /// Index plus one of another event with the same sequence; 0 for none.
    twin: u32,
    pub file: u16,
    /// At most 4 KiB: the search window is no longer.
    pub length: u16,
}

impl Place {
    /// Appends the event to `into`. False if something else is there now, because the engine has
    /// reused the place.
    pub fn read(&self, files: &[File], into: &mut Vec<u8>) -> std::io::Result<bool> {
        let start = into.len();
        into.resize(start + usize::from(self.length), 0);
        let bytes = into.get_mut(start..).unwrap_or_default();
        let Some(file) = files.get(usize::from(self.file)) else {
            return Ok(false);
        };
        file.read_exact_at(bytes, self.offset)?;
        Ok(self.is(bytes))
    }

    fn is(&self, bytes: &[u8]) -> bool {
        let envelope = crate::queue::encoding::decode(bytes);
        envelope.is_ok_and(|envelope| {
            envelope.sequence == self.sequence
                && crc(&envelope) == self.crc
                && short(&envelope.previous) == self.previous
        })
    }
}

/// The first bytes of a hash.
pub(in crate::queue) fn short(hash: &ChainHash) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash.0[..8]);
    u64::from_le_bytes(first)
}

fn crc(envelope: &Envelope<'_>) -> u32 {
    let crc = envelope.bytes.last_chunk();
    u32::from_le_bytes(crc.copied().unwrap_or_default())
}

/// Everything that was found from one event on.
pub(in crate::queue) struct Index {
    from: Sequence,
    places: Vec<Place>,
    /// Index plus one of the first event with each sequence.
    first: HashMap<u64, u32>,
    broken: BTreeMap<Sequence, DecodeError>,
    /// The greatest epoch of all events, and of those before `from`.
    pub epoch: Epoch,
    before: Epoch,
    /// One bit for each event before `from` that was found.
    seen: Vec<u64>,
    twins: bool,
}

/// Events that follow each other, beginning with the requested sequence.
#[derive(Default)]
pub(in crate::queue) struct Chain {
    /// Indices of their places.
    pub places: Vec<u32>,
    /// The event that differs from the one in the log's note.
    pub bad: Option<Sequence>,
}

impl Index {
    /// Takes events from `from` on; earlier ones are not kept.
    pub fn new(from: Sequence) -> Self {
        Self {
            from: from.max(Sequence(1)),
            places: Vec::new(),
            first: HashMap::new(),
            broken: BTreeMap::new(),
            epoch: Epoch(0),
            before: Epoch(0),
            seen: Vec::new(),
            twins: false,
        }
    }

    pub fn take(&mut self, file: u16, found: Found<'_>) {
        match found {
            Found::Whole(offset, envelope) => self.event(file, offset, &envelope),
            Found::Broken(sequence, why) => {
                if self.broken.len() < BROKEN_MAX {
                    self.broken.entry(sequence).or_insert(why);
                }
            }
        }
    }

    fn event(&mut self, file: u16, offset: u64, envelope: &Envelope<'_>) {
        self.epoch = self.epoch.max(envelope.epoch);
        if envelope.sequence < self.from {
            self.before = self.before.max(envelope.epoch);
            self.see(envelope.sequence);
            return;
        }
        let (crc, previous) = (crc(envelope), short(&envelope.previous));
        // The engine rewrites values and leaves old copies behind; one is enough.
        let same = |place: &Place| {
            place.crc == crc && place.previous == previous && place.epoch == envelope.epoch
        };
        if self.at(envelope.sequence).any(|(_, place)| same(&place)) {
            return;
        }
        if self.places.len() >= COPIES_MAX {
            return;
        }
        self.places.push(Place {
            sequence: envelope.sequence,
            epoch: envelope.epoch,
            hash: short(&envelope.hash()),
            previous,
            offset,
            crc,
            twin: 0,
            file,
            length: envelope.bytes.len() as u16,
        });
        let number = self.places.len() as u32;
        let before = self.first.insert(envelope.sequence.0, number);
        if let (Some(before), Some(place)) = (before, self.places.last_mut()) {
            place.twin = before;
            self.twins = true;
        }
    }

    fn see(&mut self, sequence: Sequence) {
        let Ok(word) = usize::try_from(sequence.0 / 64) else {
            return;
        };
        if word >= SEEN_WORDS_MAX {
            return;
        }
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        if let Some(word) = self.seen.get_mut(word) {
            *word |= 1 << (sequence.0 % 64);
        }
    }

    /// The first event up to `last` and before `from` without a complete copy.
    pub fn missing_before(&self, last: Sequence) -> Option<Sequence> {
        let seen = |sequence: u64| {
            let word = usize::try_from(sequence / 64).ok();
            let word = word.and_then(|word| self.seen.get(word));
            word.is_some_and(|word| word >> (sequence % 64) & 1 == 1)
        };
        let mut all = 1..self.from.0.min(last.0.saturating_add(1));
        all.find(|sequence| !seen(*sequence)).map(Sequence)
    }

    /// The different events with this sequence, and their indices.
    fn at(&self, sequence: Sequence) -> impl Iterator<Item = (u32, Place)> + '_ {
        let mut next = self.first.get(&sequence.0).copied().unwrap_or_default();
        std::iter::from_fn(move || {
            let index = next.checked_sub(1)?;
            let place = *self.places.get(index as usize)?;
            next = place.twin;
            Some((index, place))
        })
    }

    pub fn place(&self, index: u32) -> Option<&Place> {
        self.places.get(index as usize)
    }

    /// Chains the events, from the first one on; `after` is the hash of the one before it, if
    /// known.
    ///
    /// If the log was cut and continued, by a power cut or by sled, there are two histories from
    /// there on. Every writer has a greater epoch than earlier ones and has seen what the log
    /// contained when it began, so an event belongs to the past history if one at its place or
    /// before has a greater epoch. Otherwise the longer chain decides.
    pub fn chain(&self, after: Option<u64>, noted: &[Head]) -> Chain {
        let reach = self.reach();
        let reach = |index: u32| reach.get(index as usize).copied().unwrap_or_default();
        let mut chain = Chain::default();
        let (mut next, mut hash, mut epoch) = (self.from, after, self.before);
        loop {
            let newest = self.at(next).map(|(_, place)| place.epoch).max();
            epoch = epoch.max(newest.unwrap_or_default());
            let follows = |place: &Place| {
                place.epoch == epoch && hash.is_none_or(|hash| hash == place.previous)
            };
            let here = self.at(next).filter(|(_, place)| follows(place));
            let Some((index, place)) = here.max_by_key(|(index, _)| reach(*index)) else {
                return chain;
            };
            let other = |note: &Head| note.sequence == next && short(&note.hash) != place.hash;
            if noted.iter().any(other) {
                chain.bad = Some(next);
                return chain;
            }
            chain.places.push(index);
            (next, hash) = (next.next(), Some(place.hash));
        }
    }

    /// The last event of the longest chain that follows each event. Empty if no two events have the
    /// same sequence, because there is nothing to choose.
    fn reach(&self) -> Vec<u64> {
        if !self.twins {
            return Vec::new();
        }
        let mut order: Vec<u32> = (0..).take(self.places.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(self.place(*index).map(|it| it.sequence)));
        let mut reach: Vec<u64> = self.places.iter().map(|place| place.sequence.0).collect();
        for index in order {
            let Some(place) = self.place(index) else {
                continue;
            };
            let so_far = reach.get(index as usize).copied().unwrap_or_default();
            for (before, it) in self.at(Sequence(place.sequence.0.saturating_sub(1))) {
                if it.hash == place.previous
                    && let Some(reach) = reach.get_mut(before as usize)
                {
                    *reach = (*reach).max(so_far);
                }
            }
        }
        reach
    }

    /// Events after `head` that may have followed it, in order. Epochs never descend, so an event
    /// with a lesser one belongs to a history that was taken back.
    pub fn after(&self, head: Sequence, epoch: Epoch) -> Vec<u32> {
        let beyond = |place: &Place| place.sequence > head && place.epoch >= epoch;
        let all = (0..).zip(&self.places);
        let mut found: Vec<u32> = all
            .filter(|(_, place)| beyond(place))
            .map(|(index, _)| index)
            .collect();
        found.sort_by_key(|index| self.place(*index).map(|it| (it.sequence, it.hash)));
        found
    }

    /// Why the event after `head` is missing.
    pub fn why(&self, sequence: Sequence, head: Sequence) -> String {
        if self.at(sequence).next().is_some() {
            return format!("it does not follow event {head}");
        }
        match self.broken.get(&sequence) {
            Some(why) => why.to_string(),
            None => "it is missing".to_owned(),
        }
    }
}
