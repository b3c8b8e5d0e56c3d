//! The run of a drill: restarts the scheduler whenever it ends, kills at random, and follows the
//! committed events.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{interval, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::Plan;
use super::load::Load;
use super::observer::Observer;
use super::sandbox_repo::SandboxRepo;
use super::schedule;
use super::targets::{Killer, Kind, Target};
use crate::cli::Context;
use crate::cli::client::Client;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::progress::Screen;
use crate::model::format;
use crate::model::ids::CommitId;
use crate::protocol::{ClientMessage, ToClient};
use crate::queue::encoding::decode;

/// Workers of the drill: enough to keep two cores busy.
const WORKERS: &str = "coding=3,testing=1";
/// After this many schedulers that failed without being killed, the drill stops.
const FAULTS_MAX: usize = 5;
/// Longest wait for the run's end after the last kill: at most thirty features are open then, and
/// each takes about a second on a slow machine.
const FINISH_MAX: Duration = Duration::from_secs(300);
/// Longest wait for killed or ended processes to disappear.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Tries for an import that is still pending after the last kill; each waits some seconds.
const REPEATS_MAX: usize = 10;
/// How often a socket or `/proc` is checked.
const LOOK: Duration = Duration::from_millis(20);
/// How often progress is shown in a terminal, and how many times more rarely elsewhere.
const SHOW: Duration = Duration::from_millis(250);
const SHOWS_PER_LINE: u64 = 40;

/// What the drill did, and what it left.
pub struct Outcome {
    /// Seed of the plan.
    pub seed: u64,
    /// What the follower received.
    pub observer: Observer,
    /// Number of kills by kind.
    pub kills: BTreeMap<Kind, u32>,
    /// Number of strikes that hit several processes.
    pub at_once: u32,
    /// Number of strikes during a recovery from an earlier one.
    pub in_recovery: u32,
    /// Number of schedulers started after the first.
    pub restarts: u32,
    /// Number of features whose import was acknowledged.
    pub features: u32,
    /// Number of imports that were repeated because no answer came.
    pub repeated: u32,
    /// Faults, in words.
    pub faults: Vec<String>,
    /// Processes that were still alive after the run.
    pub orphans: Vec<Target>,
    /// The user's branch before the drill.
    pub users_head: CommitId,
    /// How long the drill killed.
    pub killing: Duration,
    /// True if the user ended the drill early.
    pub interrupted: bool,
}

fn locked(observer: &Mutex<Observer>) -> MutexGuard<'_, Observer> {
    observer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows the log from one scheduler to the next.
async fn follow(socket: std::path::PathBuf, observer: Arc<Mutex<Observer>>) {
    loop {
        if let Ok(Some(mut client)) = Client::connect(&socket).await {
            let from = locked(&observer).next();
            let read = ClientMessage::Read { from, follow: true };
            if client.send(&read).await.is_ok() {
                locked(&observer).connected = true;
                while let Ok(Some(message)) = client.next().await {
                    note(&observer, message);
                }
            }
            locked(&observer).connected = false;
        }
        sleep(LOOK).await;
    }
}

fn note(observer: &Mutex<Observer>, message: ToClient) {
    let ToClient::Events { envelopes } = message else {
        return;
    };
    let (mut observer, now) = (locked(observer), Instant::now());
    for bytes in envelopes {
        let Ok(envelope) = decode(&bytes) else {
            continue;
        };
        observer.told(envelope.sequence, &bytes);
        // The bodies of long events are not sent; the events that matter here are short.
        if let Ok(recorded) = envelope.recorded() {
            observer.happened(&recorded, now);
        }
    }
}

/// Ctrl-C or SIGTERM: the first ends the killing, the second ends everything.
struct Interrupts {
    keyboard: Signal,
    manager: Signal,
}

impl Interrupts {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Error::internal("cannot handle signals", error, "start the drill again")
            })
        };
        Ok(Self {
            keyboard: listen(SignalKind::interrupt())?,
            manager: listen(SignalKind::terminate())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.keyboard.recv() => {}
            _ = self.manager.recv() => {}
        }
    }
}

/// Everything that runs during a drill. Dropping it kills all of it.
struct Run<'a> {
    sandbox: &'a SandboxRepo,
    plan: &'a Plan,
    killer: Killer,
    random: StdRng,
    scheduler: Option<Child>,
    observer: Arc<Mutex<Observer>>,
    screen: Screen,
    kills: BTreeMap<Kind, u32>,
    at_once: u32,
    in_recovery: u32,
    restarts: u32,
    faults: Vec<String>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let pid = self.pid();
        // Twice, to catch processes that started during the first pass.
        for _ in 0..2 {
            for target in self.killer.look(pid) {
                self.killer.kill(&target, pid);
            }
        }
    }
}

impl Run<'_> {
    fn pid(&self) -> Option<u32> {
        self.scheduler.as_ref().and_then(Child::id)
    }

    fn start(&mut self) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            Error::internal(
                "cannot start a scheduler",
                error,
                "free some memory or processes, then start the drill again",
            )
        };
        let own = std::env::current_exe().map_err(failed)?;
        let said = self
            .sandbox
            .project
            .root
            .join(".crewlog/drill/scheduler.log");
        let said = File::options()
            .create(true)
            .append(true)
            .open(said)
            .map_err(failed)?;
        let child = Command::new(own)
            .arg("-C")
            .arg(&self.sandbox.project.root)
            .args(["run", "--workers", WORKERS, "--quiet", "--seed"])
            .arg(self.plan.seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            // Its own process group, because the terminal's Ctrl-C is for the drill alone.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.scheduler = Some(child);
        Ok(())
    }

    /// Waits until the scheduler ends.
    async fn end(&mut self) -> std::io::Result<ExitStatus> {
        match self.scheduler.as_mut() {
            Some(child) => child.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Handles the end of a scheduler: killed, done, or failed.
    fn ended(&mut self, status: &std::io::Result<ExitStatus>) -> Result<(), Error> {
        use std::os::unix::process::ExitStatusExt;
        self.scheduler = None;
        match status {
            Ok(status) if status.signal() == Some(9) || status.success() => return Ok(()),
            Ok(status) => self
                .faults
                .push(format!("a scheduler ended without being killed: {status}")),
            Err(error) => self
                .faults
                .push(format!("cannot wait for a scheduler: {error}")),
        }
        if self.faults.len() <= FAULTS_MAX {
            return Ok(());
        }
        let said = self
            .sandbox
            .project
            .root
            .join(".crewlog/drill/scheduler.log");
        let text = fs::read_to_string(&said).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Err(Error::internal(
            "the drill's scheduler keeps failing",
            last.join("\n"),
            format!("see {}", said.display()),
        ))
    }

    /// Kills processes. Returns the milliseconds until the next scheduler is killed too, if it is.
    fn strike(&mut self) -> Option<u64> {
        let pid = self.pid();
        let alive = self.killer.look(pid);
        let mut hit = schedule::draw(&alive, &mut self.random);
        hit.retain(|target| self.killer.kill(target, pid));
        let mut observer = locked(&self.observer);
        self.in_recovery += u32::from(observer.recovering() && !hit.is_empty());
        self.at_once += u32::from(hit.len() > 1);
        let now = Instant::now();
        for target in &hit {
            *self.kills.entry(target.kind).or_default() += 1;
            observer.killed(target, now);
        }
        let scheduler = hit.iter().any(|target| target.kind == Kind::Scheduler);
        scheduler
            .then(|| schedule::again_ms(&mut self.random))
            .flatten()
    }

    /// Kills until the time is over. Returns true if the user ended it.
    async fn kill_for_a_while(
        &mut self,
        load: &tokio::sync::Mutex<Load>,
        interrupts: &mut Interrupts,
    ) -> Result<bool, Error> {
        let began = tokio::time::Instant::now();
        let every = u64::try_from(self.plan.every.as_millis()).unwrap_or(u64::MAX);
        let draw = |random: &mut StdRng| Duration::from_millis(schedule::pause_ms(every, random));
        let mut next = began + draw(&mut self.random);
        let mut show = interval(SHOW);
        while began.elapsed() < self.plan.length {
            tokio::select! {
                status = self.end() => {
                    self.ended(&status)?;
                    if status.is_ok_and(|status| status.success()) {
                        load.lock().await.refill(self.sandbox).await?;
                    }
                    self.start()?;
                    self.restarts += 1;
                }
                () = sleep_until(next) => {
                    let again = self.strike();
                    let pause = again.map_or_else(|| draw(&mut self.random), Duration::from_millis);
                    next = tokio::time::Instant::now() + pause;
                }
                () = interrupts.recv() => return Ok(true),
                _ = show.tick() => self.show(began.elapsed(), "killing"),
            }
        }
        Ok(false)
    }

    /// Lets the run complete without further kills.
    async fn finish(&mut self, interrupts: &mut Interrupts) -> Result<(), Error> {
        let began = tokio::time::Instant::now();
        let mut show = interval(SHOW);
        loop {
            if self.scheduler.is_none() {
                self.start()?;
                self.restarts += 1;
            }
            tokio::select! {
                status = self.end() => {
                    self.ended(&status)?;
                    if status.is_ok_and(|status| status.success()) {
                        return Ok(());
                    }
                }
                () = sleep_until(began + FINISH_MAX) => {
                    self.faults.push(format!("the run did not end within {} s after the last kill", FINISH_MAX.as_secs()));
                    return Ok(());
                }
                () = interrupts.recv() => return Err(interrupted()),
                _ = show.tick() => self.show(began.elapsed(), "completing"),
            }
        }
    }

    /// The whole drill. Returns how long it killed, and whether the user ended that early.
    async fn work(
        &mut self,
        load: &tokio::sync::Mutex<Load>,
        interrupts: &mut Interrupts,
    ) -> Result<(Duration, bool), Error> {
        self.start()?;
        let (began, sandbox, observer) = (Instant::now(), self.sandbox, self.observer.clone());
        let interrupted = tokio::select! {
            killed = self.kill_for_a_while(load, interrupts) => killed?,
            Err(error) = feed(sandbox, load, &observer) => return Err(error),
        };
        let killing = began.elapsed();
        for _ in 0..REPEATS_MAX {
            if !load.lock().await.is_pending() {
                break;
            }
            load.lock().await.refill(sandbox).await?;
        }
        self.finish(interrupts).await?;
        Ok((killing, interrupted))
    }

    /// Kills what is left and waits until it has ended.
    async fn end_all(&mut self) {
        let began = tokio::time::Instant::now();
        while began.elapsed() < SILENCE_MAX {
            let pid = self.pid();
            let left = self.killer.look(pid);
            if left.is_empty() {
                return;
            }
            left.iter().for_each(|target| {
                self.killer.kill(target, pid);
            });
            sleep(LOOK).await;
        }
    }

    fn show(&self, elapsed: Duration, doing: &str) {
        let observer = locked(&self.observer);
        let kills: u32 = self.kills.values().sum();
        let line = format!(
            "{doing} {} · {kills} kills · {} restarts · {} attempts · {} merged",
            format::duration(elapsed.as_millis() as u64),
            self.restarts,
            observer.attempts,
            observer.passed,
        );
        let shows = elapsed.as_millis() / SHOW.as_millis();
        if self.screen.draws() {
            self.screen.draw(&[line]);
        } else if shows.is_multiple_of(u128::from(SHOWS_PER_LINE)) {
            self.screen.permanent(|| line);
        }
    }

    /// Processes that are still alive after the run.
    async fn orphans(&self) -> Vec<Target> {
        let began = tokio::time::Instant::now();
        loop {
            let left = self.killer.look(self.pid());
            if left.is_empty() || began.elapsed() > SILENCE_MAX {
                return left;
            }
            sleep(LOOK).await;
        }
    }
}

fn interrupted() -> Error {
    let why = "you pressed Ctrl-C twice, so its processes were killed";
    Error::new(ExitCode::Interrupted, "the drill was interrupted", why, "")
}

/// Imports more features whenever they run low and a scheduler is running.
async fn feed(
    sandbox: &SandboxRepo,
    load: &tokio::sync::Mutex<Load>,
    observer: &Mutex<Observer>,
) -> Result<std::convert::Infallible, Error> {
    loop {
        if locked(observer).connected {
            load.lock().await.refill(sandbox).await?;
        }
        sleep(LOOK * 5).await;
    }
}

/// Runs the drill and waits for the run to complete.
pub async fn run(context: &Context, plan: &Plan, sandbox: &SandboxRepo) -> Result<Outcome, Error> {
    let observer = Arc::new(Mutex::new(Observer::default()));
    let mut interrupts = Interrupts::listen()?;
    let users_head = super::sandbox_repo::users_head(&sandbox.project).await?;
    let load = tokio::sync::Mutex::new(Load::new(sandbox, observer.clone())?);
    load.lock().await.refill(sandbox).await?;
    let follower = follow(sandbox.project.socket.clone(), observer.clone());
    let follower = AbortOnDropHandle::new(tokio::spawn(follower));
    let mut run = Run {
        sandbox,
        plan,
        killer: Killer::new(&sandbox.project.root),
        random: StdRng::seed_from_u64(plan.seed),
        scheduler: None,
        observer: observer.clone(),
        screen: Screen::new(&context.global),
        kills: BTreeMap::new(),
        at_once: 0,
        in_recovery: 0,
        restarts: 0,
        faults: Vec::new(),
    };
    let worked = run.work(&load, &mut interrupts).await;
    run.screen.clear();
    if worked.is_err() {
        run.end_all().await;
    }
    let (killing, interrupted) = worked?;
    let orphans = run.orphans().await;
    drop(follower);
    let load = load.into_inner();
    let observer = std::mem::take(&mut *locked(&observer));
    Ok(Outcome {
        seed: plan.seed,
        observer,
        kills: std::mem::take(&mut run.kills),
        at_once: run.at_once,
        in_recovery: run.in_recovery,
        restarts: run.restarts,
        features: load.acknowledged,
        repeated: load.repeated,
        faults: std::mem::take(&mut run.faults),
        orphans,
        users_head,
        killing,
        interrupted,
    })
}
