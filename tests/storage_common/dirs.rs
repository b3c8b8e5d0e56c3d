//! Logs in directories.

use std::fs;
use std::path::Path;

use crewlog::model::event::Recorded;
use crewlog::model::ids::Sequence;
use crewlog::queue::log::{EventLog, Head};
use crewlog::queue::{Error, OpenOptions, SledLog};

use super::smalls;

pub fn open(dir: &Path) -> Result<SledLog, Error> {
    SledLog::open(dir, &OpenOptions::default())
}

pub fn all(log: &dyn EventLog) -> Vec<Recorded> {
    let chunk = log.read(Sequence(1), usize::MAX).unwrap();
    assert_eq!(chunk.count as u64, log.head().sequence.0);
    chunk.events(log.contents()).unwrap()
}

/// A closed log of `count` small events, in batches of changing sizes.
pub fn closed(dir: &Path, count: u64) -> Head {
    let log = open(dir).unwrap();
    let epoch = log.lead().unwrap();
    let mut next = 1;
    for size in [1, 5, 1, 1, 16, 40, 2].into_iter().cycle() {
        let size = size.min(count + 1 - next);
        if size == 0 {
            break;
        }
        let batch = smalls(next, size, epoch);
        log.append(&batch, Sequence(next - 1), epoch).unwrap();
        next += size;
    }
    let head = log.head();
    log.close().unwrap();
    head
}

pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// sled without our rules, for looking at what is there.
pub fn reopened(home: &Path) -> sled::Db {
    loop {
        match sled::Config::new().path(home).open() {
            // Its threads may hold its lock for a moment longer.
            Err(error) if error.to_string().contains("lock") => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}
