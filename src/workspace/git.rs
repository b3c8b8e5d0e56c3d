//! Running the `git` program: a clean environment, and limits on time and output.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::repository::Version;
use super::{Error, Result};

/// Calls that read and write a few objects or refs take milliseconds. Two minutes is a disk that
/// has stopped, not a slow one.
const SMALL_CALL: Duration = Duration::from_secs(120);

/// Calls that go through the whole working tree write gigabytes in the worst case.
const TREE_CALL: Duration = Duration::from_secs(900);

/// How long git may take to remove its lock files when it is told to end.
const GRACE: Duration = Duration::from_secs(2);

/// Answers that are kept whole are ids, refs, and lists of files in conflict: 8 MiB are some
/// 100,000 paths.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Of what git complains about, the beginning matters and is quoted.
const COMPLAINT_BYTES_MAX: usize = 16 << 10;

/// Settings that hold for every call, whatever the user's or the repository's configuration says.
const SETTINGS: [&str; 16] = [
    // Nothing that lies in the repository is executed.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    // Housekeeping is the user's; in the background it would outlive us and hold locks.
    "gc.auto=0",
    "maintenance.auto=false",
    // The private index is one file; and caches that trust directory times can be fooled.
    "core.splitIndex=false",
    "core.untrackedCache=false",
    // Written means written to the disk, not on its way to it.
    "core.fsyncMethod=fsync",
    // An attempt works on, and is judged by, the whole tree.
    "core.sparseCheckout=false",
    "submodule.recurse=false",
    // These turn work into errors, or drop it silently.
    "core.safecrlf=false",
    "add.ignoreErrors=false",
    "commit.gpgSign=false",
    "i18n.commitEncoding=UTF-8",
    // Plain paths, no hints, no colours.
    "core.quotePath=false",
    "advice.detachedHead=false",
    "color.ui=false",
];

/// Has git sync what it writes: objects and refs. By default it leaves loose objects and refs to the
/// operating system, and a power cut leaves empty files under the names of objects, which git then
/// takes for written: the same work could never be committed again.
const SYNC: &str = "core.fsync=committed";

/// The same for objects, to versions that do not know the other; later ones complain about it.
const SYNC_BEFORE: &str = "core.fsyncObjectFiles=true";

/// The `git` program.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    sync: &'static str,
}

impl Default for Git {
    fn default() -> Self {
        Self::at("git")
    }
}

impl Git {
    /// A program by name (looked up in the PATH) or path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            sync: SYNC,
        }
    }

    /// The same program, called as this version of it has to be.
    pub(super) fn of_version(self, version: Version) -> Self {
        let sync = match version >= Version::FSYNC {
            true => SYNC,
            false => SYNC_BEFORE,
        };
        Self { sync, ..self }
    }

    /// Asks for the version, and refuses one that is too old.
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

    /// A call that is to do what `doing` says ("cannot {doing}: ...").
    pub(super) fn call(&self, doing: &'static str) -> Call {
        Call {
            program: self.program.clone(),
            sync: self.sync,
            doing,
            before: Vec::new(),
            args: Vec::new(),
            dir: PathBuf::from("/"),
            env: Vec::new(),
            input: Vec::new(),
            limit: SMALL_CALL,
        }
    }
}

/// One call of git.
#[derive(Debug)]
pub(super) struct Call {
    program: PathBuf,
    sync: &'static str,
    pub(super) doing: &'static str,
    before: Vec<OsString>,
    args: Vec<OsString>,
    dir: PathBuf,
    env: Vec<(&'static str, OsString)>,
    input: Vec<u8>,
    limit: Duration,
}

/// What git answered.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) code: Option<i32>,
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

    /// The directory to run in.
    pub(super) fn dir(mut self, dir: &Path) -> Self {
        self.dir = dir.to_owned();
        self
    }

    pub(super) fn git_dir(mut self, git_dir: &Path) -> Self {
        self.before.push("--git-dir".into());
        self.before.push(git_dir.into());
        self
    }

    /// The working tree to run in; the call gets the time that a whole tree takes.
    pub(super) fn work_tree(mut self, work_tree: &Path) -> Self {
        self.before.push("--work-tree".into());
        self.before.push(work_tree.into());
        self.dir = work_tree.to_owned();
        self.limit = TREE_CALL;
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    pub(super) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// The time that a whole tree takes, for calls that write one.
    pub(super) fn whole_tree(mut self) -> Self {
        self.limit = TREE_CALL;
        self
    }

    #[cfg(test)]
    fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it; any exit code will do.
    pub(super) async fn run(self) -> Result<Output> {
        self.run_keeping().await.map(|(_, output)| output)
    }

    /// Runs it; another exit code than 0 is an error.
    pub(super) async fn ok(self) -> Result<Output> {
        let (call, output) = self.run_keeping().await?;
        match output.code {
            Some(0) => Ok(output),
            _ => Err(call.failed(&output)),
        }
    }

    /// Runs it; also gives the call back, for an error that names it.
    pub(super) async fn run_keeping(self) -> Result<(Self, Output)> {
        let mut stdout = Vec::new();
        let mut fits = true;
        let (status, stderr) = self
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
        let code = status.code();
        let output = Output {
            code,
            stdout,
            stderr,
        };
        Ok((self, output))
    }

    /// Runs it and hands its output on as it comes, however much it is.
    pub(super) async fn stream(
        &self,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(ExitStatus, String)> {
        let mut child = self.start()?;
        let mut group = Group::of(&child);
        let mut complaint = Vec::new();
        let talk = async {
            let (stdin, stdout, stderr) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A git that ends without reading all of it says why by itself.
                    let _ = stdin.write_all(&self.input).await;
                }
            };
            let mut keep = |bytes: &[u8]| {
                let room = COMPLAINT_BYTES_MAX - complaint.len().min(COMPLAINT_BYTES_MAX);
                complaint.extend(bytes.iter().take(room));
            };
            let (_, out, err) = tokio::join!(feed, drain(stdout, sink), drain(stderr, &mut keep));
            out.and(err)?;
            child.wait().await
        };
        let ended = tokio::time::timeout(self.limit, talk).await;
        match ended {
            Ok(Ok(status)) => {
                group.disarm();
                Ok((status, String::from_utf8_lossy(&complaint).into_owned()))
            }
            Ok(Err(source)) => Err(self.not_started(source)),
            Err(_) => {
                group.signal(Signal::TERM);
                let _ = tokio::time::timeout(GRACE, child.wait()).await;
                group.signal(Signal::KILL);
                Err(Error::TimeLimit {
                    doing: self.doing,
                    command: self.shown(),
                    seconds: self.limit.as_secs(),
                })
            }
        }
    }

    fn start(&self) -> Result<Child> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                command.env_remove(name);
            }
        }
        command
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(["-c", self.sync])
            .args(&self.before)
            .args(&self.args)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_EDITOR", "false")
            // A replacement ref made by an agent would show us other contents than a clone gets.
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(match self.input.is_empty() {
                true => Stdio::null(),
                false => Stdio::piped(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal is for us, not for a git in the middle of something; and
            // a filter that hangs is ended together with its git.
            .process_group(0)
            .kill_on_drop(true);
        command.spawn().map_err(|source| self.not_started(source))
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
                program: self.program.clone(),
                needed: Version::OLDEST.to_string(),
            }
        } else {
            Error::Start {
                doing: self.doing,
                program: self.program.clone(),
                dir: self.dir.clone(),
                source,
            }
        }
    }

    /// The error for a call that ended with another exit code than it should.
    pub(super) fn failed(&self, output: &Output) -> Error {
        let complaint = match output.stderr.trim() {
            "" => output.text(),
            complaint => complaint.to_owned(),
        };
        Error::Failed {
            doing: self.doing,
            command: self.shown(),
            status: match output.code {
                Some(code) => format!("exit code {code}"),
                None => "ended by a signal".to_owned(),
            },
            detail: shorten(&complaint),
        }
    }

    /// The error for an answer that cannot be read.
    pub(super) fn unexpected(&self, output: &Output) -> Error {
        Error::Unexpected {
            doing: self.doing,
            command: self.shown(),
            output: shorten(&output.text()),
        }
    }

    fn shown(&self) -> String {
        let args: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        shorten(&args.join(" "))
    }
}

/// At most 1,000 characters of a text, enough to see what happened.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(1_000) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

async fn drain(
    from: Option<impl AsyncRead + Unpin>,
    sink: &mut (dyn FnMut(&[u8]) + Send),
) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        sink(buffer.get(..count).unwrap_or_default());
    }
}

/// A child's process group, which is killed when the call is dropped before its end: the child's
/// own children (filters) would otherwise stay.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // An empty group has ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests;
