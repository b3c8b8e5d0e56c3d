//! How far a target got, in a file that outlives the scheduler.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::ids::Sequence;

/// Longest file that is read.
const BYTES_MAX: u64 = 4_096;

/// The file and its content.
#[derive(Debug)]
pub struct Cursor {
    path: PathBuf,
    known: Known,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Notices up to this event are dealt with.
    done: Sequence,
    /// The event whose notice is being delivered. If the process dies meanwhile, nobody knows
    /// whether it arrived, so it is not repeated.
    trying: Option<Sequence>,
}

impl Cursor {
    /// Reads the file; without a readable one, everything up to `last` counts as dealt with.
    pub fn open(path: PathBuf, last: Sequence) -> Self {
        let begin = Known {
            done: last,
            trying: None,
        };
        let small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= BYTES_MAX);
        let text = small.then(|| fs::read(&path).ok()).flatten();
        let known = text.and_then(|text| serde_json::from_slice::<Known>(&text).ok());
        // A log that was replaced by a shorter one begins anew.
        let known = known.filter(|known| known.done <= last).unwrap_or(begin);
        let mut cursor = Self { path, known };
        let tried = known.trying.unwrap_or(known.done);
        cursor.done(tried.max(known.done).min(last));
        cursor
    }

    /// The last event that is dealt with.
    pub fn last(&self) -> Sequence {
        self.known.done
    }

    /// An event's notice is about to be delivered.
    pub fn trying(&mut self, event: Sequence) {
        self.write(Known {
            trying: Some(event),
            ..self.known
        });
    }

    /// The last try failed for certain.
    pub fn failed(&mut self) {
        self.write(Known {
            trying: None,
            ..self.known
        });
    }

    /// Everything up to this event is dealt with.
    pub fn done(&mut self, event: Sequence) {
        self.write(Known {
            done: event.max(self.known.done),
            trying: None,
        });
    }

    fn write(&mut self, known: Known) {
        self.known = known;
        let new = self.path.with_extension("new");
        let text = serde_json::to_vec(&known).unwrap_or_default();
        // Not synced: after a power cut, a notice may come twice, and that is better than a wait for
        // the disk before each.
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = written {
            tracing::debug!(%error, "cannot note which notices were delivered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_arrived_is_not_repeated() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("cursor");
        let open = |last| Cursor::open(path.clone(), Sequence(last));
        let mut cursor = open(7);
        assert_eq!(cursor.last(), Sequence(7), "a new target begins now");
        cursor.trying(Sequence(9));
        cursor.failed();
        assert_eq!(open(20).last(), Sequence(7), "it did not arrive");
        cursor.trying(Sequence(9));
        assert_eq!(open(20).last(), Sequence(9), "it may have arrived");
        cursor.done(Sequence(12));
        assert_eq!(open(20).last(), Sequence(12));
        assert_eq!(open(3).last(), Sequence(3), "another log");
        fs::write(&path, "no JSON").expect("a file");
        assert_eq!(open(5).last(), Sequence(5));
    }
}
