//! The worker's end of a tree.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::process::{Child, Command};

use super::control::{Handed, Report, Reports};
use super::table::{self, Choice};
use super::{GUARD_ARGUMENT, Isolation, MARKER, ProcessError, ProgramEnd, Streams, TreeCommand};
use crate::agent::cage::{Cage, Exceeded};
use crate::stopwatch::timeout;

/// Time for two executions of our own binary and one of the program. A machine so busy that this
/// takes longer cannot run agents.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A guard that does not end its tree within this time is stopped or hangs; it is killed, and the
/// worker ends the rest. More than the guard and init may take together.
const GUARD_LIMIT: Duration = Duration::from_secs(15);

/// Remembered while this process lives, so that later trees skip the attempt.
static NO_NAMESPACES: AtomicBool = AtomicBool::new(false);

/// How a tree ended. No process of it lives any more, except those counted in `left`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How the program ended. The program of a tree that was killed has been killed, too.
    pub end: ProgramEnd,
    /// Processes that could not be ended in time: a fork bomb outside a namespace.
    pub left: usize,
    /// The limit of its cage that ended it.
    pub exceeded: Option<Exceeded>,
}

/// A running tree. Dropping it ends it, too, but without waiting for the end.
#[derive(Debug)]
pub struct Tree {
    /// The program's input, with [`Streams::Separate`].
    pub stdin: Option<Sender>,
    /// The program's output; with [`Streams::Merged`] its errors, too.
    pub stdout: Option<Receiver>,
    /// The program's errors, with [`Streams::Separate`].
    pub stderr: Option<Receiver>,
    guard: Child,
    socket: UnixStream,
    reports: Reports,
    token: String,
    namespace: bool,
    ended: Option<Ended>,
    exceeded: Option<Exceeded>,
}

/// The result of one try to start the guard.
enum Start {
    Running(Box<Tree>),
    NoNamespace(String),
}

impl Tree {
    /// Starts the program; returns when it runs.
    pub async fn spawn(command: TreeCommand) -> Result<Self, ProcessError> {
        command.check_lengths()?;
        let namespace = match command.isolation {
            Isolation::Auto => !NO_NAMESPACES.load(Ordering::Relaxed),
            Isolation::Subreaper => false,
            Isolation::Namespace => true,
        };
        match Self::start(&command, namespace).await? {
            Start::Running(tree) => Ok(*tree),
            Start::NoNamespace(reason) if command.isolation == Isolation::Namespace => {
                Err(ProcessError::NoNamespace { reason })
            }
            Start::NoNamespace(reason) => {
                tracing::info!(%reason, "no pid namespaces; subreapers contain the agents");
                NO_NAMESPACES.store(true, Ordering::Relaxed);
                match Self::start(&command, false).await? {
                    Start::Running(tree) => Ok(*tree),
                    Start::NoNamespace(reason) => Err(ProcessError::NoNamespace { reason }),
                }
            }
        }
    }

    async fn start(command: &TreeCommand, namespace: bool) -> Result<Start, ProcessError> {
        let name = command.program.to_string_lossy().into_owned();
        let fail = |what, source| ProcessError::Guard {
            what,
            program: name.clone(),
            source,
        };
        let (mut pipes, streams) =
            Pipes::open(command.streams).map_err(|error| fail("open pipes", error))?;
        let cage = command.cage.as_ref().map(Cage::to_file).transpose();
        let cage = cage.map_err(|error| fail("write down the cage", error))?;
        let handed = Handed { streams, cage };
        let (socket, stage) =
            StdUnixStream::pair().map_err(|error| fail("open a socket", error))?;
        let guard = Command::new(&command.own_executable)
            .arg(GUARD_ARGUMENT)
            .arg(if namespace { "ns" } else { "plain" })
            .args(names(command))
            .arg(&command.program)
            .args(&command.args)
            .current_dir(&command.cwd)
            .env_clear()
            .envs(&command.env)
            .env(MARKER, &command.token)
            .stdin(Stdio::from(OwnedFd::from(stage)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C goes to the terminal's foreground group; the worker decides what it means.
            .process_group(0)
            .spawn()
            .map_err(|error| fail("start the guard", error))?;
        handed
            .send(&socket)
            .map_err(|error| fail("reach the guard", error))?;
        drop(handed);
        let socket = socket
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(socket))
            .map_err(|error| fail("watch the guard", error))?;
        let mut tree = Box::new(Self {
            stdin: pipes.stdin.take(),
            stdout: pipes.stdout.take(),
            stderr: pipes.stderr.take(),
            guard,
            socket,
            reports: Reports::default(),
            token: command.token.clone(),
            namespace,
            ended: None,
            exceeded: None,
        });
        let report = timeout(START_LIMIT, tree.next_report()).await;
        if let Some(Some(Report::Started)) = report {
            return Ok(Start::Running(tree));
        }
        // Nothing of it lives when the caller gets the error.
        tree.kill().await;
        match report {
            Some(Some(Report::NoNamespace(reason))) => Ok(Start::NoNamespace(reason)),
            Some(Some(Report::Failed { errno, why })) => Err(ProcessError::Program {
                program: name,
                errno,
                reason: why,
            }),
            _ => {
                let why = std::io::Error::other("the guard did not say that the program runs");
                Err(fail("start the program", why))
            }
        }
    }

    /// The guard's process id.
    pub fn guard_pid(&self) -> Option<u32> {
        self.guard.id()
    }

    /// True when a pid namespace holds the tree.
    pub fn in_namespace(&self) -> bool {
        self.namespace
    }

    /// Waits until the program has ended. Then ends everything that it left behind, and returns
    /// when all are dead. May be dropped and called again.
    pub async fn wait(&mut self) -> Ended {
        if let Some(ended) = self.ended {
            return ended;
        }
        loop {
            match self.next_report().await {
                Some(Report::Ended { end, left }) => {
                    return self.finish(end, left).await;
                }
                Some(Report::Exceeded(exceeded)) => self.exceeded = Some(exceeded),
                Some(_) => {}
                // The guard is gone without a word: killed. Its tree is ours now.
                None => return self.finish(ProgramEnd::KILLED, 1).await,
            }
        }
    }

    /// Ends the whole tree with SIGKILL; returns when all are dead.
    pub async fn kill(&mut self) -> Ended {
        if let Some(ended) = self.ended {
            return ended;
        }
        // A stopped guard would not notice. One that has ended is noticed while waiting.
        if let Some(pid) = self.guard.id().and_then(|pid| i32::try_from(pid).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT);
        }
        let _ = self.socket.write_all(b"k").await;
        match timeout(GUARD_LIMIT, self.wait()).await {
            Some(ended) => ended,
            None => self.finish(ProgramEnd::KILLED, 1).await,
        }
    }

    /// The guard's next report; `None` if it has ended. May be dropped and called again.
    async fn next_report(&mut self) -> Option<Report> {
        loop {
            if let Some(report) = self.reports.next() {
                return Some(report);
            }
            let mut bytes = [0; 512];
            match self.socket.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.reports.push(bytes.get(..read).unwrap_or(&[])),
            }
        }
    }

    /// Makes sure that the guard is gone, and ends what it has left.
    async fn finish(&mut self, end: ProgramEnd, mut left: usize) -> Ended {
        if left > 0 {
            let _ = self.guard.start_kill();
        }
        let _ = self.guard.wait().await;
        if left > 0 {
            let token = self.token.clone();
            left = tokio::task::spawn_blocking(move || end_remains(&token))
                .await
                .unwrap_or(left);
        }
        let ended = Ended {
            end,
            left,
            exceeded: self.exceeded,
        };
        self.ended = Some(ended);
        ended
    }
}

/// These arguments identify the tree of any of its processes.
fn names(command: &TreeCommand) -> [&OsStr; super::NAMES] {
    let tmp = command.env.get(OsStr::new("TMPDIR"));
    [
        OsStr::new(&command.token),
        command.cwd.as_os_str(),
        tmp.map_or(OsStr::new(""), OsString::as_os_str),
    ]
}

/// Ends what a killed guard left behind; returns how many could not be ended.
fn end_remains(token: &str) -> usize {
    let adopted = Choice::AdoptedBy(std::process::id());
    let (_, marked_left) = table::end(&Choice::Marked(token), super::SWEEP_LIMIT);
    // By now nothing marked is left that could still start an unmarked process.
    let (_, adopted_left) = table::end(&adopted, super::SWEEP_LIMIT);
    marked_left + adopted_left
}

/// Our ends of the program's pipes.
struct Pipes {
    stdin: Option<Sender>,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
}

impl Pipes {
    /// Our ends, and the program's: input, output, errors.
    fn open(streams: Streams) -> std::io::Result<(Self, [OwnedFd; 3])> {
        let (stdout, program_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let stdout = Some(Receiver::from_owned_fd(stdout)?);
        Ok(match streams {
            Streams::Separate => {
                let (program_stdin, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
                let (stderr, program_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
                let pipes = Self {
                    stdin: Some(Sender::from_owned_fd(stdin)?),
                    stdout,
                    stderr: Some(Receiver::from_owned_fd(stderr)?),
                };
                (pipes, [program_stdin, program_stdout, program_stderr])
            }
            Streams::Merged => {
                let null = std::fs::File::open("/dev/null")?;
                let errors = program_stdout.try_clone()?;
                let pipes = Self {
                    stdin: None,
                    stdout,
                    stderr: None,
                };
                (pipes, [null.into(), program_stdout, errors])
            }
        })
    }
}
