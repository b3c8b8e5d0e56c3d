//! The loop around the machine: it waits for what happens next, and executes effects.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field};

use crate::agent::process;
use crate::model::ids::Timestamp;
use crate::model::running::Running;
use crate::model::settings::WorkerKind;
use crate::protocol::{SchedulerMessage, identity};
use crate::workspace::{self, Repository};

use super::config::Config;
use super::connection::{Connection, ConnectionError};
use super::error::WorkerError;
use super::executor::{Executor, OutputStore, Parts, Templates};
use super::machine::{Activity, Done, Effect, Exit, Input, Machine, Rules};
use super::ports::PortSlot;
use super::preflight;
use super::signals::{Hangup, Signals};
use super::spool;
use super::template::template;

/// Time for the last messages to a scheduler; one that reads takes milliseconds.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Receives one line for everything of interest, without its end.
pub type Reporter = Arc<dyn Fn(&str) + Send + Sync>;

/// What a worker is started with.
pub struct Launch {
    /// The worker's own configuration.
    pub config: Config,
    /// Kind of the jobs that it takes.
    pub kind: WorkerKind,
    /// The scheduler's socket, if it is not the project's.
    pub connect: Option<PathBuf>,
    /// Stores the outputs of checks.
    pub outputs: Arc<dyn OutputStore>,
    /// Receives what happens, as lines for people.
    pub reporter: Reporter,
    /// An executable whose `main` calls [`crate::agent::child_entry`] first.
    pub own_executable: PathBuf,
}

/// Runs a worker of this executable to its end. Call it on a current-thread runtime.
///
/// # Errors
/// It could not start. Anything later is in the [`Exit`].
pub async fn run(
    config: Config,
    kind: WorkerKind,
    connect: Option<PathBuf>,
    outputs: Arc<dyn OutputStore>,
    reporter: Reporter,
) -> Result<Exit, WorkerError> {
    launch(Launch {
        config,
        kind,
        connect,
        outputs,
        reporter,
        own_executable: process::TreeCommand::OWN_EXECUTABLE.into(),
    })
    .await
}

/// Like [`run`], with every part chosen by the caller.
///
/// # Errors
/// As for [`run`].
pub async fn launch(launch: Launch) -> Result<Exit, WorkerError> {
    let system = |doing| move |source| WorkerError::System { doing, source };
    // First, so that no signal from now on ends the process at a random moment.
    let config = launch.config;
    let hangup = match config.started_by_scheduler {
        // The scheduler outlives its terminal, and tells its workers when to end.
        true => Hangup::Ignored,
        false => Hangup::Ends,
    };
    let signals = Signals::new(hangup).map_err(system("handle signals"))?;
    preflight::check(&config)?;
    // A worker that the scheduler starts may begin in the middle of a run, where something missing
    // is reported as a problem of the machine.
    if !config.started_by_scheduler {
        preflight::check_programs(&config)?;
        // Before the first run, the directory of attempts is unknown.
        if config.places.worktrees.exists() {
            preflight::check_places(&config.places)?;
            preflight::check_agents(&config, &launch.own_executable).await?;
        }
    }
    process::become_subreaper().map_err(system("become a subreaper"))?;
    let process = identity::own_identity().map_err(system("identify this process"))?;
    let data = config.places.data.clone();
    std::fs::create_dir_all(&data).map_err(system("create the data directory"))?;
    let mut clock = Clock::new();
    let rules = Rules {
        kind: launch.kind,
        process,
        orphan_limit_ms: config.orphan_limit_ms,
        crew: config.started_by_scheduler,
        config: config.evidence.clone(),
    };
    let (activity, latest) = watch::channel(Activity::default());
    let socket = launch
        .connect
        .unwrap_or_else(|| config.places.socket.clone());
    let parts = Parts {
        repository: repository(&config).await?,
        templates: Templates {
            coding: template(&config, WorkerKind::Coding)?,
            testing: template(&config, WorkerKind::Testing)?,
        },
        ports: PortSlot::take(config.ports)?,
        outputs: launch.outputs,
        own_executable: launch.own_executable,
        activity,
        config,
    };
    let (executor, leftovers) = Executor::new(parts, spool::take_up(&data)?);
    let machine = Machine::new(rules, clock.now(), leftovers);
    let shell = Shell {
        machine,
        clock,
        socket,
        reporter: launch.reporter,
        signals,
        latest,
        link: Link::Down,
        work: Work::Idle(Box::new(executor)),
        cancel: CancellationToken::new(),
    };
    let span = tracing::info_span!("worker", kind = launch.kind.as_str(), name = field::Empty);
    Ok(shell.run().instrument(span).await)
}

/// The file in a project's data directory with git's configuration as the scheduler read it at the
/// start of the run.
pub fn git_settings(data: &Path) -> PathBuf {
    data.join("git-settings.json")
}

/// The repository, with the configuration that the scheduler has read; a worker that starts before
/// any scheduler reads it itself.
async fn repository(config: &Config) -> Result<Repository, WorkerError> {
    let repository = Repository::discover(&config.places.project).await?;
    let doing = "read git's configuration as the scheduler recorded it";
    let read = workspace::Settings::read(&git_settings(&config.places.data));
    let settings = read.map_err(|source| WorkerError::System { doing, source })?;
    Ok(match settings {
        Some(settings) => repository.with_settings(settings),
        None => repository,
    })
}

/// Wall-clock time that never jumps: the time of the start, plus the time that this worker has run
/// since. While it is stopped, and its agent with it, no limit of an attempt comes nearer.
struct Clock {
    start: Timestamp,
    since: Instant,
    running: Running,
}

impl Clock {
    fn new() -> Self {
        let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ms = start.map_or(0, |since| since.as_millis());
        Self {
            start: Timestamp(u64::try_from(ms).unwrap_or_default()),
            since: Instant::now(),
            running: Running::default(),
        }
    }

    fn now(&mut self) -> Timestamp {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.start.plus_ms(self.running.at(ms))
    }

    /// Waits until this time. Reads the clock in between, so that a stop is noticed.
    async fn wait_until(&mut self, at: Option<Timestamp>) {
        loop {
            // One more millisecond, so that the time has certainly come when this returns.
            let left = at.map(|at| at.since_ms(self.now()).saturating_add(1));
            let wait = left.unwrap_or(u64::MAX).min(Running::TICK_MS);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if left == Some(wait) {
                return;
            }
        }
    }
}

enum Link {
    Down,
    Opening(BoxFuture<'static, Result<Connection, ConnectionError>>),
    Open(Connection),
}

/// Where the executor is: here, or inside the running step.
enum Work {
    Idle(Box<Executor>),
    Busy(Pin<Box<dyn Future<Output = (Box<Executor>, Done)> + Send>>),
    /// Neither, while it is moved.
    Moving,
}

struct Shell {
    machine: Machine,
    clock: Clock,
    socket: PathBuf,
    reporter: Reporter,
    signals: Signals,
    latest: watch::Receiver<Activity>,
    link: Link,
    work: Work,
    /// Ends the running step.
    cancel: CancellationToken,
}

impl Shell {
    async fn run(mut self) -> Exit {
        let mut input = Input::Start;
        loop {
            if let Input::Message(SchedulerMessage::Welcome { name, .. }) = &input {
                tracing::Span::current().record("name", name);
            }
            let mut inputs = vec![input];
            while let Some(input) = inputs.pop() {
                let effects = self.machine.step(self.clock.now(), rand::random(), input);
                for effect in effects {
                    match self.carry_out(effect) {
                        Ok(()) => {}
                        Err(Stop::Exit(exit)) => {
                            if let Link::Open(connection) = &mut self.link {
                                connection.flush(FLUSH_LIMIT).await;
                            }
                            return exit;
                        }
                        Err(Stop::Lost(reason)) => {
                            self.link = Link::Down;
                            inputs.push(Input::Disconnected { reason });
                        }
                    }
                }
            }
            input = self.wait().await;
        }
    }

    /// Waits until something happens.
    async fn wait(&mut self) -> Input {
        let wake_at = self.machine.wake_at();
        tokio::select! {
            biased;
            _ = self.signals.next() => Input::Signal,
            (executor, done) = busy(&mut self.work) => {
                self.work = Work::Idle(executor);
                Input::Done(done)
            }
            input = talk(&mut self.link) => input,
            () = self.clock.wait_until(wake_at) => Input::Tick,
            Ok(()) = self.latest.changed() => {
                Input::Activity(self.latest.borrow_and_update().clone())
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), Stop> {
        match effect {
            Effect::Connect => {
                let socket = self.socket.clone();
                let opening = async move { Connection::open(&socket).await };
                self.link = Link::Opening(Box::pin(opening));
            }
            Effect::Disconnect => self.link = Link::Down,
            Effect::Send(message) => {
                if let Link::Open(connection) = &self.link {
                    let sent = connection.send(&message);
                    sent.map_err(|error| Stop::Lost(error.to_string()))?;
                }
            }
            Effect::Begin(step) => match std::mem::replace(&mut self.work, Work::Moving) {
                Work::Idle(mut executor) => {
                    self.cancel = CancellationToken::new();
                    let cancel = self.cancel.clone();
                    let span = tracing::info_span!("attempt", id = step.attempt.0);
                    let carried = async move {
                        let (words, since) = (step.kind.words(), Instant::now());
                        let done = executor.carry_out(step, &cancel).await;
                        let took_ms = since.elapsed().as_millis();
                        match &done.result {
                            Ok(_) => tracing::debug!(step = words, took_ms, "done"),
                            Err(failure) => {
                                let reason = failure.reason.as_str();
                                tracing::info!(step = words, took_ms, reason, "failed");
                            }
                        }
                        (executor, done)
                    };
                    self.work = Work::Busy(Box::pin(carried.instrument(span)));
                }
                busy => {
                    self.work = busy;
                    bug!("the step {step:?} started before the last one ended");
                }
            },
            Effect::Interrupt => self.cancel.cancel(),
            Effect::Say(line) => (self.reporter)(&line),
            Effect::Exit(exit) => return Err(Stop::Exit(exit)),
        }
        Ok(())
    }
}

/// Why no more effects are executed.
enum Stop {
    Exit(Exit),
    Lost(String),
}

async fn busy(work: &mut Work) -> (Box<Executor>, Done) {
    match work {
        Work::Busy(step) => step.await,
        Work::Idle(_) | Work::Moving => std::future::pending().await,
    }
}

async fn talk(link: &mut Link) -> Input {
    let lost = |error: ConnectionError| Input::Disconnected {
        reason: error.to_string(),
    };
    match link {
        Link::Down => std::future::pending().await,
        Link::Opening(opening) => match opening.await {
            Ok(connection) => {
                *link = Link::Open(connection);
                Input::Connected
            }
            Err(error) => {
                *link = Link::Down;
                lost(error)
            }
        },
        Link::Open(connection) => match connection.receive().await {
            Ok(message) => Input::Message(message),
            Err(error) => {
                *link = Link::Down;
                lost(error)
            }
        },
    }
}
