//! Many workers, many jobs, one scheduler: its memory and its open files stay flat.
//!
//! The scheduler is the real executable with the real log; each worker is a process of its own
//! that speaks the protocol over the real socket, and plays sessions of milliseconds that fail
//! again and again and pass at the last permitted try. Now and then a worker loses its connection
//! in the middle of a session, and comes back with its result.
//!
//! `CREWLOG_SOAK_WORKERS=1000 CREWLOG_SOAK_JOBS=200000` is the long one; `just soak` runs it.

mod real;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crewlog::model::event::Event;
use crewlog::model::evidence::{Basis, Evidence, Failure, FailureKind, Usage};
use crewlog::model::ids::{AttemptId, CommandId, Sequence, WorkerId};
use crewlog::model::report::{AttemptReport, Mergeable, Report};
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::{
    ClientMessage, HEARTBEAT_MS, Holding, JobOffer, PREAMBLE_BYTES, Preamble, Role,
    SchedulerMessage, ToClient, WorkerMessage, decode, encode, identity,
};
use crewlog::queue::encoding;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use real::{Project, wait, wait_until};

/// Tries of each feature; the last one passes. As many as the settings permit.
const TRIES: u32 = 50;
/// How often the scheduler is looked at.
const LOOKS: u64 = 10;
/// Of so many jobs, a worker loses its connection in one.
const CUT_OF: u32 = 200;
/// Names the socket to the processes that play workers.
const SOCKET: &str = "CREWLOG_SOAK_SOCKET";

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A connection that is read and written in turn.
struct Wire {
    stream: UnixStream,
    role: Role,
}

impl Wire {
    /// `None` when nobody listens any more.
    fn connect(path: &Path, role: Role) -> Option<Self> {
        let mut stream = UnixStream::connect(path).ok()?;
        stream.write_all(&Preamble { role }.encode()).ok()?;
        let mut bytes = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut bytes).ok()?;
        Some(Self { stream, role })
    }

    fn say<T: serde::Serialize>(&mut self, message: &T) -> Option<()> {
        let body = encode(self.role, message).expect("a frame");
        let length = u32::try_from(body.len()).expect("a length");
        self.stream.write_all(&length.to_le_bytes()).ok()?;
        self.stream.write_all(&body).ok()
    }

    /// The next message. `Err(true)` when none came in time.
    fn hear<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, bool> {
        let mut head = [0; 4];
        let late = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        // A frame is written at once; only its beginning is waited for.
        match self.stream.read(&mut head) {
            Ok(4) => {}
            Ok(count) => {
                let rest = head.get_mut(count..).filter(|_| count > 0).ok_or(false)?;
                self.stream.read_exact(rest).map_err(|_| false)?;
            }
            Err(error) => return Err(late(&error)),
        }
        let mut body = vec![0; u32::from_le_bytes(head) as usize];
        let mut from = 0;
        while from < body.len() {
            match self.stream.read(&mut body[from..]) {
                Ok(0) => return Err(false),
                Ok(count) => from += count,
                Err(error) if late(&error) => {}
                Err(_) => return Err(false),
            }
        }
        Ok(decode(self.role, &body).expect("sense"))
    }
}

/// Plays one worker until it is told that nothing more will come.
struct Player {
    socket: PathBuf,
    worker: Option<WorkerId>,
    result: Option<(AttemptId, Sequence, WorkerMessage)>,
    random: StdRng,
    /// What the project's config tells a worker; a scheduler refuses those that know another.
    config: String,
}

impl Player {
    fn play(&mut self) {
        while self.connection() {}
    }

    /// One connection's life; false when there is nothing more to do.
    fn connection(&mut self) -> bool {
        let Some(mut wire) = Wire::connect(&self.socket, Role::Worker) else {
            return false;
        };
        let timeout = Duration::from_millis(HEARTBEAT_MS);
        wire.stream
            .set_read_timeout(Some(timeout))
            .expect("a timeout");
        let holding = |(attempt, acknowledged, _): &(AttemptId, Sequence, WorkerMessage)| Holding {
            attempt: *attempt,
            acknowledged: *acknowledged,
        };
        let hello = WorkerMessage::Hello {
            kind: WorkerKind::Coding,
            process: identity::own_identity().expect("/proc"),
            worker: self.worker,
            holding: self.result.as_ref().map(holding),
            config: self.config.clone(),
        };
        let mut said = wire.say(&hello);
        while said.is_some() {
            match wire.hear() {
                Ok(SchedulerMessage::Job(job)) => {
                    let pause = self.random.random_range(1..8);
                    std::thread::park_timeout(Duration::from_millis(pause));
                    self.result = Some((job.attempt, job.acknowledged, report(&job)));
                    if self.random.random_range(0..CUT_OF) == 0 {
                        return true;
                    }
                    said = self.report(&mut wire);
                }
                Ok(SchedulerMessage::Welcome {
                    worker,
                    holding_accepted,
                    ..
                }) => {
                    self.worker = Some(worker);
                    if !holding_accepted {
                        self.result = None;
                    }
                    said = self.report(&mut wire);
                }
                Ok(SchedulerMessage::Reported { .. }) => {
                    self.result = None;
                    said = wire.say(&WorkerMessage::Ready);
                }
                Err(true) => said = wire.say(&WorkerMessage::Heartbeat),
                Ok(_) | Err(false) => return false,
            }
        }
        false
    }

    /// Says what there is to say after a `Welcome` or a session.
    fn report(&self, wire: &mut Wire) -> Option<()> {
        match &self.result {
            Some((_, _, report)) => wire.say(report),
            None => wire.say(&WorkerMessage::Ready),
        }
    }
}

fn report(job: &JobOffer) -> WorkerMessage {
    let features = job.features.iter().map(|feature| feature.id);
    let report = if job.attempt_number < TRIES {
        let failure = Failure::new(FailureKind::AgentGaveUp, "not yet");
        Report::Failed {
            failures: features.map(|id| (id, failure.clone())).collect(),
            limited_until: None,
        }
    } else {
        let evidence = Evidence {
            basis: Basis::AgentWord,
            commit: job.base.clone(),
            tree: job.base.clone(),
            checks: Vec::new(),
        };
        Report::Mergeable(Mergeable {
            onto: job.base.clone(),
            commit: job.base.clone(),
            touched: Vec::new(),
            touched_total: 0,
            evidence: features.map(|id| (id, evidence.clone())).collect(),
            notes: Vec::new(),
        })
    };
    WorkerMessage::Report(AttemptReport {
        command: CommandId(1 << 100 | u128::from(job.attempt.0)),
        attempt: job.attempt,
        report,
        usage: Usage::default(),
        workless: false,
    })
}

/// Not a test by itself: what the processes of the soak run.
#[test]
fn plays_a_worker() {
    if let Some(socket) = std::env::var_os(SOCKET) {
        let project = crewlog::cli::project::Project::find(None).expect("a project");
        let config = crewlog::cli::config::Config::load(&project).expect("its config");
        let mut player = Player {
            config: config.worker_evidence(&project),
            socket: socket.into(),
            worker: None,
            result: None,
            random: StdRng::seed_from_u64(u64::from(std::process::id())),
        };
        player.play();
    }
}

fn start_worker(project: &Project) -> Child {
    let own = std::env::current_exe().expect("this program");
    let mut command = Command::new(own);
    real::clean(&mut command, &project.home());
    command
        .args(["--exact", "plays_a_worker", "--test-threads", "1"])
        .env(SOCKET, project.root.join(".git/crewlog/main/socket"))
        .current_dir(&project.root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("a worker")
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "all of it is printed")]
struct Look {
    jobs: u64,
    resident_kib: u64,
    files: usize,
    seconds: f64,
}

fn look(pid: u32, jobs: u64, began: Instant) -> Look {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files");
    Look {
        jobs,
        resident_kib: resident.expect("its memory"),
        files: files.count(),
        seconds: began.elapsed().as_secs_f64(),
    }
}

/// Follows the log, and looks at the scheduler a few times on the way. The looks, and how often
/// each feature passed.
fn watch(project: &Project, pid: u32, jobs: u64, began: Instant) -> (Vec<Look>, u64) {
    let socket = project.root.join(".git/crewlog/main/socket");
    let mut wire = Wire::connect(&socket, Role::Client).expect("a scheduler");
    let read = ClientMessage::Read {
        from: Sequence(1),
        follow: true,
    };
    wire.say(&read).expect("said");
    let (mut looks, mut ended, mut passed) = (Vec::new(), 0, 0);
    while let Ok(message) = wire.hear::<ToClient>() {
        let ToClient::Events { envelopes } = message else {
            continue;
        };
        for bytes in envelopes {
            let envelope = encoding::decode(&bytes).expect("an envelope");
            let Ok(recorded) = envelope.recorded() else {
                continue;
            };
            match recorded.event {
                Event::FeatureFailed(_) => ended += 1,
                Event::FeaturePassed(_) => {
                    ended += 1;
                    passed += 1;
                }
                Event::AttemptLost(lost) => panic!("{lost:?}"),
                _ => continue,
            }
            if ended % (jobs / LOOKS).max(1) == 0 && ended < jobs {
                looks.push(look(pid, ended, began));
            }
        }
    }
    assert_eq!(ended, jobs, "every job was done once");
    (looks, passed)
}

fn config(workers: u64) -> String {
    format!(
        "[run]\nbranch = \"soak\"\nmax_concurrency = {workers}\ntesting = 0\nmax_attempts = {}\n\
         retry_backoff = \"1ms\"\nretry_backoff_max = \"2ms\"\n\
         [agent]\ndriver = \"command\"\nprogram = \"true\"\n",
        TRIES + 1
    )
}

#[test]
fn memory_and_open_files_stay_flat() {
    if std::env::var_os(SOCKET).is_some() {
        return;
    }
    let workers = number("CREWLOG_SOAK_WORKERS", 24);
    let features = number("CREWLOG_SOAK_JOBS", 6_000) / u64::from(TRIES);
    let jobs = features * u64::from(TRIES);
    let project = Project::new(&config(workers));
    let backlog: String = (1..=features)
        .map(|id| format!("[[feature]]\nname = \"feature {id}\"\n"))
        .collect();
    project.write(".crewlog/features.toml", &backlog);
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    let mut scheduler = project.start(&["run", "--progress", "none"]);
    let socket = project.root.join(".git/crewlog/main/socket");
    wait_until("it listens", || UnixStream::connect(&socket).ok());
    let before = look(scheduler.id(), 0, Instant::now());
    let began = Instant::now();
    let mut crew: Vec<Child> = (0..workers).map(|_| start_worker(&project)).collect();
    let (looks, passed) = watch(&project, scheduler.id(), jobs, began);
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(wait(&mut scheduler), Some(0));
    crew.iter_mut().for_each(|worker| {
        wait(worker);
    });
    assert!(project.processes().is_empty());
    println!(
        "{workers} workers, {jobs} jobs: {:.0} jobs/s",
        jobs as f64 / seconds
    );
    println!("before: {before:?}");
    looks.iter().for_each(|look| println!("{look:?}"));
    assert_eq!(passed, features, "each feature passed once");
    must_be_flat(&looks, workers);
    let verified = project.scheduler(&["verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

/// From the second look on, when every worker has joined and every cache has seen use.
fn must_be_flat(looks: &[Look], workers: u64) {
    let (Some(first), Some(last)) = (looks.get(1), looks.last()) else {
        panic!("{} looks are too few", looks.len());
    };
    let most = looks.iter().map(|look| look.files).max().unwrap_or(0);
    // A worker has a socket and a pidfd; the log, the runtime and the follower have some more.
    let room = usize::try_from(workers).expect("a count") * 2 + 64;
    assert!(most <= room, "{most} open files for {workers} workers");
    let grown = last.resident_kib.saturating_sub(first.resident_kib);
    let allowed = first.resident_kib / 4 + 8 * 1024;
    assert!(grown <= allowed, "memory grew by {grown} KiB: {looks:?}");
}
