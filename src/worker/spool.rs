//! The spool: one file for each present attempt, under a lock that ends with its worker. It
//! contains the attempt's result as soon as there is one, synced before it is reported, so that any
//! process that finds the file without its lock can report it.
//!
//! A file is `<data>/spool/<attempt>.json`: a line with a checksum, then JSON. A new result is
//! written beside it and moved over it, and both are locked at that moment: at no time is there an
//! unlocked file of a living worker, or half a result.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::ids::{AttemptId, ContentHash};
use crate::model::report::AttemptReport;
use crate::model::settings::WorkerKind;

use super::machine::Leftover;

/// A report is a frame of at most 4 MiB; as JSON it may be several times longer.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Left-overs that one worker recovers at its start; the next worker recovers the next ones.
const KEPT_MAX: usize = 64;

const MAGIC: &str = "crewlog-spool-1";

/// The spool failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The system refused something.
    #[error("cannot {doing} {path:?}: {source}; free disk space, or fix the permissions")]
    Io {
        /// The operation, as a verb.
        doing: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A living worker has the file.
    #[error("the spool file {path:?} belongs to another worker that is still alive")]
    Held {
        /// Path of the file or directory.
        path: PathBuf,
    },
}

/// The contents of a spool file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The attempt of the file.
    pub attempt: AttemptId,
    /// What kind of job.
    pub kind: WorkerKind,
    /// The integration branch, to find out whether the work was merged.
    pub branch: String,
    /// The result, if there is one.
    pub result: Option<AttemptReport>,
}

/// A spool file that is ours: locked until this is dropped or the process dies.
#[derive(Debug)]
pub struct SpoolFile {
    path: PathBuf,
    file: File,
    entry: Entry,
}

impl SpoolFile {
    /// Creates the file of a new attempt, without a result. It is not synced: after a power cut
    /// there is no worker and nothing to report either way.
    ///
    /// # Errors
    /// The disk refuses, or a living worker has the attempt.
    pub fn create(data: &Path, entry: Entry) -> Result<Self, SpoolError> {
        let dir = directory(data);
        // Only this directory: if the project has vanished, nothing may be created in its place.
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_error("make", &dir)(error));
            }
            _ => {}
        }
        let path = path(data, entry.attempt);
        if let Ok(old) = File::options().read(true).write(true).open(&path)
            && !lock(&old)
        {
            return Err(SpoolError::Held { path });
        }
        let file = write_beside(&path, &entry, false)?;
        Ok(Self { path, file, entry })
    }

    /// The file's contents.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Writes the result, and returns when it is durable.
    ///
    /// # Errors
    /// The disk refuses; the earlier contents are still there.
    pub fn write(&mut self, report: &AttemptReport) -> Result<(), SpoolError> {
        self.entry.result = Some(report.clone());
        self.file = write_beside(&self.path, &self.entry, true)?;
        Ok(())
    }

    /// Removes the file: the attempt is answered and cleaned up.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove(self) -> Result<(), SpoolError> {
        let beside = beside(&self.path);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &beside)(error));
            }
            _ => {}
        }
        fs::remove_file(&self.path).map_err(io_error("remove", &self.path))
    }
}

/// The result in the spool file of an attempt, whichever process holds it. For a scheduler whose
/// worker has ended. A damaged file has none.
pub fn read(data: &Path, attempt: AttemptId) -> Option<AttemptReport> {
    let mut file = File::open(path(data, attempt)).ok()?;
    let bytes = content(&mut file).ok()?;
    decode(&bytes).ok()?.result
}

/// Recovers what dead workers left behind, oldest attempt first, at most 64 of them.
///
/// # Errors
/// The directory cannot be read.
pub fn take_up(data: &Path) -> Result<Vec<(Leftover, SpoolFile)>, SpoolError> {
    let dir = directory(data);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_error("read", &dir))?,
    };
    let mut attempts: Vec<AttemptId> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let number = name.to_str()?.strip_suffix(".json")?.parse().ok()?;
            Some(AttemptId(number))
        })
        .collect();
    attempts.sort_unstable();
    let taken = attempts
        .into_iter()
        .filter_map(|attempt| take(data, attempt));
    Ok(taken.take(KEPT_MAX).collect())
}

/// The files of attempts after `last`, each with whether a living worker holds it. For a repair,
/// after which those numbers belong to other attempts.
///
/// # Errors
/// The directory cannot be read.
pub fn after(data: &Path, last: AttemptId) -> Result<Vec<(PathBuf, bool)>, SpoolError> {
    let dir = directory(data);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_error("read", &dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error("read", &dir))?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if number.is_none_or(|number: u64| number <= last.0) {
            continue;
        }
        let file = match File::open(&path) {
            // Its worker has just removed or renamed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(io_error("open", &path))?,
        };
        found.push((path, !lock(&file)));
    }
    found.sort();
    Ok(found)
}

/// Removes unfinished files of dead workers. True if no living worker has an attempt.
///
/// # Errors
/// The directory cannot be read.
pub fn remove_unfinished(data: &Path) -> Result<bool, SpoolError> {
    let found = after(data, AttemptId(0))?;
    let is_held = |path: &Path| found.iter().any(|(other, held)| *held && other == path);
    for (path, held) in &found {
        let unfinished = path.extension().is_some_and(|it| it == "new");
        if unfinished && !held && !is_held(&path.with_extension("json")) {
            fs::remove_file(path).map_err(io_error("remove", path))?;
        }
    }
    Ok(!found.iter().any(|(_, held)| *held))
}

fn take(data: &Path, attempt: AttemptId) -> Option<(Leftover, SpoolFile)> {
    let path = path(data, attempt);
    let mut file = File::options().read(true).write(true).open(&path).ok()?;
    // It may have been replaced or removed between opening and locking.
    if !lock(&file) || !is_at(&file, &path) {
        return None;
    }
    let entry = match content(&mut file).and_then(|bytes| decode(&bytes)) {
        Ok(entry) => entry,
        Err(error) => {
            tracing::warn!(?path, %error, "a spool file is damaged; cleaning up its attempt");
            Entry {
                attempt,
                kind: WorkerKind::Coding,
                branch: String::new(),
                result: None,
            }
        }
    };
    let leftover = Leftover {
        attempt,
        kind: entry.kind,
        report: entry.result.clone(),
    };
    Some((leftover, SpoolFile { path, file, entry }))
}

fn directory(data: &Path) -> PathBuf {
    data.join("spool")
}

fn path(data: &Path, attempt: AttemptId) -> PathBuf {
    directory(data).join(format!("{}.json", attempt.0))
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    move |source| SpoolError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Takes the lock unless another process has it. The file is close-on-exec, like every file that
/// `std` opens, so no agent can hold it after our death.
fn lock(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

/// Writes the entry into a new, locked file and moves it to `path`.
fn write_beside(path: &Path, entry: &Entry, sync: bool) -> Result<File, SpoolError> {
    let beside = beside(path);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(io_error("make", &beside))?;
    if !lock(&file) {
        return Err(SpoolError::Held { path: beside });
    }
    let result = (|| {
        file.write_all(&encode(entry)?)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&beside, path)?;
        if sync {
            // Syncs the file's name, and that of the spool, which another worker may just have
            // created.
            for dir in path.ancestors().skip(1).take(2) {
                File::open(dir)?.sync_all()?;
            }
        }
        Ok(())
    })();
    if let Err(error) = result {
        // Half a file is of no use, and takes room on a disk that may have none.
        let _ = fs::remove_file(&beside);
        return Err(io_error("write", path)(error));
    }
    Ok(file)
}

/// The bytes of a spool file.
///
/// # Errors
/// None for an entry that could be made.
pub fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(entry)?;
    let hash = ContentHash(Sha256::digest(&body).into());
    let mut bytes = format!("{MAGIC} {hash}\n").into_bytes();
    bytes.extend(body);
    Ok(bytes)
}

fn content(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Parses the bytes of a spool file.
///
/// # Errors
/// They were altered after writing.
pub fn decode(bytes: &[u8]) -> io::Result<Entry> {
    let damaged = || io::Error::other("has altered content");
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(end.ok_or_else(damaged)?);
    let body = body.get(1..).unwrap_or_default();
    let hash = ContentHash(Sha256::digest(body).into());
    if head != format!("{MAGIC} {hash}").as_bytes() {
        return Err(damaged());
    }
    let mut entry: Entry = serde_json::from_slice(body)?;
    if let Some(result) = &mut entry.result {
        result.attempt = entry.attempt;
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::Usage;
    use crate::model::ids::CommandId;
    use crate::model::report::Report;

    fn entry(attempt: u64) -> Entry {
        Entry {
            attempt: AttemptId(attempt),
            kind: WorkerKind::Testing,
            branch: "crewlog/main".to_owned(),
            result: None,
        }
    }

    fn spooled() -> AttemptReport {
        AttemptReport {
            command: CommandId(u128::MAX),
            attempt: AttemptId(7),
            report: Report::Released {
                detail: String::new(),
                reason: "test".into(),
            },
            usage: Usage {
                input_tokens: u64::MAX,
                ..Usage::default()
            },
            workless: false,
        }
    }

    #[test]
    fn a_living_workers_file_is_not_taken_and_a_dead_ones_is() {
        let data = tempfile::tempdir().expect("a directory");
        let mut file = SpoolFile::create(data.path(), entry(7)).expect("a file");
        assert!(take_up(data.path()).expect("a list").is_empty());
        file.write(&spooled()).expect("a result");
        assert!(take_up(data.path()).expect("a list").is_empty());
        assert!(matches!(
            SpoolFile::create(data.path(), entry(7)),
            Err(SpoolError::Held { .. })
        ));
        assert_eq!(read(data.path(), AttemptId(7)), Some(spooled()));
        // As death does.
        drop(file);
        let mut taken = take_up(data.path()).expect("a list");
        let (leftover, mut ours) = taken.pop().expect("one");
        assert_eq!(leftover.report, Some(spooled()));
        assert_eq!(leftover.kind, WorkerKind::Testing);
        assert!(take_up(data.path()).expect("a list").is_empty(), "once");
        ours.write(&spooled()).expect("written again");
        ours.remove().expect("removed");
        let left = fs::read_dir(directory(data.path())).expect("a directory");
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn an_attempt_without_a_result_is_found_too() {
        let data = tempfile::tempdir().expect("a directory");
        assert!(take_up(data.path()).expect("no directory yet").is_empty());
        for attempt in [12, 7, 9] {
            drop(SpoolFile::create(data.path(), entry(attempt)).expect("a file"));
        }
        let taken = take_up(data.path()).expect("a list");
        let order: Vec<u64> = taken
            .iter()
            .map(|(leftover, _)| leftover.attempt.0)
            .collect();
        assert_eq!(order, [7, 9, 12]);
        assert!(taken.iter().all(|(leftover, _)| leftover.report.is_none()));
    }

    #[test]
    fn damage_is_noticed() {
        let data = tempfile::tempdir().expect("a directory");
        let mut file = SpoolFile::create(data.path(), entry(7)).expect("a file");
        file.write(&spooled()).expect("a result");
        drop(file);
        let path = path(data.path(), AttemptId(7));
        let good = fs::read(&path).expect("bytes");
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, &bad).expect("written");
            assert_eq!(read(data.path(), AttemptId(7)), None, "byte {at}");
            fs::write(&path, &good[..at]).expect("written");
            assert_eq!(read(data.path(), AttemptId(7)), None, "cut at {at}");
        }
        let taken = take_up(data.path()).expect("a list");
        assert_eq!(
            taken.first().map(|(leftover, _)| leftover.report.clone()),
            Some(None)
        );
    }

    /// Files as version 8 of the protocol wrote them, when reasons were words and every check had an
    /// exit code. Their worker may have died just before the scheduler was updated.
    #[test]
    fn files_of_earlier_versions_are_read() {
        let (commit, hash) = ("1".repeat(40), "ab".repeat(32));
        let run = |code| {
            format!(r#"{{"command":"make","exit_code":{code},"duration_ms":7,"output":"{hash}"}}"#)
        };
        let table = [
            (
                r#"{"Released":{"reason":"its worker died"}}"#.to_owned(),
                "released",
            ),
            (
                format!(
                    r#"{{"Failed":{{"failures":[[5,{{"kind":"check_failed","reason":"no","checks":[{}]}}]],"limited_until":null}}}}"#,
                    run(124)
                ),
                "failed",
            ),
            (
                format!(
                    r#"{{"Mergeable":{{"onto":"{commit}","commit":"{commit}","touched":["a"],"touched_total":1,"evidence":[[5,{{"basis":"checks","commit":"{commit}","tree":"{commit}","checks":[{}]}}]],"notes":[]}}}}"#,
                    run(0)
                ),
                "mergeable",
            ),
            (
                r#"{"Tested":{"verdicts":[[5,{"Inconclusive":{"kind":{"trouble":"hook"},"reason":"x","checks":[]}}]],"limited_until":9}}"#.to_owned(),
                "tested",
            ),
        ];
        for (report, word) in table {
            let command = CommandId(u128::MAX).0;
            let body = format!(
                r#"{{"attempt":7,"kind":"coding","branch":"crewlog/main","result":{{"command":{command},"report":{report},"usage":{{"input_tokens":1,"output_tokens":2,"cost_microusd":3}}}}}}"#
            );
            let sum = ContentHash(Sha256::digest(body.as_bytes()).into());
            let entry = decode(format!("{MAGIC} {sum}\n{body}").as_bytes());
            let result = entry.expect(word).result.expect(word);
            assert_eq!(result.report.as_str(), word);
            let written = (result.attempt, result.command, result.workless);
            assert_eq!(written, (AttemptId(7), CommandId(u128::MAX), false));
            assert_eq!(result.usage.tokens(), 3);
        }
    }
}
