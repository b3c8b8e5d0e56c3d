//! Runs the `git` program with a clean environment, and with limits on time and output.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::launch::{Direct, Exit, Input, Launcher, Program, Reader, Running};
use super::move_lock::MoveLock;
use super::version::Version;
use super::{Error, Result};
use crate::model::clip::clip_chars;
use crate::stopwatch;

/// Time limit of calls that read and write a few objects or refs, which take milliseconds. After
/// two minutes, the disk has stopped.
const SMALL_CALL: Duration = Duration::from_secs(120);

/// Time limit of calls that go through the whole working tree and may write gigabytes.
const TREE_CALL: Duration = Duration::from_secs(900);

/// Answers that are kept completely are ids, refs, and lists of files in conflict: 8 MiB are some
/// 100,000 paths.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The beginning of git's complaint, which is quoted.
const COMPLAINT_BYTES_MAX: usize = 16 << 10;

/// How long calls may take, and what may end them.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// A call that goes through a whole tree ends after this long without output, and has no other
    /// limit. `None` limits the whole call to fifteen minutes.
    pub idle: Option<Duration>,
    /// Ends the running call, and every later one.
    pub cancel: CancellationToken,
}

/// The `git` program, and how it is called.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    sync: &'static str,
    launcher: Arc<dyn Launcher>,
    limits: Limits,
}

impl Default for Git {
    fn default() -> Self {
        Self::at("git")
    }
}

impl Git {
    /// A program by name (looked up in PATH) or path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            sync: fixed::SYNC,
            launcher: Arc::new(Direct),
            limits: Limits::default(),
        }
    }

    /// The same program with another launcher and other limits.
    #[must_use]
    pub fn started_by(self, launcher: Arc<dyn Launcher>, limits: Limits) -> Self {
        Self {
            launcher,
            limits,
            ..self
        }
    }

    /// The same program with other limits.
    pub(super) fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The same program, called as this version requires.
    pub(super) fn of_version(self, version: Version) -> Self {
        let sync = match version >= Version::FSYNC {
            true => fixed::SYNC,
            false => fixed::SYNC_BEFORE,
        };
        Self { sync, ..self }
    }

    /// Reads the version, and refuses one that is too old.
    pub async fn version(&self) -> Result<Version> {
        let output = self.call("ask git for its version").arg("version").ok();
        let said = output.await?.text();
        let version = Version::parse(&said).filter(|version| *version >= Version::OLDEST);
        version.ok_or_else(|| Error::GitTooOld {
            program: self.program.clone(),
            found: said,
            needed: Version::OLDEST.to_string(),
        })
    }

    /// A call for the operation `doing` ("cannot {doing}: ...").
    pub(super) fn call(&self, doing: &'static str) -> Call {
        Call {
            git: self.clone(),
            doing,
            before: Vec::new(),
            args: Vec::new(),
            dir: PathBuf::from("/"),
            env: Vec::new(),
            input: Vec::new(),
            lock: None,
            limit: SMALL_CALL,
            whole_tree: false,
        }
    }
}

/// One call of git.
#[derive(Debug)]
pub(super) struct Call {
    git: Git,
    pub(super) doing: &'static str,
    before: Vec<OsString>,
    args: Vec<OsString>,
    dir: PathBuf,
    env: Vec<(&'static str, OsString)>,
    input: Vec<u8>,
    lock: Option<MoveLock>,
    limit: Duration,
    whole_tree: bool,
}

/// The output of a call.
#[derive(Debug)]
pub(super) struct Output {
    /// Its exit code. A call that a signal ended is an error.
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Output {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

impl Call {
    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    pub(super) fn dir(mut self, dir: &Path) -> Self {
        self.dir = dir.to_owned();
        self
    }

    pub(super) fn git_dir(mut self, git_dir: &Path) -> Self {
        self.before.push("--git-dir".into());
        self.before.push(git_dir.into());
        self
    }

    /// Sets the working tree; the call gets the time limit of a whole tree.
    pub(super) fn work_tree(mut self, work_tree: &Path) -> Self {
        self.before.push("--work-tree".into());
        self.before.push(work_tree.into());
        self.dir = work_tree.to_owned();
        self.whole_tree()
    }

    pub(super) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    pub(super) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Gives git a lock as its standard input, which it holds while it lives.
    pub(super) fn holding(mut self, lock: &MoveLock) -> Self {
        self.lock = Some(lock.clone());
        self
    }

    /// Sets the time limit of a whole tree, for calls that write one.
    pub(super) fn whole_tree(mut self) -> Self {
        self.limit = TREE_CALL;
        self.whole_tree = true;
        self
    }

    #[cfg(test)]
    fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it; any exit code is accepted.
    pub(super) async fn run(self) -> Result<Output> {
        self.run_keeping().await.map(|(_, output)| output)
    }

    /// Runs it; an exit code other than 0 is an error.
    pub(super) async fn ok(self) -> Result<Output> {
        let (call, output) = self.run_keeping().await?;
        match output.code {
            0 => Ok(output),
            _ => Err(call.failed(&output)),
        }
    }

    /// Runs it and also returns the call, for an error that names it.
    pub(super) async fn run_keeping(self) -> Result<(Self, Output)> {
        let mut stdout = Vec::new();
        let mut fits = true;
        let (code, stderr) = self
            .stream(&mut |bytes| {
                fits = fits && stdout.len() + bytes.len() <= ANSWER_BYTES_MAX;
                if fits {
                    stdout.extend_from_slice(bytes);
                }
            })
            .await?;
        if !fits {
            return Err(Error::OutputLimit {
                doing: self.doing,
                command: self.shown(),
                bytes: ANSWER_BYTES_MAX,
            });
        }
        let output = Output {
            code,
            stdout,
            stderr,
        };
        Ok((self, output))
    }

    /// Runs it and passes its output on as it arrives, without a size limit. Returns the exit code
    /// and git's complaint.
    pub(super) async fn stream(
        &self,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(i32, String)> {
        let cancel = &self.git.limits.cancel;
        if cancel.is_cancelled() {
            return Err(self.cancelled(String::new()));
        }
        let starting = self.git.launcher.launch(self.program());
        let started = stopwatch::timeout(self.limit, starting).await;
        let started = started.ok_or_else(|| self.timed_out(self.limit, String::new()))?;
        let Running {
            stdin,
            stdout,
            stderr,
            mut process,
        } = started.map_err(|source| self.not_started(source))?;
        let mut complaint = Vec::new();
        let (alive, life) = watch::channel(());
        let talk = async {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A git that ends before it has read everything says why by itself.
                    let _ = stdin.write_all(&self.input).await;
                }
            };
            let mut keep = |bytes: &[u8]| {
                let room = COMPLAINT_BYTES_MAX - complaint.len().min(COMPLAINT_BYTES_MAX);
                complaint.extend(bytes.iter().take(room));
            };
            let out = drain(stdout, sink, &alive);
            let (_, out, err) = tokio::join!(feed, out, drain(stderr, &mut keep, &alive));
            out.and(err)?;
            process.wait().await
        };
        let ended = tokio::select! {
            biased;
            ended = talk => Some(ended),
            () = cancel.cancelled() => None,
            limit = self.time_is_up(life) => {
                let detail = detail(&process.running(), &complaint);
                process.end().await;
                return Err(self.timed_out(limit, detail));
            }
        };
        let Some(ended) = ended else {
            let detail = detail(&process.running(), &complaint);
            process.end().await;
            return Err(self.cancelled(detail));
        };
        match ended.map_err(|source| self.not_started(source))? {
            Exit::Code(code) => Ok((code, String::from_utf8_lossy(&complaint).into_owned())),
            Exit::Signal(signal) => Err(Error::Killed {
                doing: self.doing,
                command: self.shown(),
                signal,
            }),
        }
    }

    /// Waits until the call has taken too long, and returns how long. Time in which this process
    /// was stopped does not count: git was stopped as well, or waited for us to read.
    async fn time_is_up(&self, mut life: watch::Receiver<()>) -> Duration {
        let Some(idle) = self.git.limits.idle.filter(|_| self.whole_tree) else {
            stopwatch::pass(self.limit).await;
            return self.limit;
        };
        loop {
            match stopwatch::timeout(idle, life.changed()).await {
                Some(Ok(())) => {}
                // Both of its outputs are closed, but it has not ended.
                Some(Err(_)) => {
                    stopwatch::pass(idle).await;
                    return idle;
                }
                None => return idle,
            }
        }
    }

    fn program(&self) -> Program {
        let mut env = fixed::environment();
        let given = self.env.iter().cloned();
        env.extend(given.map(|(name, value)| (name.into(), value)));
        let mut args: Vec<OsString> = Vec::new();
        for setting in fixed::SETTINGS.iter().chain([&self.git.sync]) {
            args.extend(["-c".into(), setting.into()]);
        }
        args.extend(self.before.iter().chain(&self.args).cloned());
        Program {
            program: self.git.program.clone().into(),
            args,
            dir: self.dir.clone(),
            env,
            input: match (&self.lock, self.input.is_empty()) {
                (Some(lock), _) => Input::Lock(lock.clone()),
                (None, true) => Input::Empty,
                (None, false) => Input::Pipe,
            },
        }
    }

    fn timed_out(&self, limit: Duration, detail: String) -> Error {
        Error::TimeLimit {
            doing: self.doing,
            command: self.shown(),
            seconds: limit.as_secs_f64(),
            detail,
        }
    }

    fn cancelled(&self, detail: String) -> Error {
        Error::Cancelled {
            doing: self.doing,
            command: self.shown(),
            detail,
        }
    }

    fn not_started(&self, source: io::Error) -> Error {
        let missing = source.kind() == io::ErrorKind::NotFound;
        if missing && !self.dir.is_dir() {
            Error::NoDirectory {
                doing: self.doing,
                dir: self.dir.clone(),
            }
        } else if missing {
            Error::GitMissing {
                program: self.git.program.clone(),
                needed: Version::OLDEST.to_string(),
            }
        } else {
            Error::Start {
                doing: self.doing,
                program: self.git.program.clone(),
                dir: self.dir.clone(),
                source,
            }
        }
    }

    /// The error for an unexpected exit code.
    pub(super) fn failed(&self, output: &Output) -> Error {
        let complaint = match output.stderr.trim() {
            "" => output.text(),
            complaint => complaint.to_owned(),
        };
        Error::Failed {
            doing: self.doing,
            command: self.shown(),
            status: format!("exit code {}", output.code),
            detail: shorten(&complaint),
        }
    }

    /// The error for an answer that cannot be parsed.
    pub(super) fn unexpected(&self, output: &Output) -> Error {
        Error::Unexpected {
            doing: self.doing,
            command: self.shown(),
            output: shorten(&output.text()),
        }
    }

    /// The error for a streamed call with an exit code other than 0.
    pub(super) fn stream_failed(&self, code: i32, stderr: String) -> Error {
        self.failed(&Output {
            code,
            stdout: Vec::new(),
            stderr,
        })
    }

    fn shown(&self) -> String {
        let args: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        shorten(&args.join(" "))
    }
}

/// At most 1,000 characters of a text, enough to see what happened.
pub(super) fn shorten(text: &str) -> String {
    let shown = clip_chars(text, 1_000);
    let mark = if shown.len() < text.len() { "..." } else { "" };
    format!("{shown}{mark}")
}

/// What is known of a git that was ended, in sentences.
fn detail(running: &[String], complaint: &[u8]) -> String {
    let mut detail = String::new();
    if !running.is_empty() {
        detail = format!(" It waited for: {}.", running.join("; "));
    }
    let said = String::from_utf8_lossy(complaint);
    // Of a line that is redrawn, as progress is, the last state counts.
    let lines = said.lines().filter_map(|line| line.rsplit('\r').next());
    let said: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    if !said.is_empty() {
        detail = format!("{detail} git said: {}", shorten(&said.join("\n")));
    }
    detail
}

async fn drain(
    from: Option<Reader>,
    sink: &mut (dyn FnMut(&[u8]) + Send),
    alive: &watch::Sender<()>,
) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        alive.send_replace(());
        sink(buffer.get(..count).unwrap_or_default());
    }
}

mod fixed;

#[cfg(test)]
mod tests;
