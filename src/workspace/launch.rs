//! Starts the `git` program. The launcher decides what holds it: a worker puts it into its
//! attempt's process tree, everything else into a process group of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{Child, Command};

use super::move_lock::MoveLock;

/// Time for git to remove its lock files after it is told to end.
const GRACE: Duration = Duration::from_secs(2);

/// A program to start, with its complete input.
#[derive(Clone, Debug)]
pub struct Program {
    /// A path, or a name that is looked up in `PATH`.
    pub program: OsString,
    /// Arguments after the program.
    pub args: Vec<OsString>,
    /// Its working directory.
    pub dir: PathBuf,
    /// Its complete environment.
    pub env: BTreeMap<OsString, OsString>,
    /// Its standard input.
    pub input: Input,
}

/// What a program gets as its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An empty standard input.
    Empty,
    /// A pipe that the caller writes to.
    Pipe,
    /// A locked file: the lock lasts as long as the program.
    Lock(MoveLock),
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Interprets an exit code in which 128 and more may stand for a signal, as in shells. git
    /// itself ends with 128 and 129, and with nothing between those and 255.
    pub fn of_code(code: i32) -> Self {
        match code {
            130..=192 => Self::Signal(code - 128),
            code => Self::Code(code),
        }
    }
}

/// The output of a program.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A running program.
pub struct Running {
    /// Its input, if it was to be piped.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its standard output, if captured.
    pub stdout: Option<Reader>,
    /// Its standard error, if captured.
    pub stderr: Option<Reader>,
    /// Handle of the running process.
    pub process: Box<dyn Process>,
}

/// A process and everything that it started. Dropping it ends them.
pub trait Process: Send {
    /// Waits for its end.
    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>>;

    /// Ends it. Returns when it is dead, or cannot be ended.
    fn end(&mut self) -> BoxFuture<'_, ()>;

    /// The commands that it has started and that run now, as far as known: a report that it hangs
    /// should say what it waits for.
    fn running(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Starts git and the programs that it needs.
pub trait Launcher: fmt::Debug + Send + Sync {
    /// Starts one; it runs when this returns.
    ///
    /// # Errors
    /// It cannot be started; `NotFound` if it does not exist.
    fn launch(&self, program: Program) -> BoxFuture<'_, io::Result<Running>>;
}

/// Starts a program as a child in a process group of its own.
#[derive(Debug)]
pub(super) struct Direct;

impl Launcher for Direct {
    fn launch(&self, program: Program) -> BoxFuture<'_, io::Result<Running>> {
        Box::pin(async move {
            let mut command = Command::new(&program.program);
            command
                .args(&program.args)
                .env_clear()
                .envs(&program.env)
                .current_dir(&program.dir)
                .stdin(match &program.input {
                    Input::Empty => Stdio::null(),
                    Input::Pipe => Stdio::piped(),
                    Input::Lock(lock) => lock.share()?.into(),
                })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                // A Ctrl-C in the terminal is for us, not for a git in the middle of something; and
                // a hanging filter ends together with its git.
                .process_group(0)
                .kill_on_drop(true);
            let mut child = command.spawn()?;
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            Ok(Running {
                stdin: child.stdin.take().map(|pipe| Box::new(pipe) as _),
                stdout: child.stdout.take().map(|pipe| Box::new(pipe) as _),
                stderr: child.stderr.take().map(|pipe| Box::new(pipe) as _),
                process: Box::new(Group {
                    child,
                    group: id.and_then(Pid::from_raw),
                }),
            })
        })
    }
}

/// A child's process group, which is killed if it is dropped before its end: the child's own
/// children (filters) would otherwise stay.
struct Group {
    child: Child,
    group: Option<Pid>,
}

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // An empty group has ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Process for Group {
    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>> {
        Box::pin(async {
            let status = self.child.wait().await?;
            self.group = None;
            Ok(match (status.code(), status.signal()) {
                (Some(code), _) => Exit::of_code(code),
                (None, signal) => Exit::Signal(signal.unwrap_or_default()),
            })
        })
    }

    fn end(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.signal(Signal::TERM);
            let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
            self.signal(Signal::KILL);
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
