//! A worktree with a job beside it, and the sessions that are run there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crewlog::agent::process::{Isolation, alive};
use crewlog::agent::{
    AcpDriver, AcpSettings, AgentEvent, CommandDriver, Driver, JobPaths, Permission, Session,
    SessionLimits, SessionResult, Transcript,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const OWN: &str = env!("CARGO_BIN_EXE_scheduler");

/// A worktree with a job beside it.
pub struct Place {
    pub directory: tempfile::TempDir,
    pub limits: SessionLimits,
    pub permission: Permission,
    pub isolation: Isolation,
    pub cancel: CancellationToken,
    pub token: String,
}

/// What a session came to.
pub struct Played {
    pub result: SessionResult,
    pub events: Vec<AgentEvent>,
}

impl Played {
    pub fn has(&self, wanted: impl Fn(&AgentEvent) -> bool) -> bool {
        self.events.iter().any(wanted)
    }

    pub fn said(&self, words: &str) -> bool {
        self.has(|event| matches!(event, AgentEvent::Text { text, .. } if text.contains(words)))
    }
}

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::tempdir().expect("directory");
        let root = directory.path();
        for name in ["wt", "scripts", "tmp"] {
            std::fs::create_dir(root.join(name)).expect("made");
        }
        std::fs::write(root.join("prompt.md"), "the prompt").expect("written");
        let place = Self {
            limits: SessionLimits {
                idle_ms: 15_000,
                time_ms: 15_000,
                steps_max: 50,
                grace_ms: 5_000,
            },
            permission: Permission::Allow,
            isolation: Isolation::Auto,
            cancel: CancellationToken::new(),
            token: format!("s-{}-a{number}", std::process::id()),
            directory,
        };
        place.job(r#"{"kind": "coding", "attempt_number": 1, "features": [{"id": 5}]}"#);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn job(&self, json: &str) {
        std::fs::write(self.path("job.json"), json).expect("written");
    }

    pub fn script(&self, text: &str) {
        std::fs::write(self.path("scripts/5.toml"), text).expect("written");
    }

    pub fn steps(&self, steps: &str) {
        self.script(&format!("[[attempt]]\nsteps = [{steps}]\n"));
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The rows of the session's record.
    pub fn transcript(&self) -> String {
        let opened = crewlog::agent::transcript::open(&self.path("transcript")).expect("readable");
        let (mut reader, _) = opened.expect("it is there");
        let mut text = String::new();
        while let Some(row) = reader.row(u64::MAX).expect("a row") {
            text.push_str(&format!("{}\n", String::from_utf8_lossy(&row)));
        }
        text
    }

    pub fn session(&self) -> Session {
        let mut env = BTreeMap::new();
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                env.insert(name.into(), value);
            }
        }
        let paths = JobPaths {
            prompt_file: self.path("prompt.md"),
            job_file: self.path("job.json"),
            verdict_file: self.path("verdict.json"),
        };
        env.insert("CREWLOG_JOB".into(), paths.job_file.clone().into());
        env.insert("CREWLOG_VERDICT".into(), paths.verdict_file.clone().into());
        let transcript = self.path("transcript");
        Session {
            prompt: "the prompt".to_owned(),
            worktree: self.path("wt"),
            env,
            paths,
            feature: 5,
            attempt: 123,
            token: self.token.clone(),
            own_executable: PathBuf::from(OWN),
            isolation: self.isolation,
            cage: None,
            resume: None,
            limits: self.limits,
            transcript: Transcript::create(&transcript, Transcript::BYTES_MAX).expect("file"),
            cancel: self.cancel.clone(),
        }
    }

    pub async fn run(&self, driver: &dyn Driver) -> Played {
        self.run_watched(driver, |_| {}).await
    }

    /// Runs a session and shows each event as it comes.
    pub async fn run_watched(
        &self,
        driver: &dyn Driver,
        mut watch: impl FnMut(&AgentEvent),
    ) -> Played {
        // Small, so that a driver that forgets about a full queue is found out.
        let (sender, mut receiver) = mpsc::channel(2);
        let mut events = Vec::new();
        let listen = async {
            while let Some(event) = receiver.recv().await {
                watch(&event);
                events.push(event);
            }
        };
        let (result, ()) = tokio::join!(driver.run(self.session(), sender), listen);
        assert_eq!(result.left, 0);
        assert_eq!(alive(&self.token), Vec::<u32>::new(), "{result:?}");
        Played { result, events }
    }

    pub async fn scripted(&self) -> Played {
        self.run(&self.scripted_driver()).await
    }

    pub fn scripted_driver(&self) -> AcpDriver {
        let scripts = self.path("scripts").display().to_string();
        let args = vec!["scripted-agent".into(), "--script".into(), scripts];
        let settings = AcpSettings {
            permission: self.permission,
            ..AcpSettings::default()
        };
        AcpDriver::new(OWN, args, settings).expect("driver")
    }

    pub async fn acp_shell(&self, script: &str) -> Played {
        let args = vec!["-c".into(), script.into()];
        let driver = AcpDriver::new("sh", args, AcpSettings::default()).expect("driver");
        self.run(&driver).await
    }

    pub async fn shell(&self, script: &str) -> Played {
        let args = vec!["-c".into(), script.into()];
        let driver = CommandDriver::new("sh", args, "m-1").expect("driver");
        self.run(&driver).await
    }
}
