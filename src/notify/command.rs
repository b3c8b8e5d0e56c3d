//! A person's own program. It runs outside of the cage, with the person's environment.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::payload::Payload;
use super::target::{Failed, Target};

/// Time for one try; a program that sends a message needs a second or two.
const LIMIT: Duration = Duration::from_secs(10);
/// How often to look whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Most bytes of the program's error output that are told.
const SAID_BYTES_MAX: u64 = 500;

/// A shell command.
pub struct CommandTarget {
    command: String,
    directory: PathBuf,
}

impl CommandTarget {
    /// Runs `command` in this directory.
    pub fn new(command: String, directory: PathBuf) -> Self {
        Self { command, directory }
    }

    fn run(&self, payload: &Payload, given_up: &dyn Fn() -> bool) -> std::io::Result<Ended> {
        let mut said = tempfile::tempfile()?;
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .envs(payload.variables())
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said.try_clone()?)
            // So that it can be ended with everything that it started, and Ctrl-C does not reach it.
            .process_group(0)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // Smaller than a pipe's buffer, so that this does not wait; a program need not read it.
            let _ = input.write_all(&payload.json());
        }
        let status = wait(&mut child, given_up)?;
        let length = said.seek(SeekFrom::End(0))?;
        said.seek(SeekFrom::Start(length.saturating_sub(SAID_BYTES_MAX)))?;
        let mut text = Vec::new();
        said.take(SAID_BYTES_MAX).read_to_end(&mut text)?;
        let said = String::from_utf8_lossy(&text).trim().to_owned();
        Ok(Ended { status, said })
    }
}

struct Ended {
    /// `None` if it was ended because it took too long.
    status: Option<ExitStatus>,
    said: String,
}

/// Waits for the program, and ends its process group after the limit.
fn wait(child: &mut Child, given_up: &dyn Fn() -> bool) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= LIMIT || given_up() {
            break;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait()?;
    Ok(None)
}

impl Target for CommandTarget {
    fn name(&self) -> &'static str {
        "notify.command"
    }

    fn deliver(&self, payload: &Payload, given_up: &dyn Fn() -> bool) -> Result<(), Failed> {
        let failed = |why: String| Failed { why, again: true };
        let ended = self.run(payload, given_up);
        let Ended { status, said } = ended.map_err(|error| failed(error.to_string()))?;
        let said = match said.as_str() {
            "" => String::new(),
            said => format!(": {said}"),
        };
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(failed(format!("it ended with {status}{said}"))),
            None => Err(failed(format!(
                "it took longer than {} s and was ended{said}",
                LIMIT.as_secs()
            ))),
        }
    }
}
