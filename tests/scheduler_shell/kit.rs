//! A scheduler on a real socket, with a git, processes and a spool that do what a test says.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::bytes::Bytes;
use tokio_util::codec::Framed;

use crewlog::model::command::PersonCommand;
use crewlog::model::event::ProcessIdentity;
use crewlog::model::evidence::{Basis, Evidence, Usage};
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::{AttemptId, CommandId, CommitId, FeatureId};
use crewlog::model::report::{AttemptReport, Mergeable, Report};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::protocol::{
    ClientMessage, Codec, JobOffer, PREAMBLE_BYTES, Preamble, Role, SchedulerMessage, ToClient,
    WorkerMessage, connect, decode, encode,
};
use crewlog::queue::{EventLog, MemoryLog, OpenOptions, SledLog};
use crewlog::scheduler::ports::{Answer, Integration, Merged, Processes, Spool};
use crewlog::scheduler::{self, Ending, Handle, Options, Silent, load};
use crewlog::workspace;

pub fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().expect("hex")
}

pub fn features(numbers: std::ops::RangeInclusive<u32>) -> PersonCommand {
    let one = |number| {
        let spec = FeatureSpec {
            name: format!("feature {number}"),
            ..FeatureSpec::default()
        };
        (FeatureId(number), spec)
    };
    PersonCommand::Import {
        features: numbers.map(one).collect(),
        update: false,
    }
}

/// A branch of commits that nobody looks into.
pub struct Branch {
    pub head: Mutex<CommitId>,
    pub moves: Mutex<Vec<CommitId>>,
}

impl Integration for Branch {
    fn head(&self) -> Answer<'_, Result<CommitId, workspace::Error>> {
        let head = self.head.lock().expect("head").clone();
        Box::pin(async move { Ok(head) })
    }

    fn head_at_rest(&self) -> Answer<'_, Result<CommitId, workspace::Error>> {
        self.head()
    }

    fn merge<'a>(
        &'a self,
        onto: &'a CommitId,
        commit: &'a CommitId,
    ) -> Answer<'a, Result<Merged, workspace::Error>> {
        Box::pin(async move {
            let mut head = self.head.lock().expect("head");
            if *head == *onto {
                *head = commit.clone();
                self.moves.lock().expect("moves").push(commit.clone());
            }
            let merged = *head == *commit;
            let head = head.clone();
            Ok(Merged { merged, head })
        })
    }

    fn explain<'a>(
        &'a self,
        _: &'a CommitId,
        _: &'a CommitId,
        _: &'a [CommitId],
    ) -> Answer<'a, Result<crewlog::model::branch::BranchMove, workspace::Error>> {
        Box::pin(async { Ok(Default::default()) })
    }
}

/// Processes, by their start ticks: all are this test's own.
pub struct Living {
    dead: watch::Sender<BTreeSet<u64>>,
}

impl Living {
    pub fn dies(&self, ticks: u64) {
        self.dead.send_modify(|dead| {
            dead.insert(ticks);
        });
    }
}

impl Processes for Living {
    fn gone(&self, process: ProcessIdentity) -> Answer<'static, ()> {
        let mut dead = self.dead.subscribe();
        Box::pin(async move {
            let gone = |dead: &BTreeSet<u64>| dead.contains(&process.start_ticks);
            // When the test is over nobody asks any more.
            let _ = dead.wait_for(gone).await;
        })
    }

    fn kill(&self, process: &ProcessIdentity) {
        self.dies(process.start_ticks);
    }

    fn reap(&self, _: AttemptId) -> Answer<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct NoSpool;

impl Spool for NoSpool {
    fn read(&self, _: AttemptId) -> Option<AttemptReport> {
        None
    }
}

/// A running scheduler.
pub struct Rig {
    pub dir: TempDir,
    pub socket: PathBuf,
    pub log: Arc<dyn EventLog>,
    pub branch: Arc<Branch>,
    pub living: Arc<Living>,
    pub handle: Handle,
    pub task: JoinHandle<Result<Ending, scheduler::Error>>,
}

/// What a test wants of a scheduler.
pub struct Wish {
    pub log: Arc<dyn EventLog>,
    pub dir: TempDir,
    pub socket: Option<PathBuf>,
    pub stay: bool,
    pub crew: BTreeMap<WorkerKind, u32>,
    pub worker_command: Vec<String>,
}

pub fn private() -> TempDir {
    tempfile::Builder::new()
        .prefix("crewlog-shell-")
        .tempdir()
        .expect("a directory")
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            log: Arc::new(MemoryLog::new()),
            dir: private(),
            socket: None,
            stay: true,
            crew: BTreeMap::new(),
            worker_command: Vec::new(),
        }
    }
}

pub fn sled(dir: &Path) -> Arc<dyn EventLog> {
    let opened = SledLog::open(&dir.join("log"), &OpenOptions::default());
    Arc::new(opened.expect("a log"))
}

impl Rig {
    pub async fn memory() -> Self {
        Self::start(Wish::default()).await
    }

    pub async fn start(wish: Wish) -> Self {
        let data = wish.dir.path().join("data");
        let made = std::fs::DirBuilder::new().mode(0o700).create(&data);
        made.or_else(|error| data.is_dir().then_some(()).ok_or(error))
            .expect("a directory");
        let socket = wish.socket.unwrap_or(data.join("socket"));
        let branch = Arc::new(Branch {
            head: Mutex::new(commit(1)),
            moves: Mutex::default(),
        });
        let living = Arc::new(Living {
            dead: watch::Sender::new(BTreeSet::new()),
        });
        let settings = Settings {
            max_concurrency: 100,
            testing: 0,
            ..Settings::default()
        };
        let snapshots = data.join("snapshots");
        let options = Options {
            profiles: Default::default(),
            log: wish.log.clone(),
            state: load::load(&*wish.log, &snapshots).expect("a state"),
            snapshots,
            config: None,
            tree_prefix: "feedc0de-".to_owned(),
            socket: socket.clone(),
            branch: "main".to_owned(),
            integration: branch.clone(),
            processes: living.clone(),
            spool: Arc::new(NoSpool),
            settings,
            seed: Some(7),
            own_workers: wish.crew,
            worker_command: wish.worker_command.into_iter().map(Into::into).collect(),
            worker_output: data.join("workers.log"),
            stay: wish.stay,
            observer: Box::new(Silent),
        };
        let before = wish.log.head().sequence;
        let mut heads = wish.log.heads();
        let (sender, receiver) = oneshot::channel();
        let task = tokio::spawn(async {
            let (ending, _) = scheduler::run(options, sender).await?;
            Ok(ending)
        });
        let handle = receiver.await.expect("it listens");
        if before.0 == 0 {
            // Its first event; the next schedulers of a log may have nothing to say.
            let begun = heads.wait_for(|head| head.sequence > before).await;
            drop(begun.expect("a log"));
        }
        Self {
            dir: wish.dir,
            socket,
            log: wish.log,
            branch,
            living,
            handle,
            task,
        }
    }

    /// Ends it at once and says how it ended.
    pub async fn stop(self) -> (TempDir, Result<Ending, scheduler::Error>) {
        for _ in 0..3 {
            self.handle.stop(crewlog::protocol::StopMode::Now).await;
        }
        (self.dir, self.task.await.expect("no panic"))
    }

    pub async fn client(&self) -> Peer {
        Peer::connect(&self.socket, Role::Client).await
    }

    /// A coding worker that has joined.
    pub async fn worker(&self, ticks: u64) -> Peer {
        let mut peer = Peer::connect(&self.socket, Role::Worker).await;
        peer.say(&hello(ticks)).await;
        let welcome: SchedulerMessage = peer.hear().await.expect("an answer");
        assert!(
            matches!(welcome, SchedulerMessage::Welcome { .. }),
            "{welcome:?}"
        );
        peer
    }

    /// Has a command carried out.
    pub async fn person(&self, command: PersonCommand) -> ToClient {
        self.client().await.command(next_id(), command).await
    }
}

pub fn hello(ticks: u64) -> WorkerMessage {
    WorkerMessage::Hello {
        kind: WorkerKind::Coding,
        process: ProcessIdentity {
            host: "box".to_owned(),
            boot_id: "boot".to_owned(),
            pid: std::process::id(),
            start_ticks: ticks,
        },
        config: String::new(),
        worker: None,
        holding: None,
    }
}

pub fn next_id() -> CommandId {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    CommandId((1 << 100) + u128::from(next))
}

/// The report of a job that was done with this commit.
pub fn done(job: &JobOffer, onto: &CommitId, to: &CommitId) -> WorkerMessage {
    let proof = Evidence {
        basis: Basis::AgentWord,
        commit: to.clone(),
        tree: to.clone(),
        checks: Vec::new(),
    };
    let ids = job.features.iter().map(|feature| feature.id);
    WorkerMessage::Report(AttemptReport {
        command: next_id(),
        attempt: job.attempt,
        report: Report::Mergeable(Mergeable {
            onto: onto.clone(),
            commit: to.clone(),
            touched: Vec::new(),
            touched_total: 0,
            evidence: ids.map(|id| (id, proof.clone())).collect(),
            notes: Vec::new(),
        }),
        usage: Usage::default(),
        workless: false,
    })
}

/// The other end of a connection.
pub struct Peer {
    pub frames: Framed<UnixStream, Codec>,
    role: Role,
}

impl Peer {
    pub async fn connect(path: &Path, role: Role) -> Self {
        let mut stream = raw(path).await;
        stream
            .write_all(&Preamble { role }.encode())
            .await
            .expect("a preamble");
        let frames = Framed::new(stream, role.codec());
        Self { frames, role }
    }

    pub async fn say<T: Serialize>(&mut self, message: &T) {
        let frame = encode(self.role, message).expect("a frame");
        self.frames.send(Bytes::from(frame)).await.expect("sent");
    }

    /// The next message; none when the connection is closed.
    pub async fn hear<T: DeserializeOwned>(&mut self) -> Option<T> {
        let frame = self.frames.next().await?.ok()?;
        Some(decode(self.role, &frame).expect("a message"))
    }

    pub async fn command(&mut self, id: CommandId, command: PersonCommand) -> ToClient {
        self.say(&ClientMessage::Command { id, command }).await;
        self.hear().await.expect("an answer")
    }

    pub async fn job(&mut self) -> JobOffer {
        match self.hear().await.expect("a job") {
            SchedulerMessage::Job(job) => *job,
            other => panic!("no job: {other:?}"),
        }
    }
}

/// A connection that has read the scheduler's preamble and said nothing.
pub async fn raw(path: &Path) -> UnixStream {
    let mut stream = connect(path).await.expect("a connection");
    let mut bytes = [0; PREAMBLE_BYTES];
    stream.read_exact(&mut bytes).await.expect("a preamble");
    let preamble = Preamble::decode(bytes).expect("a scheduler's");
    assert_eq!(preamble.role, Role::Scheduler);
    stream
}
