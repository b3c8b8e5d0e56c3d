//! Executes effects. Each that takes time is a task of its own, and its end is an input.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::Instrument;

use super::{Options, exit_report};
use crate::model::ids::{AttemptId, CommitId};
use crate::model::settings::WorkerKind;
use crate::protocol::ToClient;
use crate::scheduler::machine::{Connection, Effect, Input};
use crate::scheduler::ports::{GitFailure, Integration, Processes, Spool};
use crate::scheduler::socket::{Arrival, Door, Outbox, Outgoing};
use crate::scheduler::worker_pool::ChildEnd;
use crate::workspace;

pub struct Executor {
    inbox: mpsc::Sender<Arrival>,
    outboxes: BTreeMap<Connection, Outbox>,
    /// Callers inside this process that wait for an answer.
    asking: BTreeMap<Connection, oneshot::Sender<ToClient>>,
    /// Number of such callers so far.
    asked: u64,
    /// Ways to kill the workers that were started here.
    children: BTreeMap<u32, Arc<Notify>>,
    door: Door,
    integration: Arc<dyn Integration>,
    processes: Arc<dyn Processes>,
    spool: Arc<dyn Spool>,
    worker_command: Vec<OsString>,
    worker_output: PathBuf,
    /// Why git could not move the branch the last time.
    git_error: Option<workspace::Error>,
}

impl Executor {
    pub fn new(options: &Options, inbox: mpsc::Sender<Arrival>, door: Door) -> Self {
        Self {
            inbox,
            outboxes: BTreeMap::new(),
            asking: BTreeMap::new(),
            asked: 0,
            children: BTreeMap::new(),
            door,
            integration: options.integration.clone(),
            processes: options.processes.clone(),
            spool: options.spool.clone(),
            worker_command: options.worker_command.clone(),
            worker_output: options.worker_output.clone(),
            git_error: None,
        }
    }

    /// Keeps what only this side needs (a new connection's outbox, a child's end, git's message),
    /// and passes the input on.
    pub fn accept(&mut self, arrival: Arrival) -> Input {
        match arrival {
            Arrival::GitFailed(attempt, head, error) => {
                let failure = match &error {
                    // Its event reports it once; the branch is checked every second.
                    workspace::Error::BranchCheckedOut { at, .. } => {
                        GitFailure::CheckedOut { at: at.clone() }
                    }
                    _ => {
                        tracing::error!(%error, "git failed; trying again");
                        GitFailure::Failed { head }
                    }
                };
                self.git_error = Some(error);
                Input::GitFailed { attempt, failure }
            }
            Arrival::Opened(connection, outbox, input) => {
                self.outboxes.insert(connection, outbox);
                input
            }
            Arrival::Asked(actor, message, answer) => {
                self.asked += 1;
                // The socket counts upwards from 0.
                let connection = Connection(u64::MAX - self.asked);
                self.asking.insert(connection, answer);
                Input::Asked {
                    connection,
                    actor,
                    message,
                }
            }
            Arrival::Said(input) => {
                match &input {
                    Input::Closed { connection } => drop(self.outboxes.remove(connection)),
                    Input::ChildEnded { pid, .. } => drop(self.children.remove(pid)),
                    _ => {}
                }
                input
            }
            Arrival::Child(kind, pid, end) => {
                self.children.insert(pid, end);
                let pid = Some(pid);
                Input::ChildStarted { kind, pid }
            }
        }
    }

    /// Why git could not move the branch the last time.
    pub fn take_git_error(&mut self) -> Option<workspace::Error> {
        self.git_error.take()
    }

    pub fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Send {
                connection,
                message,
            } => self.put(connection, Outgoing::Worker(message)),
            Effect::Reply {
                connection,
                message,
            } => match self.asking.remove(&connection) {
                // A caller that has gone needs no answer.
                Some(answer) => drop(answer.send(*message)),
                None => self.put(connection, Outgoing::Client(message)),
            },
            Effect::Stream {
                connection,
                from,
                follow,
            } => self.put(connection, Outgoing::Stream { from, follow }),
            Effect::Close { connection } => {
                if let Some(outbox) = self.outboxes.remove(&connection) {
                    outbox.close();
                }
            }
            Effect::Watch { worker, process } => {
                let gone = self.processes.gone(process);
                self.answer(async move {
                    gone.await;
                    Input::Died { worker }
                });
            }
            Effect::CleanUpAttempt { worker, attempt } => {
                let reap = self.processes.reap(attempt);
                let spool = self.spool.clone();
                self.answer(async move {
                    reap.await;
                    let report = spool.read(attempt).map(Box::new);
                    Input::CleanedUp { worker, report }
                });
            }
            Effect::Kill { process, .. } => self.processes.kill(&process),
            Effect::Merge {
                attempt,
                onto,
                commit,
            } => self.merge(attempt, onto, commit),
            Effect::Explain { from, to, merges } => self.explain(from, to, merges),
            Effect::StartWorker { kind } => self.start_worker(kind),
            Effect::EndChild { pid } => {
                if let Some(end) = self.children.get(&pid) {
                    end.notify_one();
                }
            }
            Effect::Confirm => self.answer(std::future::ready(Input::Confirmed)),
            Effect::Exit(_) => {}
        }
    }

    fn merge(&self, attempt: AttemptId, onto: CommitId, commit: CommitId) {
        let integration = self.integration.clone();
        let inbox = self.inbox.clone();
        tokio::spawn(
            async move {
                let answer = match integration.merge(&onto, &commit).await {
                    Ok(merged) => Arrival::Said(Input::Merged { attempt, merged }),
                    Err(error) => {
                        let head = integration.head_at_rest().await.ok();
                        Arrival::GitFailed(attempt, head, error)
                    }
                };
                // If the loop has ended, nobody needs the answer.
                let _ = inbox.send(answer).await;
            }
            .in_current_span(),
        );
    }

    fn explain(&self, from: CommitId, to: CommitId, merges: Vec<CommitId>) {
        let integration = self.integration.clone();
        self.answer(async move {
            let explained = integration.explain(&from, &to, &merges).await;
            let explained = explained.inspect_err(|error| {
                tracing::error!(%error, "git cannot say what happened to the branch");
            });
            Input::Explained(explained.ok().map(Box::new))
        });
    }

    fn put(&mut self, connection: Connection, outgoing: Outgoing) {
        let Some(outbox) = self.outboxes.get(&connection) else {
            return;
        };
        if !outbox.put(outgoing) {
            tracing::warn!(
                ?connection,
                "closed a connection whose other side does not read"
            );
            if let Some(outbox) = self.outboxes.remove(&connection) {
                outbox.cut();
            }
        }
    }

    fn answer(&self, work: impl Future<Output = Input> + Send + 'static) {
        let inbox = self.inbox.clone();
        tokio::spawn(
            async move {
                let input = work.await;
                // If the loop has ended, nobody needs the answer.
                let _ = inbox.send(Arrival::Said(input)).await;
            }
            .in_current_span(),
        );
    }

    /// Starts a worker in its own process group, so that a Ctrl-C in the terminal reaches only the
    /// scheduler, which then tells its workers what to do. The worker deliberately outlives a
    /// killed scheduler; the next one finds it.
    fn start_worker(&self, kind: WorkerKind) {
        let kind_word = match kind {
            WorkerKind::Coding => "coding",
            WorkerKind::Testing => "testing",
        };
        let spoken = std::fs::metadata(&self.worker_output).map_or(0, |meta| meta.len());
        let child = self.worker_process(kind_word);
        let said_in = self.worker_output.clone();
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let mut child = match child {
                Ok(child) => child,
                Err(error) => {
                    tracing::error!(%error, "cannot start a {kind_word} worker");
                    let input = Input::ChildStarted { kind, pid: None };
                    let _ = inbox.send(Arrival::Said(input)).await;
                    return;
                }
            };
            let end = Arc::new(Notify::new());
            // A child has an id until it is waited for.
            let pid = child.id().unwrap_or_default();
            let started = Arrival::Child(kind, pid, end.clone());
            let _ = inbox.send(started).await;
            let status = tokio::select! {
                status = child.wait() => status,
                () = end.notified() => {
                    tracing::warn!(pid, "ending a worker that does not stop on its own");
                    child.kill().await.map(|()| Default::default())
                }
            };
            let end = exit_report::of(status, || exit_report::stderr_tail(&said_in, spoken));
            match &end {
                ChildEnd::Failed { how, said } => tracing::warn!(
                    "a {kind_word} worker ended unexpectedly ({how}){}{said}; its output is in {}",
                    if said.is_empty() { "" } else { ": " },
                    said_in.display()
                ),
                end => tracing::debug!(pid, ?end, "a worker of this scheduler ended"),
            }
            let ended = Input::ChildEnded { pid, end };
            let _ = inbox.send(Arrival::Said(ended)).await;
        }.in_current_span());
    }

    fn worker_process(&self, kind: &str) -> std::io::Result<tokio::process::Child> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.worker_output)?;
        let errors = output.try_clone()?;
        let (program, arguments) = (self.worker_command.split_first())
            .ok_or_else(|| std::io::Error::other("there is no command to start workers"))?;
        tokio::process::Command::new(program)
            .args(arguments)
            .args(["--kind", kind, "--started-by-scheduler"])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
    }

    /// Closes every connection when its messages are sent, and waits for that.
    pub async fn goodbye(&mut self) {
        self.outboxes.clear();
        self.door.goodbye().await;
    }
}
