//! A project in a temporary directory, a scheduler whose messages the test chooses, and workers.

#![allow(dead_code, reason = "not every test file uses all of it")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crewlog::model::evidence::Usage;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::{
    AttemptId, CommandId, CommitId, ContentHash, Epoch, FeatureId, JobId, Sequence, WorkerId,
};
use crewlog::model::profile::ProfileName;
use crewlog::model::report::{AttemptReport, JobFeature, Report};
use crewlog::model::settings::{Settings, WorkerKind};
use crewlog::protocol::{
    self, Codec, Holding, JobOffer, PREAMBLE_BYTES, Preamble, Role, SchedulerMessage, Verdict,
    WorkerMessage,
};
use crewlog::worker::config::{AgentConfig, CageConfig, Config, Driver, Places};
use crewlog::worker::{Exit, Launch, OutputStore, launch};
use futures::{SinkExt, StreamExt};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::bytes::Bytes;
use tokio_util::codec::Framed;

pub use support::{PATIENCE, until};

pub const BRANCH: &str = "crewlog/main";

/// Contents in memory.
#[derive(Default)]
pub struct Outputs(Mutex<BTreeMap<ContentHash, Vec<u8>>>);

impl Outputs {
    pub fn text(&self, hash: &ContentHash) -> String {
        let all = self.0.lock().expect("a lock");
        String::from_utf8_lossy(all.get(hash).expect("a stored output")).into_owned()
    }
}

impl OutputStore for Outputs {
    fn put(&self, bytes: &[u8]) -> std::io::Result<ContentHash> {
        let hash = ContentHash(Sha256::digest(bytes).into());
        let mut all = self.0.lock().expect("a lock");
        all.insert(hash, bytes.to_vec());
        Ok(hash)
    }

    fn path(&self, hash: &ContentHash) -> Option<std::path::PathBuf> {
        Some(format!("/outputs/{hash}").into())
    }
}

/// The config of the project below `root`.
pub fn config_at(root: &Path) -> Config {
    Config {
        places: Places {
            project: root.join("project"),
            data: root.join("data"),
            worktrees: root.join("worktrees"),
            socket: root.join("s.sock"),
        },
        agents: [(
            ProfileName::unnamed(),
            AgentConfig {
                driver: Driver::Command,
                program: "sh".to_owned(),
                args: vec![root.join("agent.sh").display().to_string()],
                ..AgentConfig::default()
            },
        )]
        .into(),
        // Agents and tests signal their progress to each other by files in the project's parent.
        cage: CageConfig {
            write: vec![root.display().to_string()],
            ..CageConfig::default()
        },
        ..Config::default()
    }
}

/// The options to start a worker with this config.
pub fn launch_of(
    config: Config,
    kind: WorkerKind,
    outputs: Arc<Outputs>,
    said: Arc<Mutex<Vec<String>>>,
) -> Launch {
    Launch {
        config,
        kind,
        connect: None,
        outputs,
        reporter: Arc::new(move |line: &str| {
            said.lock().expect("a lock").push(line.to_owned());
        }),
        own_executable: env!("CARGO_BIN_EXE_worker").into(),
    }
}

/// A git repository with one commit, its integration branch, and places for everything else.
pub struct Project {
    pub dir: tempfile::TempDir,
    pub config: Config,
    pub outputs: Arc<Outputs>,
}

impl Project {
    /// A project whose agent is this shell script.
    pub fn new(agent: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("a path");
        fs::create_dir(root.join("project")).expect("a directory");
        fs::write(root.join("agent.sh"), agent).expect("a script");
        let config = config_at(&root);
        let project = Self {
            dir,
            config,
            outputs: Arc::default(),
        };
        project.git(&["init", "-q", "-b", "trunk"]);
        project.git(&["config", "user.name", "Test"]);
        project.git(&["config", "user.email", "test@localhost"]);
        fs::write(project.path("base.txt"), "one\ntwo\nthree\n").expect("a file");
        project.git(&["add", "-A"]);
        project.git(&["commit", "-q", "-m", "start"]);
        project.git(&["branch", BRANCH]);
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.config.places.project.join(name)
    }

    pub fn root(&self) -> &Path {
        self.config.places.project.parent().expect("a parent")
    }

    pub fn git(&self, args: &[&str]) -> String {
        let said = support::git(&self.config.places.project, self.root(), args);
        said.trim().to_owned()
    }

    pub fn commit_id(&self, name: &str) -> CommitId {
        self.git(&["rev-parse", name]).parse().expect("a commit")
    }

    /// Puts a commit with this file on the integration branch, as another worker's merge would.
    pub fn merge_file(&self, name: &str, text: &str) -> CommitId {
        self.git(&["checkout", "-q", "--detach", BRANCH]);
        fs::write(self.path(name), text).expect("a file");
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "somebody else"]);
        self.git(&["update-ref", "refs/heads/crewlog/main", "HEAD"]);
        self.commit_id("HEAD")
    }

    pub fn offer(&self, kind: WorkerKind, features: Vec<JobFeature>) -> JobOffer {
        JobOffer {
            profile: Some(ProfileName::unnamed()),
            job: JobId(6),
            attempt: AttemptId(7),
            kind,
            attempt_number: 1,
            base: self.commit_id(BRANCH),
            branch: BRANCH.to_owned(),
            features,
            settings: Settings::default(),
            acknowledged: Sequence(7),
        }
    }

    /// Starts a worker in this process.
    pub fn worker(&self, kind: WorkerKind) -> Worker {
        let said = Arc::new(Mutex::new(Vec::new()));
        let (config, outputs) = (self.config.clone(), self.outputs.clone());
        let launched = launch(launch_of(config, kind, outputs, Arc::clone(&said)));
        let task = tokio::spawn(async move { launched.await.expect("a worker that begins") });
        Worker { task, said }
    }

    /// Nothing of any attempt is left.
    pub fn assert_clean(&self) {
        for place in ["worktrees", "data/spool"] {
            let dir = self.root().join(place);
            let left: Vec<_> = fs::read_dir(&dir)
                .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
                .unwrap_or_default();
            assert!(left.is_empty(), "left in {place}: {left:?}");
        }
    }
}

pub fn feature(id: u32, checks: &[&str]) -> JobFeature {
    JobFeature {
        id: FeatureId(id),
        spec: FeatureSpec {
            name: format!("feature {id}"),
            checks: checks.iter().map(ToString::to_string).collect(),
            ..FeatureSpec::default()
        },
        regressed: false,
        regression: None,
        previous_failures: Vec::new(),
        answers: Vec::new(),
    }
}

/// A running worker.
pub struct Worker {
    task: JoinHandle<Exit>,
    pub said: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    pub async fn exit(self) -> Exit {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("an end in time").expect("no panic")
    }

    pub fn has_said(&self, words: &str) -> bool {
        let said = self.said.lock().expect("a lock");
        said.iter().any(|line| line.contains(words))
    }
}

/// The scheduler's socket.
pub struct Scheduler {
    listener: UnixListener,
}

/// The scheduler's end of a connection.
pub struct Peer {
    frames: Framed<UnixStream, Codec>,
}

impl Scheduler {
    pub fn bind(project: &Project) -> Self {
        let socket = &project.config.places.socket;
        let _ = fs::remove_file(socket);
        let listener = UnixListener::bind(socket).expect("a socket");
        Self { listener }
    }

    /// The next worker that connects, preambles exchanged.
    pub async fn accept(&self) -> Peer {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (mut stream, _) = accepted.expect("a worker in time").expect("a connection");
        let mut theirs = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut theirs).await.expect("a preamble");
        let theirs = Preamble::decode(theirs).expect("a worker");
        assert_eq!(theirs.role, Role::Worker);
        let ours = Preamble {
            role: Role::Scheduler,
        };
        stream.write_all(&ours.encode()).await.expect("sent");
        Peer {
            frames: Framed::new(stream, Role::Worker.codec()),
        }
    }

    /// A stream whose preamble is up to the test.
    pub async fn accept_raw(&self) -> UnixStream {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        accepted.expect("a worker in time").expect("a connection").0
    }

    /// Welcomes the next worker; returns what it holds.
    pub async fn welcome(&self, holding_accepted: bool) -> (Peer, Option<Holding>) {
        let mut peer = self.accept().await;
        let WorkerMessage::Hello { holding, .. } = peer.hear().await else {
            panic!("a worker begins with hello");
        };
        peer.say(SchedulerMessage::Welcome {
            worker: WorkerId(3),
            name: "worker-1".to_owned(),
            epoch: Epoch(1),
            holding_accepted,
        })
        .await;
        (peer, holding)
    }

    /// The next worker, which must be ready for a job.
    pub async fn ready(&self) -> Peer {
        let (mut peer, holding) = self.welcome(true).await;
        assert_eq!(holding, None);
        assert_eq!(peer.hear().await, WorkerMessage::Ready);
        peer
    }
}

impl Peer {
    /// The next message that is not progress.
    pub async fn hear(&mut self) -> WorkerMessage {
        loop {
            let message = self.hear_any().await;
            if !matches!(message, WorkerMessage::Progress { .. }) {
                return message;
            }
        }
    }

    /// The next message.
    pub async fn hear_any(&mut self) -> WorkerMessage {
        let next = tokio::time::timeout(PATIENCE, self.frames.next()).await;
        let frame = next.expect("a message in time").expect("a connection");
        protocol::decode(Role::Worker, &frame.expect("a frame")).expect("a message")
    }

    /// Waits for progress with these words.
    pub async fn progress(&mut self, words: &str) {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.frames.next()).await;
            let frame = next.expect("progress in time").expect("a connection");
            let message = protocol::decode(Role::Worker, &frame.expect("a frame"));
            if let WorkerMessage::Progress { activity, .. } = message.expect("a message")
                && activity.contains(words)
            {
                return;
            }
        }
    }

    pub async fn report(&mut self) -> (CommandId, Report, Usage) {
        match self.hear().await {
            WorkerMessage::Report(AttemptReport {
                command,
                attempt: AttemptId(7),
                report,
                usage,
                workless: _,
            }) => (command, report, usage),
            other => panic!("not a report: {other:?}"),
        }
    }

    pub async fn say(&mut self, message: SchedulerMessage) {
        let body = protocol::encode(Role::Worker, &message).expect("a body");
        self.frames.send(Bytes::from(body)).await.expect("sent");
    }

    pub async fn job(&mut self, offer: JobOffer) {
        self.say(SchedulerMessage::Job(Box::new(offer))).await;
    }

    pub async fn reported(&mut self, command: CommandId, verdict: Verdict) {
        self.say(SchedulerMessage::Reported {
            command,
            attempt: AttemptId(7),
            verdict,
            acknowledged: Sequence(9),
        })
        .await;
    }

    pub async fn stop(&mut self) {
        let reason = "the test is over".to_owned();
        self.say(SchedulerMessage::Stop {
            reason: reason.into(),
        })
        .await;
    }
}

/// True while a process with this text in its command line lives.
pub fn lives(text: &str) -> bool {
    !support::with_word(text).is_empty()
}

/// The config of the only agent.
pub fn only_agent(config: &mut Config) -> &mut AgentConfig {
    config
        .agents
        .get_mut(&ProfileName::unnamed())
        .expect("an agent")
}

/// The report on a coding job about one feature with these checks.
pub async fn report_of(project: &Project, checks: &[&str]) -> Report {
    let scheduler = Scheduler::bind(project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, checks)]))
        .await;
    let (command, report, _) = peer.report().await;
    peer.reported(command, Verdict::Recorded).await;
    peer.hear().await;
    peer.stop().await;
    worker.exit().await;
    report
}
