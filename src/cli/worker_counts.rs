//! How many workers a run has.

use std::str::FromStr;

/// How many workers of each kind `run` starts and keeps running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Number of coding workers.
    pub coding: u32,
    /// Number of testing workers.
    pub testing: u32,
}

impl WorkerCounts {
    /// More worker processes than this of one kind do not fit any machine that we know of.
    pub const EACH_MAX: u32 = 1_000;
}

impl FromStr for WorkerCounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut coding, mut testing) = (None, None);
        for part in text.split(',') {
            let (kind, count) = part.split_once('=').ok_or_else(|| {
                format!("{part:?} is not KIND=N; for example: coding=3,testing=1")
            })?;
            let slot = match kind.trim() {
                "coding" => &mut coding,
                "testing" => &mut testing,
                other => {
                    return Err(format!(
                        "unknown kind of worker {other:?}; use coding or testing"
                    ));
                }
            };
            let count: u32 = count
                .trim()
                .parse()
                .ok()
                .filter(|count| *count <= Self::EACH_MAX)
                .ok_or_else(|| format!("{count:?} is not a number from 0 to {}", Self::EACH_MAX))?;
            if slot.replace(count).is_some() {
                return Err(format!("{} is given twice", kind.trim()));
            }
        }
        Ok(Self {
            coding: coding.unwrap_or(0),
            testing: testing.unwrap_or(0),
        })
    }
}
