//! Cutting a trace everywhere, again and again.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::disk::{Disk, Luck, materialize};
use crate::run::temporary;
use crate::trace::Record;

/// The seed that this run begins with.
pub fn first_seed() -> u64 {
    let given = std::env::var("CREWLOG_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    given.unwrap_or_else(rand::random::<u64>) >> 16 << 16
}

/// How long to go on; what has to be seen at least is seen whatever it takes.
pub fn time_to_go_on(default: Duration) -> Duration {
    let given = std::env::var("CREWLOG_POWER_LOSS_SECONDS").ok();
    let given = given.and_then(|text| text.parse().ok());
    given.map_or(default, Duration::from_secs)
}

/// One power cut.
pub struct Cut<'a> {
    /// What is left, in a directory of its own.
    pub dir: &'a Path,
    /// What had happened until then.
    pub before: &'a [Record],
    /// Changes from cut to cut, for what is not looked at every time.
    pub number: usize,
}

/// Cuts the power after every `step`th record and looks at what is left, in rounds: first with
/// nothing of what was not synced, then with parts of it, drawn from seeds, one round at least and
/// on until the time is up. Returns the number of cuts.
pub fn cut_everywhere(
    disk: &Disk,
    records: &[Record],
    step: usize,
    time: Duration,
    look: impl FnMut(&Cut<'_>),
) -> usize {
    let place = temporary();
    cut_everywhere_in(&place.path().join("left"), disk, records, step, time, look)
}

/// The same, where what is left has to be at one place because it names that place.
pub fn cut_everywhere_in(
    place: &Path,
    disk: &Disk,
    records: &[Record],
    step: usize,
    time: Duration,
    mut look: impl FnMut(&Cut<'_>),
) -> usize {
    let (began, seed) = (Instant::now(), first_seed());
    let mut cuts = 0;
    for round in 0.. {
        let mut disk = disk.clone();
        for at in 0..=records.len() {
            if round > 1 && began.elapsed() > time {
                return cuts;
            }
            // Other ones in each round.
            if (at + round * 7).is_multiple_of(step) || at == records.len() {
                let luck = match round {
                    0 => Luck::None,
                    round => Luck::Seed(seed + (round * 10_000 + at) as u64),
                };
                let number = cuts;
                let before = &records[..at];
                cut(place, &disk, luck, || {
                    look(&Cut {
                        dir: place,
                        before,
                        number,
                    });
                })
                .unwrap_or_else(|panic| {
                    println!("CREWLOG_SEED={seed}: round {round}, cut {at}, {luck:?}");
                    println!("after {:?}", before.last().map(shown));
                    resume_unwind(panic)
                });
                cuts += 1;
            }
            if let Some(record) = records.get(at) {
                disk.apply(record);
            }
        }
    }
    cuts
}

/// Makes what a cut leaves in `place`, which then has nothing else, and looks at it. Of one that
/// fails, a copy stays for people to look at.
pub fn cut(place: &Path, disk: &Disk, luck: Luck, look: impl FnOnce()) -> std::thread::Result<()> {
    if place.exists() {
        fs::remove_dir_all(place).expect("what the last cut left");
    }
    fs::create_dir(place).expect("a directory");
    materialize(&disk.cut(luck), place);
    let looked = catch_unwind(AssertUnwindSafe(look));
    if looked.is_err() {
        // Opening has changed it; this is how it was found.
        let kept = temporary().keep();
        materialize(&disk.cut(luck), &kept);
        println!("what the cut left is in {}", kept.display());
    }
    looked
}

fn shown(record: &Record) -> String {
    let text = format!("{record:?}");
    text.chars().take(200).collect()
}
