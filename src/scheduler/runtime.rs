//! The thin loop: takes in what has arrived, lets the machine decide, has the batch made durable,
//! and only then carries the effects out.

mod execute;
mod exit_report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::execute::Executor;
use super::Error;
use super::clock::SystemClock;
use super::committer::{Committed, Committer};
use super::core::Core;
use super::load;
pub use super::machine::Told;
use super::machine::{Effect, Input, Machine};
use super::pipeline::{Pipeline, Turn};
use super::ports::{Integration, Processes, Spool};
use super::socket::{Arrival, Door, Listener};
use super::worker_pool::WorkerPool;
use crate::model::event::Recorded;
use crate::model::plan::Entropy;
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::State;
use crate::protocol::{Live, StopMode};
use crate::queue::{EventLog, snapshot};

pub use super::machine::Ending;

/// Inputs that wait for the loop. Who fills it waits, and so do the peers behind it.
const INBOX_MAX: usize = 4_096;

/// Inputs that are taken in at once, so that a flood of them cannot keep what follows from the
/// first one waiting.
const STEP_MAX: usize = 1_024;

/// Events that may wait for a sync that takes long; nothing more is taken in meanwhile.
const WAITING_EVENTS_MAX: usize = 65_536;

/// Events between two snapshots: folding so many takes a tenth of a second.
const SNAPSHOT_EVENTS: u64 = 100_000;

/// How often an observer is told what goes on beside the log: as often as people look.
const LIVE_MS: u64 = 200;

/// Who watches the run go by, in the process itself.
pub trait Observer: Send {
    /// These events are durable.
    fn committed(&mut self, events: &[Recorded]);

    /// What goes on beside the log, a few times a second.
    fn live(&mut self, live: &Live);
}

/// Nobody watches.
pub struct Silent;

impl Observer for Silent {
    fn committed(&mut self, _events: &[Recorded]) {}
    fn live(&mut self, _live: &Live) {}
}

/// All that a scheduler needs.
pub struct Options {
    /// The log, held by this process.
    pub log: Arc<dyn EventLog>,
    /// Where snapshots are.
    pub snapshots: PathBuf,
    /// The state at the log's head, from [`load`](super::load::load). It is the caller's to read,
    /// who needs it before there is a scheduler: a large one is not read twice.
    pub state: State,
    /// Where to listen.
    pub socket: PathBuf,
    /// What the markers of the project's attempts begin with.
    pub tree_prefix: String,
    /// The integration branch's name, without `refs/heads/`.
    pub branch: String,
    /// The integration branch.
    pub integration: Arc<dyn Integration>,
    /// Workers' processes.
    pub processes: Arc<dyn Processes>,
    /// Workers' written results.
    pub spool: Arc<dyn Spool>,
    /// The rules.
    pub settings: Settings,
    /// All that the run is told; none where nobody compares.
    pub told: Option<Told>,
    /// The seed of all that is drawn; drawn itself when there is none.
    pub seed: Option<u64>,
    /// Workers of its own to keep alive.
    pub crew: BTreeMap<WorkerKind, u32>,
    /// How to start one: a command line, to which `--kind KIND --crew` is added.
    pub worker_command: Vec<std::ffi::OsString>,
    /// Where workers of its own write what they have to say to a person.
    pub worker_output: PathBuf,
    /// Keep the run open when everything is done.
    pub stay: bool,
    /// Who watches.
    pub observer: Box<dyn Observer>,
}

/// Speaks to a running scheduler from inside its process.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Arrival>,
}

impl Handle {
    /// Asks the process to end. Asking twice to drain is asking to stop now.
    pub async fn stop(&self, mode: StopMode) {
        // A loop that is gone has ended already.
        let _ = self.inbox.send(Arrival::Said(Input::Stop(mode))).await;
    }
}

struct Seeded(StdRng);

impl Entropy for Seeded {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Runs until the run is over or somebody ends it. `handle` is given the means to do so as soon
/// as the scheduler listens. When it returns, with the state at the log's end, nothing of it holds
/// the log any more.
pub async fn run(
    mut options: Options,
    handle: oneshot::Sender<Handle>,
) -> Result<(Ending, State), Error> {
    let head = options.integration.head().await?;
    let state = std::mem::take(&mut options.state);
    let epoch = options.log.lead()?;
    let seed = options.seed.unwrap_or_else(rand::random);
    // Each reign draws other numbers than the one before, and the same ones when run again.
    let entropy = Seeded(StdRng::seed_from_u64(seed ^ epoch.0.rotate_left(32)));
    let crew = WorkerPool::new(options.crew.clone());
    let mut clock = SystemClock::starting(state.at);
    let core = Core::new(state, epoch);
    let mut machine = Machine::new(core, Box::new(entropy), crew, std::process::id());
    if options.stay {
        machine.stay();
    }
    machine.start(clock.now(), &options.branch, &head, &options.settings, seed)?;
    if let Some(told) = options.told.take() {
        machine.record_config(clock.now(), told);
    }
    let path = options.socket.clone();
    let listener = Listener::bind(&path).map_err(|source| Error::Listen { path, source })?;
    let (inbox, arrivals) = mpsc::channel(INBOX_MAX);
    let door = Door::new(options.log.clone(), &options.tree_prefix, inbox.clone());
    let serving = listener.serve(&door);
    // Whoever asked for the handle may have gone; the run goes on without.
    let _ = handle.send(Handle {
        inbox: inbox.clone(),
    });
    let (committed, commits) = mpsc::unbounded_channel();
    let committer = Committer::start(options.log.clone(), epoch, committed);
    let committer = committer.map_err(|_| Error::CommitterGone)?;
    let mut running = Loop {
        clock,
        machine,
        committer,
        executor: Executor::new(&options, inbox, door.clone()),
        pipeline: Pipeline::default(),
        wake_ms: Some(0),
        snapshot_at: options.log.head().sequence.0 + SNAPSHOT_EVENTS,
        snapshot: None,
        options,
    };
    let ended = tokio::select! {
        ending = running.run_loop(arrivals, commits) => ending,
        () = serving => Err(Error::CommitterGone),
    };
    door.close().await;
    Ok((ended?, running.machine.into_state()))
}

struct Loop {
    options: Options,
    clock: SystemClock,
    machine: Machine,
    committer: Committer,
    executor: Executor,
    pipeline: Pipeline,
    wake_ms: Option<u64>,
    snapshot_at: u64,
    /// The snapshot that is being written.
    snapshot: Option<JoinHandle<()>>,
}

impl Loop {
    async fn run_loop(
        &mut self,
        mut arrivals: mpsc::Receiver<Arrival>,
        mut commits: mpsc::UnboundedReceiver<Committed>,
    ) -> Result<Ending, Error> {
        let mut arrived = Vec::with_capacity(STEP_MAX);
        let mut look = tokio::time::interval(Duration::from_millis(LIVE_MS));
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wake = self.wake_in();
            let full = self.is_full();
            tokio::select! {
                biased;
                committed = commits.recv() => {
                    if let Some(ending) = self.committed(committed)? {
                        drop(arrivals);
                        return self.end(ending, &mut commits).await;
                    }
                }
                count = arrivals.recv_many(&mut arrived, STEP_MAX), if !full => {
                    if count == 0 {
                        return Err(Error::CommitterGone);
                    }
                }
                _ = look.tick() => self.options.observer.live(&self.machine.live()),
                () = tokio::time::sleep(wake) => {}
            }
            let now = self.clock.now();
            if let Some(by_ms) = self.clock.take_jump() {
                self.machine.step(now, Input::ClockJumped { by_ms });
            }
            for arrival in arrived.drain(..) {
                let input = self.executor.accept(arrival);
                self.machine.step(now, input);
            }
            let step = self.machine.finish(now);
            self.wake_ms = step.wake_ms;
            self.pipeline.decided(step);
            if let Some(ending) = self.hand_over()? {
                drop(arrivals);
                return self.end(ending, &mut commits).await;
            }
        }
    }

    fn wake_in(&mut self) -> Duration {
        let now = self.clock.now().mono_ms;
        // Once an hour costs nothing, and no arithmetic can make it sleep for ever.
        let wait = self.wake_ms.map_or(3_600_000, |at| at.saturating_sub(now));
        Duration::from_millis(wait.min(3_600_000))
    }

    /// Whether to take nothing in for the moment: the disk is slow, or a snapshot has been due
    /// for so long that the log has to stand still for it.
    fn is_full(&self) -> bool {
        let busy = self.pipeline.is_committing();
        let overdue = self.options.log.head().sequence.0 >= self.snapshot_at + SNAPSHOT_EVENTS;
        busy && (overdue || self.pipeline.waiting_events() >= WAITING_EVENTS_MAX)
    }

    /// A batch is durable: now others may hear of it.
    fn committed(&mut self, committed: Option<Committed>) -> Result<Option<Ending>, Error> {
        let (events, head) = committed.ok_or(Error::CommitterGone)?;
        head?;
        self.options.observer.committed(&events);
        let effects = self.pipeline.durable();
        Ok(self.carry(effects))
    }

    /// Hands the next batch to the disk, unless one is on its way.
    fn hand_over(&mut self) -> Result<Option<Ending>, Error> {
        match self.pipeline.turn() {
            Turn::Wait => Ok(None),
            Turn::Carry(effects) => Ok(self.carry(effects)),
            Turn::Append(batch) => {
                let handed = self.committer.commit(batch);
                handed.then_some(None).ok_or(Error::CommitterGone)
            }
        }
    }

    fn carry(&mut self, effects: Vec<Effect>) -> Option<Ending> {
        let mut ending = None;
        for effect in effects {
            match effect {
                Effect::Exit(how) => ending = Some(how),
                Effect::StartWorker { kind } if !self.machine.starts_workers() => {
                    self.executor.leave_out(kind);
                }
                effect => self.executor.carry(effect),
            }
        }
        if ending.is_none() && self.options.log.head().sequence.0 >= self.snapshot_at {
            self.take_snapshot();
        }
        ending
    }

    /// Has a snapshot written, beside the loop, when the working state is what is on the disk.
    fn take_snapshot(&mut self) {
        let state = self.machine.state();
        let head = self.options.log.head().sequence;
        let writing = self
            .snapshot
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        if state.sequence != head || writing {
            return;
        }
        self.snapshot_at = head.0 + SNAPSHOT_EVENTS;
        let taken = match load::snapshot_of(&*self.options.log, state) {
            Ok(taken) => taken,
            Err(error) => return tracing::warn!(%error, "cannot take a snapshot"),
        };
        let dir = self.options.snapshots.clone();
        self.snapshot = taken.map(|taken| {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = snapshot::write(&dir, &taken) {
                    // It only saves time at the next start.
                    tracing::warn!(%error, "cannot write a snapshot");
                }
            })
        });
    }

    async fn end(
        &mut self,
        ending: Ending,
        commits: &mut mpsc::UnboundedReceiver<Committed>,
    ) -> Result<Ending, Error> {
        // Whatever was decided after the end was decided too: it goes to the disk, and whoever
        // asked for it is told.
        while !self.pipeline.is_empty() {
            if self.pipeline.is_committing() {
                let committed = commits.recv().await;
                self.committed(committed)?;
            } else {
                self.hand_over()?;
            }
        }
        self.await_snapshot().await;
        self.take_snapshot();
        self.executor.goodbye().await;
        self.await_snapshot().await;
        match self.executor.take_git_error() {
            Some(error) if ending == Ending::GitFailed => Err(error.into()),
            _ => Ok(ending),
        }
    }

    async fn await_snapshot(&mut self) {
        if let Some(task) = self.snapshot.take()
            && let Err(error) = task.await
        {
            tracing::warn!(%error, "the snapshot thread failed");
        }
    }
}
