//! What a run leaves for those who come later: the file to which it writes without a terminal, and
//! how its process ended.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;

/// Longest end of a run that is read: an error's text has some hundred bytes.
const END_BYTES_MAX: u64 = 1 << 20;

/// The log file of a run without a terminal.
pub struct RunLog {
    /// Its path.
    pub path: PathBuf,
    /// The file, to append to.
    pub file: File,
}

impl RunLog {
    /// Path of the file in a data directory.
    pub fn path(data: &Path) -> PathBuf {
        data.join("run.log")
    }

    /// Creates the file. That of the run before is kept, as `run.log.1`.
    ///
    /// # Errors
    /// On an I/O error.
    pub fn create(data: &Path) -> io::Result<Self> {
        let path = Self::path(data);
        match fs::rename(&path, data.join("run.log.1")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.create_new(true).append(true).open(&path)?;
        Ok(Self { path, file })
    }
}

/// How a run's process ended, for whoever is attached to it. A killed process leaves the end of an
/// earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnd {
    /// The process.
    pub pid: u32,
    /// Its exit code.
    pub exit_code: u8,
    /// Why the run ended, as the run printed it.
    pub reason: String,
    /// The error, as text; empty if there was none.
    pub error: String,
}

impl ProcessEnd {
    /// This process's end.
    pub fn of(result: Result<(ExitCode, &str), &Error>) -> Self {
        let (code, reason, error) = match result {
            Ok((code, reason)) => (code, reason.to_owned(), String::new()),
            Err(error) => (error.code, String::new(), error.to_string()),
        };
        Self {
            pid: std::process::id(),
            exit_code: code.code(),
            reason,
            error,
        }
    }

    fn path(project: &Project) -> PathBuf {
        project.data.join("last-end.json")
    }

    /// Writes it. Whoever is attached only learns less if that fails, for example because there is
    /// no data directory yet.
    pub fn write(&self, project: &Project) {
        let path = Self::path(project);
        let new = path.with_extension("new");
        let text = serde_json::to_string(self).unwrap_or_default();
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = written {
            tracing::debug!(%error, "cannot write how the run ended");
        }
    }

    /// How the process `pid` ended; `None` if it was killed.
    pub fn read(project: &Project, pid: u32) -> Option<Self> {
        use std::io::Read;
        let mut text = String::new();
        let file = File::open(Self::path(project)).ok()?;
        file.take(END_BYTES_MAX).read_to_string(&mut text).ok()?;
        let end: Self = serde_json::from_str(&text).ok()?;
        (end.pid == pid).then_some(end)
    }
}
