//! The loop: takes inputs, lets the machine decide, makes the batch durable, and only then executes
//! the effects.

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
use crate::model::profile::Profiles;
use crate::model::settings::{Settings, WorkerKind};
use crate::model::state::State;
use crate::protocol::Live;
use crate::queue::{EventLog, snapshot};

pub use super::machine::Ending;

/// Inputs that wait for the loop. A full inbox makes the senders wait, and so the peers behind
/// them.
const INBOX_MAX: usize = 4_096;

/// Inputs that one turn takes, so that a flood of them does not delay the answer to the first.
const STEP_MAX: usize = 1_024;

/// How often an observer gets the live view; people look no faster.
const LIVE_MS: u64 = 200;

/// Watches the run from inside the process.
pub trait Observer: Send {
    /// These events are durable.
    fn committed(&mut self, events: &[Recorded]);

    /// The live view, a few times a second.
    fn live(&mut self, live: &Live);
}

/// An observer that ignores everything.
pub struct Silent;

impl Observer for Silent {
    fn committed(&mut self, _events: &[Recorded]) {}
    fn live(&mut self, _live: &Live) {}
}

/// What a scheduler needs.
pub struct Options {
    /// The log, held by this process.
    pub log: Arc<dyn EventLog>,
    /// Directory of the snapshots.
    pub snapshots: PathBuf,
    /// The state at the log's head, from [`load`](super::load::load). The caller needs it earlier,
    /// and a large log should not be folded twice.
    pub state: State,
    /// Path to listen on.
    pub socket: PathBuf,
    /// Prefix of the markers of the project's attempts.
    pub tree_prefix: String,
    /// Name of the integration branch, without `refs/heads/`.
    pub branch: String,
    /// Access to the integration branch.
    pub integration: Arc<dyn Integration>,
    /// Watches and ends workers' processes.
    pub processes: Arc<dyn Processes>,
    /// Reads workers' spool files.
    pub spool: Arc<dyn Spool>,
    /// Settings of the run.
    pub settings: Settings,
    /// The agents that jobs may use.
    pub profiles: Profiles,
    /// The config that is recorded for the run; `None` if workers' configs are not compared.
    pub config: Option<RunConfig>,
    /// Seed of all random choices; `None` chooses one.
    pub seed: Option<u64>,
    /// Workers to start and keep running, by kind.
    pub own_workers: BTreeMap<WorkerKind, u32>,
    /// Command line that starts one; `--kind KIND --started-by-scheduler` is added.
    pub worker_command: Vec<std::ffi::OsString>,
    /// Directory for the error output of its own workers.
    pub worker_output: PathBuf,
    /// Keep the run open when everything is done.
    pub stay: bool,
    /// Gets every durable event.
    pub observer: Box<dyn Observer>,
}

struct Seeded(StdRng);

impl Entropy for Seeded {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Runs until the run is over or somebody ends it. Sends a handle on `handle` when it listens. When
/// it returns the state at the log's end, it no longer holds the log.
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
    // Each epoch draws other numbers than the one before, and the same ones when repeated.
    let entropy = Seeded(StdRng::seed_from_u64(seed ^ epoch.0.rotate_left(32)));
    let pool = WorkerPool::new(options.own_workers.clone());
    let mut clock = SystemClock::starting(state.at);
    let core = Core::new(state, epoch);
    let mut machine = Machine::new(core, Box::new(entropy), pool, std::process::id());
    if options.stay {
        machine.stay();
    }
    machine.use_profiles(options.profiles.clone());
    machine.start(clock.now(), &options.branch, &head, &options.settings, seed)?;
    if let Some(config) = options.config.take() {
        machine.record_config(clock.now(), config);
    }
    let path = options.socket.clone();
    let listener = Listener::bind(&path).map_err(|source| Error::Listen { path, source })?;
    let (inbox, arrivals) = mpsc::channel(INBOX_MAX);
    let door = Door::new(options.log.clone(), &options.tree_prefix, inbox.clone());
    let serving = listener.serve(&door);
    // The receiver of the handle may have ended; the run continues without it.
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
        // Waking once an hour costs nothing, and limits a mistake in the arithmetic.
        let wake = self.cycle.wake_ms();
        let wait = wake.map_or(3_600_000, |at| at.saturating_sub(now));
        Duration::from_millis(wait.min(3_600_000))
    }

    fn head(&self) -> Sequence {
        self.options.log.head().sequence
    }

    /// A batch is durable, so its effects may be executed.
    fn committed(&mut self, committed: Option<Committed>) -> Result<Option<Ending>, Error> {
        let (events, head) = committed.ok_or(Error::CommitterGone)?;
        head?;
        self.options.observer.committed(&events);
        let due = self.cycle.durable();
        self.execute_due(due)
    }

    /// Hands the next batch to the disk, unless one is being written.
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

    /// Writes a snapshot in the background, if the working state equals what is on the disk.
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
                    // A snapshot only saves time at the next start.
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
        // Decisions after the end are still decisions: they are written, and their senders are
        // answered.
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
