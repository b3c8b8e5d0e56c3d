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
use tracing::{Instrument, field};

use self::execute::Executor;
use super::Error;
use super::clock::SystemClock;
use super::committer::{Committed, Committer};
use super::core::Core;
use super::cycle::{Cycle, Due};
use super::handle::Handle;
use super::load;
pub use super::machine::RunConfig;
use super::machine::{Input, Machine};
use super::ports::{Integration, Processes, Spool};
use super::socket::{Arrival, Door, Listener};
use super::worker_pool::WorkerPool;
use crate::model::event::Recorded;
use crate::model::ids::Sequence;
use crate::model::plan::Entropy;
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::State;
use crate::protocol::Live;
use crate::queue::{EventLog, snapshot};

pub use super::machine::Ending;

/// Inputs that wait for the loop. Who fills it waits, and so do the peers behind it.
const INBOX_MAX: usize = 4_096;

/// Inputs that are taken in at once, so that a flood of them cannot keep what follows from the
/// first one waiting.
const STEP_MAX: usize = 1_024;

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
    pub config: Option<RunConfig>,
    /// The seed of all that is drawn; drawn itself when there is none.
    pub seed: Option<u64>,
    /// Workers of its own to keep alive.
    pub own_workers: BTreeMap<WorkerKind, u32>,
    /// How to start one: a command line, to which `--kind KIND --started-by-scheduler` is added.
    pub worker_command: Vec<std::ffi::OsString>,
    /// Where workers of its own write what they have to say to a person.
    pub worker_output: PathBuf,
    /// Keep the run open when everything is done.
    pub stay: bool,
    /// Who watches.
    pub observer: Box<dyn Observer>,
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
    options: Options,
    handle: oneshot::Sender<Handle>,
) -> Result<(Ending, State), Error> {
    // Every line that is logged from here on says of which run it is.
    let span = tracing::info_span!("run", branch = options.branch, epoch = field::Empty);
    run_all(options, handle).instrument(span).await
}

async fn run_all(
    mut options: Options,
    handle: oneshot::Sender<Handle>,
) -> Result<(Ending, State), Error> {
    let head = options.integration.head().await?;
    let state = std::mem::take(&mut options.state);
    let epoch = options.log.lead()?;
    tracing::Span::current().record("epoch", epoch.0);
    let seed = options.seed.unwrap_or_else(rand::random);
    // Each reign draws other numbers than the one before, and the same ones when run again.
    let entropy = Seeded(StdRng::seed_from_u64(seed ^ epoch.0.rotate_left(32)));
    let pool = WorkerPool::new(options.own_workers.clone());
    let mut clock = SystemClock::starting(state.at);
    let core = Core::new(state, epoch);
    let mut machine = Machine::new(core, Box::new(entropy), pool, std::process::id());
    if options.stay {
        machine.stay();
    }
    machine.start(clock.now(), &options.branch, &head, &options.settings, seed)?;
    if let Some(config) = options.config.take() {
        machine.record_config(clock.now(), config);
    }
    let path = options.socket.clone();
    let listener = Listener::bind(&path).map_err(|source| Error::Listen { path, source })?;
    let (inbox, arrivals) = mpsc::channel(INBOX_MAX);
    let door = Door::new(options.log.clone(), &options.tree_prefix, inbox.clone());
    let serving = listener.serve(&door);
    // Whoever asked for the handle may have gone; the run goes on without.
    let _ = handle.send(Handle::new(inbox.clone(), &options.log));
    let (committed, commits) = mpsc::unbounded_channel();
    let committer = Committer::start(options.log.clone(), epoch, committed);
    let committer = committer.map_err(|_| Error::CommitterGone)?;
    let mut running = Loop {
        clock,
        cycle: Cycle::new(machine, options.log.head().sequence),
        committer,
        executor: Executor::new(&options, inbox, door.clone()),
        snapshot: None,
        options,
    };
    let ended = tokio::select! {
        ending = running.run_loop(arrivals, commits) => ending,
        () = serving => Err(Error::CommitterGone),
    };
    door.close().await;
    Ok((ended?, running.cycle.into_state()))
}

struct Loop {
    options: Options,
    clock: SystemClock,
    cycle: Cycle,
    committer: Committer,
    executor: Executor,
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
            let full = self.cycle.is_full(self.head());
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
                _ = look.tick() => self.options.observer.live(&self.cycle.machine().live()),
                () = tokio::time::sleep(wake) => {}
            }
            let now = self.clock.now();
            let jumped = self.clock.take_jump();
            let jumped = jumped.map(|by_ms| Input::ClockJumped { by_ms });
            let executor = &mut self.executor;
            let inputs = arrived.drain(..).map(|arrival| executor.accept(arrival));
            self.cycle.turn(now, jumped.into_iter().chain(inputs));
            if let Some(ending) = self.hand_over()? {
                drop(arrivals);
                return self.end(ending, &mut commits).await;
            }
        }
    }

    fn wake_in(&mut self) -> Duration {
        let now = self.clock.now().mono_ms;
        // Once an hour costs nothing, and no arithmetic can make it sleep for ever.
        let wake = self.cycle.wake_ms();
        let wait = wake.map_or(3_600_000, |at| at.saturating_sub(now));
        Duration::from_millis(wait.min(3_600_000))
    }

    fn head(&self) -> Sequence {
        self.options.log.head().sequence
    }

    /// A batch is durable: now others may hear of it.
    fn committed(&mut self, committed: Option<Committed>) -> Result<Option<Ending>, Error> {
        let (events, head) = committed.ok_or(Error::CommitterGone)?;
        head?;
        self.options.observer.committed(&events);
        let due = self.cycle.durable();
        self.execute_due(due)
    }

    /// Hands the next batch to the disk, unless one is on its way.
    fn hand_over(&mut self) -> Result<Option<Ending>, Error> {
        let due = self.cycle.due();
        self.execute_due(due)
    }

    fn execute_due(&mut self, due: Due) -> Result<Option<Ending>, Error> {
        let (effects, ending) = match due {
            Due::Nothing => return Ok(None),
            Due::Append(batch) => {
                let handed = self.committer.commit(batch);
                return handed.then_some(None).ok_or(Error::CommitterGone);
            }
            Due::Execute(effects) => (effects, None),
            Due::End(effects, ending) => (effects, Some(ending)),
        };
        for effect in effects {
            self.executor.execute(effect);
        }
        if ending.is_none() {
            self.take_snapshot(false);
        }
        Ok(ending)
    }

    /// Has a snapshot written, beside the loop, when the working state is what is on the disk.
    fn take_snapshot(&mut self, is_final: bool) {
        let head = self.head();
        let writing = self.snapshot.as_ref();
        if writing.is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Some(state) = self.cycle.snapshot(head, is_final) else {
            return;
        };
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
        while !self.cycle.is_empty() {
            if self.cycle.is_committing() {
                let committed = commits.recv().await;
                self.committed(committed)?;
            } else {
                self.hand_over()?;
            }
        }
        self.await_snapshot().await;
        self.take_snapshot(true);
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
