//! The killing: a scheduler that is started again and again, strikes at random, and a follower
//! that is told what is committed.

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

/// The crew that is killed: as many as keep two cores busy.
const CREW: &str = "coding=3,testing=1";
/// Schedulers that ended by themselves in a way that they should not: more of them, and
/// starting another shows nothing new.
const FAULTS_MAX: usize = 5;
/// After the last kill at most thirty features are open, of a second each on a slow machine.
const FINISH_MAX: Duration = Duration::from_secs(300);
/// The longest that whatever was killed or ended may take to vanish.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// An import that is still open after the last kill; each try waits for seconds by itself.
const REPEATS_MAX: usize = 10;
/// How often a socket or `/proc` is looked at again.
const LOOK: Duration = Duration::from_millis(20);
/// How often progress is shown in a terminal, and how many times less often elsewhere.
const SHOW: Duration = Duration::from_millis(250);
const SHOWS_PER_LINE: u64 = 40;

/// What the killing was, and what was left.
pub struct Outcome {
    /// The plan's seed.
    pub seed: u64,
    /// What the follower was told.
    pub observer: Observer,
    /// Kills by kind.
    pub kills: BTreeMap<Kind, u32>,
    /// Strikes that hit several at once.
    pub at_once: u32,
    /// Strikes while something was recovering from an earlier one.
    pub in_recovery: u32,
    /// Schedulers that were started after the first.
    pub restarts: u32,
    /// Features whose import was acknowledged.
    pub features: u32,
    /// Imports that were repeated because their answer did not come.
    pub repeated: u32,
    /// What must not have happened, in words.
    pub faults: Vec<String>,
    /// Processes that outlived the run.
    pub orphans: Vec<Target>,
    /// Where the user's branch was before it all.
    pub users_head: CommitId,
    /// How long it was killed.
    pub killing: Duration,
    /// The user ended the killing early.
    pub interrupted: bool,
}

fn locked(observer: &Mutex<Observer>) -> MutexGuard<'_, Observer> {
    observer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows the log through every scheduler's life.
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
        // The body of a long event is elsewhere; those that are waited for are short.
        if let Ok(recorded) = envelope.recorded() {
            observer.happened(&recorded, now);
        }
    }
}

/// Ctrl-C, or what a service manager sends: the first ends the killing, the second everything.
struct Interrupts {
    keyboard: Signal,
    manager: Signal,
}

impl Interrupts {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|error| Error::internal("cannot listen to signals", error, ""))
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

/// Everything that is alive during a drill. Dropped, it leaves none of it behind.
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
        // Workers end with the last of their agents' processes; twice finds who was born meanwhile.
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
        let failed = |error: std::io::Error| Error::internal("cannot start a scheduler", error, "");
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
            .args(["run", "--workers", CREW, "--quiet", "--seed"])
            .arg(self.plan.seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            // A group of its own: the terminal's Ctrl-C is for the drill.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.scheduler = Some(child);
        Ok(())
    }

    /// Waits for the scheduler's end.
    async fn end(&mut self) -> std::io::Result<ExitStatus> {
        match self.scheduler.as_mut() {
            Some(child) => child.wait().await,
            None => std::future::pending().await,
        }
    }

    /// A scheduler has ended: killed, done, or by a fault.
    fn ended(&mut self, status: &std::io::Result<ExitStatus>) -> Result<(), Error> {
        use std::os::unix::process::ExitStatusExt;
        self.scheduler = None;
        match status {
            Ok(status) if status.signal() == Some(9) || status.success() => return Ok(()),
            Ok(status) => self
                .faults
                .push(format!("a scheduler ended by itself: {status}")),
            Err(error) => self.faults.push(format!("cannot wait for it: {error}")),
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
            "the drill's scheduler ends again and again",
            last.join("\n"),
            format!("see {}", said.display()),
        ))
    }

    /// Kills somebody. How long the successor of a scheduler has before it is killed, too.
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

    /// Kills until the time is over. Whether the user ended it.
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

    /// Lets the run complete in peace.
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
                    self.faults.push(format!("the run did not end within {} s of peace", FINISH_MAX.as_secs()));
                    return Ok(());
                }
                () = interrupts.recv() => return Err(interrupted()),
                _ = show.tick() => self.show(began.elapsed(), "letting it complete"),
            }
        }
    }

    /// All of it; how long was killed, and whether the user ended that early.
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

    /// Kills whatever is left, and waits until it is gone.
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

    /// Whoever is left when the run is over.
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
    let why = "its processes were ended";
    Error::new(ExitCode::Interrupted, "the drill was interrupted", why, "")
}

/// Imports more whenever features run low, as long as a scheduler is there to be asked.
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

/// Carries the killing out, and waits for what must follow it.
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
