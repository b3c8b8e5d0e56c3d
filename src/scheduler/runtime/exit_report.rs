//! Describes how one of the scheduler's own workers ended.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use crate::scheduler::worker_pool::ChildEnd;

/// Bytes of error output that are searched: an error is a few lines.
const TAIL_BYTES: u64 = 4_096;

/// Exit code of a worker that a person interrupted.
const INTERRUPTED: i32 = 130;

/// SIGKILL, which no process sends itself.
const KILL: i32 = 9;

/// Classifies an end. `said` is called only if the text matters.
pub fn of(status: std::io::Result<ExitStatus>, said: impl Fn() -> String) -> ChildEnd {
    let how = match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(0 | INTERRUPTED), _) => return ChildEnd::Well,
            (None, Some(KILL)) => return ChildEnd::Killed,
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        },
        Err(error) => error.to_string(),
    };
    ChildEnd::Failed { how, said: said() }
}

/// The last error in a file of a worker's output, or else its last line. Reads nothing before byte
/// `from`. Empty if there is nothing.
pub fn stderr_tail(path: &Path, from: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        let from = from.max(end.saturating_sub(TAIL_BYTES));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text
        .lines()
        .map(plain)
        .filter(|it| !it.is_empty())
        .collect();
    let Some(error) = lines.iter().rposition(|line| line.starts_with("error: ")) else {
        return lines.into_iter().next_back().unwrap_or_default();
    };
    let mut words = lines.into_iter().skip(error);
    let mut out = words.next().unwrap_or_default();
    if let Some(why) = words.next().filter(|line| line.starts_with("why: ")) {
        out = format!("{out}, {why}");
    }
    out
}

fn plain(line: &str) -> String {
    let clean = line.chars().filter(|letter| !letter.is_control());
    clean.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let failed = |how: &str| ChildEnd::Failed {
            how: how.to_owned(),
            said: "words".to_owned(),
        };
        for (wait, expected) in [
            (0, ChildEnd::Well),
            (130 << 8, ChildEnd::Well),
            (9, ChildEnd::Killed),
            (1 << 8, failed("exit code 1")),
            (4 << 8, failed("exit code 4")),
            (11, failed("signal 11")),
        ] {
            let end = of(Ok(ExitStatus::from_raw(wait)), || "words".to_owned());
            assert_eq!(end, expected);
        }
        let end = of(Err(std::io::Error::other("lost")), || "words".to_owned());
        assert_eq!(end, failed("lost"));
    }

    #[test]
    fn the_last_error_is_found_or_the_last_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("workers.log");
        assert_eq!(stderr_tail(&path, 0), "");
        let error = "error: no\n  why: full\n next: mend it\n";
        let far = format!("{}\n{error}", "x".repeat(3 * TAIL_BYTES as usize));
        for (text, from, expected) in [
            ("", 0, ""),
            ("one\n\u{1b}two\n\n", 0, "two"),
            (error, 0, "error: no, why: full"),
            (&*far, 0, "error: no, why: full"),
            ("error: old\nnew", 11, "new"),
            ("error: bare\nnext: later", 0, "error: bare"),
            ("short", 1_000, ""),
        ] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(stderr_tail(&path, from), expected, "{text:?}");
        }
    }
}
