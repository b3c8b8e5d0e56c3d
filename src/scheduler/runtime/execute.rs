//! Carrying effects out: each that takes time in a task of its own, whose end is an input.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::{Options, exit_report};
use crate::model::ids::{AttemptId, CommitId};
use crate::model::settings::WorkerKind;
use crate::scheduler::machine::{Connection, Effect, Input};
use crate::scheduler::merging::{AfterFailure, GIT_AGAIN_MS, GIT_TRIES, after_failure};
use crate::scheduler::ports::{Integration, Merged, Processes, Spool};
use crate::scheduler::socket::{Arrival, Door, Outbox, Outgoing};
use crate::scheduler::worker_pool::ChildEnd;
use crate::workspace;

pub struct Executor {
    inbox: mpsc::Sender<Arrival>,
    outboxes: BTreeMap<Connection, Outbox>,
    /// How to end the workers that were started here.
    children: BTreeMap<u32, Arc<Notify>>,
    door: Door,
    integration: Arc<dyn Integration>,
    processes: Arc<dyn Processes>,
    spool: Arc<dyn Spool>,
    worker_command: Vec<OsString>,
    worker_output: PathBuf,
    /// How long a merge waits for a branch that is checked out; none is for ever.
    hold_wait: Option<Duration>,
}

impl Executor {
    pub fn new(options: &Options, inbox: mpsc::Sender<Arrival>, door: Door) -> Self {
        Self {
            inbox,
            outboxes: BTreeMap::new(),
            children: BTreeMap::new(),
            door,
            integration: options.integration.clone(),
            processes: options.processes.clone(),
            spool: options.spool.clone(),
            worker_command: options.worker_command.clone(),
            worker_output: options.worker_output.clone(),
            hold_wait: match options.settings.worker_wait_ms {
                0 => None,
                ms => Some(Duration::from_millis(ms)),
            },
        }
    }

    /// Keeps the outbox of a new connection, and hands the input on.
    ///
    /// # Errors
    /// git does not answer any more.
    pub fn note(&mut self, arrival: Arrival) -> Result<Input, workspace::Error> {
        Ok(match arrival {
            Arrival::Broken(error) => return Err(error),
            Arrival::Opened(connection, outbox, input) => {
                self.outboxes.insert(connection, outbox);
                input
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
        })
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
                    let spooled = spool.read(attempt).map(Box::new);
                    Input::CleanedUp { worker, spooled }
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
        let wait = self.hold_wait;
        tokio::spawn(async move {
            let again = Duration::from_millis(GIT_AGAIN_MS);
            let inbox = &inbox;
            let held = Hold { inbox, wait };
            let answer = match merge(&*integration, &onto, &commit, again, &held).await {
                Ok(merged) => Arrival::Said(Input::Merged { attempt, merged }),
                Err(error) => Arrival::Broken(error),
            };
            // A loop that is gone needs no answer.
            let _ = inbox.send(answer).await;
        });
    }

    fn explain(&self, from: CommitId, to: CommitId, merges: Vec<CommitId>) {
        let integration = self.integration.clone();
        self.answer(async move {
            let explained = integration.explain(&from, &to, &merges).await;
            let explained = explained.inspect_err(|error| {
                tracing::error!(%error, "git cannot say what was done to the branch");
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
                "cut a connection off whose other side does not read"
            );
            if let Some(outbox) = self.outboxes.remove(&connection) {
                outbox.cut();
            }
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

    /// Says that a worker was not started.
    pub fn leave_out(&self, kind: WorkerKind) {
        let input = Input::ChildStarted { kind, pid: None };
        self.answer(std::future::ready(input));
    }

    /// Starts a worker in a process group of its own, so that a Ctrl-C in the terminal reaches
    /// the scheduler alone, which then tells its workers what to do. It outlives a killed
    /// scheduler on purpose: the next one finds it again.
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
            // It has an id until it is waited for.
            let pid = child.id().unwrap_or_default();
            let started = Arrival::Child(kind, pid, end.clone());
            let _ = inbox.send(started).await;
            let status = tokio::select! {
                status = child.wait() => status,
                () = end.notified() => {
                    tracing::warn!(pid, "ending a worker that does not end by itself");
                    child.kill().await.map(|()| Default::default())
                }
            };
            let end = exit_report::of(status, || exit_report::stderr_tail(&said_in, spoken));
            match &end {
                ChildEnd::Failed { how, said } => tracing::warn!(
                    "a {kind_word} worker ended by itself ({how}){}{said}; its last words are in {}",
                    if said.is_empty() { "" } else { ": " },
                    said_in.display()
                ),
                end => tracing::debug!(pid, ?end, "a worker of this scheduler ended"),
            }
            let ended = Input::ChildEnded { pid, end };
            let _ = inbox.send(Arrival::Said(ended)).await;
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
            .args(["--kind", kind, "--crew"])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
    }

    /// Closes every connection when what was said is sent, and waits for that.
    pub async fn goodbye(&mut self) {
        self.outboxes.clear();
        self.door.goodbye().await;
    }
}

/// How often a branch that is checked out is looked at.
const HELD_LOOK: Duration = Duration::from_secs(1);

/// A merge that waits for its branch to be free.
struct Hold<'a> {
    inbox: &'a mpsc::Sender<Arrival>,
    wait: Option<Duration>,
}

impl Hold<'_> {
    /// Says so, once, and waits for a moment.
    ///
    /// # Errors
    /// It has waited for as long as it may.
    async fn wait(
        &self,
        held: &mut Option<tokio::time::Instant>,
        branch: String,
        at: String,
    ) -> Result<(), workspace::Error> {
        let since = match *held {
            Some(since) => since,
            None => {
                self.say(Some(at.clone())).await;
                *held.insert(tokio::time::Instant::now())
            }
        };
        if self.wait.is_some_and(|wait| since.elapsed() >= wait) {
            return Err(workspace::Error::BranchCheckedOut { branch, at });
        }
        tokio::time::sleep(self.wait.map_or(HELD_LOOK, |wait| wait.min(HELD_LOOK))).await;
        Ok(())
    }

    async fn free(&self, held: &mut Option<tokio::time::Instant>) {
        if held.take().is_some() {
            self.say(None).await;
        }
    }

    async fn say(&self, at: Option<String>) {
        // A loop that is gone needs no word.
        let _ = self.inbox.send(Arrival::Said(Input::Held(at))).await;
    }
}

/// Asks git until it answers: the merge's proof is durable, so it must end one way or the other.
///
/// # Errors
/// git has failed too often in a row. The next start asks it what has become of the merge.
async fn merge(
    integration: &dyn Integration,
    onto: &CommitId,
    commit: &CommitId,
    again: Duration,
    hold: &Hold<'_>,
) -> Result<Merged, workspace::Error> {
    let (mut tries, mut held) = (0, None);
    loop {
        let error = match integration.merge(onto, commit).await {
            Ok(merged) => {
                hold.free(&mut held).await;
                return Ok(merged);
            }
            Err(workspace::Error::BranchCheckedOut { branch, at }) => {
                hold.wait(&mut held, branch, at).await?;
                continue;
            }
            Err(error) => error,
        };
        hold.free(&mut held).await;
        tries += 1;
        let head = match tries >= GIT_TRIES {
            true => integration.head().await.ok(),
            false => None,
        };
        match after_failure(tries, head, onto) {
            AfterFailure::Answer(merged) => return Ok(merged),
            AfterFailure::GiveUp => return Err(error),
            AfterFailure::Again => {}
        }
        tracing::error!(%error, "git failed, trying again");
        tokio::time::sleep(again).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::branch::BranchMove;
    use crate::scheduler::merging::GIT_TRIES_MAX;
    use crate::scheduler::ports::Answer;
    use crate::workspace::Error;

    /// Fails so often; then somebody moves the branch.
    struct Failing {
        fails: Mutex<u32>,
        head: CommitId,
        moved: CommitId,
    }

    impl Failing {
        fn left(&self) -> u32 {
            *self.fails.lock().expect("a number")
        }
    }

    impl Integration for Failing {
        fn head(&self) -> Answer<'_, Result<CommitId, Error>> {
            let head = if self.left() == 0 {
                &self.moved
            } else {
                &self.head
            };
            Box::pin(async move { Ok(head.clone()) })
        }

        fn merge<'a>(
            &'a self,
            _: &'a CommitId,
            _: &'a CommitId,
        ) -> Answer<'a, Result<Merged, Error>> {
            Box::pin(async move {
                if self.left() == 0 {
                    let (merged, head) = (true, self.moved.clone());
                    return Ok(Merged { merged, head });
                }
                *self.fails.lock().expect("a number") -= 1;
                let branch = "main".to_owned();
                Err(Error::BranchMissing { branch })
            })
        }

        fn explain<'a>(
            &'a self,
            _: &'a CommitId,
            _: &'a CommitId,
            _: &'a [CommitId],
        ) -> Answer<'a, Result<BranchMove, Error>> {
            Box::pin(async { Ok(BranchMove::default()) })
        }
    }

    #[tokio::test]
    async fn git_is_asked_again_until_the_branch_is_known_to_be_where_it_was() {
        let commit = |digit: &str| digit.repeat(40).parse::<CommitId>().expect("hex");
        let (onto, to, other) = (commit("a"), commit("b"), commit("c"));
        let (inbox, _arrivals) = mpsc::channel(1);
        let (inbox, wait) = (&inbox, None);
        let hold = Hold { inbox, wait };
        for (fails, head, merged, asked) in [
            (0, &onto, true, 1),
            (GIT_TRIES - 1, &onto, true, GIT_TRIES),
            // It is where the commit should stand: it has not moved.
            (1_000, &onto, false, GIT_TRIES),
            // It is elsewhere, and may contain the commit: only git can tell.
            (20, &other, true, 21),
            (GIT_TRIES_MAX - 1, &other, true, GIT_TRIES_MAX),
        ] {
            let git = Failing {
                fails: Mutex::new(fails),
                head: head.clone(),
                moved: to.clone(),
            };
            let answer = merge(&git, &onto, &to, Duration::from_millis(1), &hold).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.merged, merged, "{fails} failures");
            let calls = fails - git.left() + u32::from(answer.merged);
            assert_eq!(calls, asked, "{fails} failures");
        }
    }

    #[tokio::test]
    async fn git_that_never_answers_is_given_up() {
        let commit = |digit: &str| digit.repeat(40).parse::<CommitId>().expect("hex");
        let git = Failing {
            fails: Mutex::new(1_000),
            head: commit("c"),
            moved: commit("b"),
        };
        let (inbox, _arrivals) = mpsc::channel(1);
        let (inbox, wait) = (&inbox, None);
        let hold = Hold { inbox, wait };
        let again = Duration::from_millis(1);
        let answer = merge(&git, &commit("a"), &commit("b"), again, &hold).await;
        assert!(answer.is_err_and(|error| matches!(error, Error::BranchMissing { .. })));
        assert_eq!(1_000 - git.left(), GIT_TRIES_MAX);
    }
}
