//! Carrying effects out: each that takes time in a task of its own, whose end is an input.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Options;
use crate::model::settings::WorkerKind;
use crate::scheduler::machine::{Connection, Effect, Input};
use crate::scheduler::outside::{Integration, Processes, Spool};
use crate::scheduler::socket::{Arrival, Outbox, Outgoing};

/// How long to wait before git is asked again after it failed: its own locks are held for
/// milliseconds, a full disk for as long as a person needs.
const GIT_AGAIN_MS: u64 = 2_000;

/// How long the last messages may take to be sent.
const GOODBYE_MS: u64 = 1_000;

pub struct Carrier {
    inbox: mpsc::Sender<Arrival>,
    outboxes: BTreeMap<Connection, Outbox>,
    integration: Arc<dyn Integration>,
    processes: Arc<dyn Processes>,
    spool: Arc<dyn Spool>,
    worker_command: Vec<OsString>,
    worker_output: PathBuf,
}

impl Carrier {
    pub fn new(options: &Options, inbox: mpsc::Sender<Arrival>) -> Self {
        Self {
            inbox,
            outboxes: BTreeMap::new(),
            integration: options.integration.clone(),
            processes: options.processes.clone(),
            spool: options.spool.clone(),
            worker_command: options.worker_command.clone(),
            worker_output: options.worker_output.clone(),
        }
    }

    /// Keeps the outbox of a new connection, and hands the input on.
    pub fn note(&mut self, arrival: Arrival) -> Input {
        match arrival {
            Arrival::Opened(connection, outbox, input) => {
                self.outboxes.insert(connection, outbox);
                input
            }
            Arrival::Said(input) => {
                if let Input::Closed { connection } = &input {
                    self.outboxes.remove(connection);
                }
                input
            }
        }
    }

    pub fn carry(&mut self, effect: Effect) {
        match effect {
            Effect::Send {
                connection,
                message,
            } => self.put(connection, Outgoing::Worker(message)),
            Effect::Tell {
                connection,
                message,
            } => self.put(connection, Outgoing::Client(message)),
            Effect::Stream {
                connection,
                from,
                follow,
            } => self.put(connection, Outgoing::Stream { from, follow }),
            Effect::Close { connection } => {
                self.outboxes.remove(&connection);
            }
            Effect::Watch { worker, process } => {
                let gone = self.processes.gone(process);
                self.answer(async move {
                    gone.await;
                    Input::Died { worker }
                });
            }
            Effect::Reap { worker, attempt } => {
                let reap = self.processes.reap(attempt);
                let spool = self.spool.clone();
                self.answer(async move {
                    reap.await;
                    let spooled = spool.read(attempt).map(Box::new);
                    Input::Reaped { worker, spooled }
                });
            }
            Effect::Kill { process, .. } => self.processes.kill(&process),
            Effect::Merge {
                attempt,
                onto,
                commit,
            } => {
                let integration = self.integration.clone();
                self.answer(async move {
                    loop {
                        match integration.merge(&onto, &commit).await {
                            Ok(merged) => return Input::Merged { attempt, merged },
                            // Its proof is durable: it must end one way or the other.
                            Err(error) => tracing::error!(%error, "git failed, trying again"),
                        }
                        tokio::time::sleep(Duration::from_millis(GIT_AGAIN_MS)).await;
                    }
                });
            }
            Effect::StartWorker { kind } => self.start_worker(kind),
            Effect::Exit(_) => {}
        }
    }

    fn put(&mut self, connection: Connection, outgoing: Outgoing) {
        let Some(outbox) = self.outboxes.get(&connection) else {
            return;
        };
        if let Err(error) = outbox.try_send(outgoing) {
            tracing::warn!(?connection, %error, "cut a connection off that does not read");
            self.outboxes.remove(&connection);
        }
    }

    fn answer(&self, work: impl Future<Output = Input> + Send + 'static) {
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let input = work.await;
            // A loop that is gone needs no answer.
            let _ = inbox.send(Arrival::Said(input)).await;
        });
    }

    /// Starts a worker in a process group of its own, so that a Ctrl-C in the terminal reaches
    /// the scheduler alone, which then tells its workers what to do. It outlives a killed
    /// scheduler on purpose: the next one finds it again.
    fn start_worker(&self, kind: WorkerKind) {
        let kind_word = match kind {
            WorkerKind::Coding => "coding",
            WorkerKind::Testing => "testing",
        };
        let child = self.worker_process(kind_word);
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
            let pid = child.id();
            let _ = inbox
                .send(Arrival::Said(Input::ChildStarted { kind, pid }))
                .await;
            let status = child.wait().await;
            tracing::debug!(?pid, ?status, "a worker of this scheduler ended");
            if let Some(pid) = pid {
                let _ = inbox.send(Arrival::Said(Input::ChildEnded { pid })).await;
            }
        });
    }

    fn worker_process(&self, kind: &str) -> std::io::Result<tokio::process::Child> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.worker_output)?;
        let errors = output.try_clone()?;
        let (program, arguments) = (self.worker_command.split_first())
            .ok_or_else(|| std::io::Error::other("no command to start workers with"))?;
        tokio::process::Command::new(program)
            .args(arguments)
            .args(["--kind", kind])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
    }

    /// Closes every connection when what was said is sent, and waits for that.
    pub async fn goodbye(&mut self) {
        let outboxes = std::mem::take(&mut self.outboxes);
        let senders = outboxes.into_values();
        let closing = senders.map(|outbox| async move {
            let empty = outbox.max_capacity();
            // All places being free means that everything has been taken to be sent.
            let _ = outbox.reserve_many(empty).await;
        });
        let all = futures::future::join_all(closing);
        let _ = tokio::time::timeout(Duration::from_millis(GOODBYE_MS), all).await;
    }
}
