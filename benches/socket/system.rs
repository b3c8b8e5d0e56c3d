//! A scheduler on a fresh log with nothing around it: no git, no workers' processes to watch, and the
//! rate of this disk's bare fdatasync beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crewlog::model::event::ProcessIdentity;
use crewlog::model::ids::{AttemptId, CommitId};
use crewlog::model::report::AttemptReport;
use crewlog::model::settings::Settings;
use crewlog::model::state::State;
use crewlog::protocol::StopMode;
use crewlog::queue::{OpenOptions, SledLog};
use crewlog::scheduler::ports::{Answer, Integration, Merged, Processes, Spool};
use crewlog::scheduler::{self, Handle, Options, Silent};
use crewlog::workspace;
use tokio::sync::oneshot;

fn head() -> CommitId {
    "a".repeat(40).parse().unwrap_or_default()
}

struct Still;

impl Integration for Still {
    fn head(&self) -> Answer<'_, Result<CommitId, workspace::Error>> {
        Box::pin(async { Ok(head()) })
    }

    fn head_at_rest(&self) -> Answer<'_, Result<CommitId, workspace::Error>> {
        Box::pin(async { Ok(head()) })
    }

    fn merge<'a>(
        &'a self,
        _: &'a CommitId,
        _: &'a CommitId,
    ) -> Answer<'a, Result<Merged, workspace::Error>> {
        unreachable!("nothing changes")
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

impl Processes for Still {
    fn gone(&self, _: ProcessIdentity) -> Answer<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn kill(&self, _: &ProcessIdentity) {}

    fn reap(&self, _: AttemptId) -> Answer<'static, ()> {
        Box::pin(std::future::pending())
    }
}

impl Spool for Still {
    fn read(&self, _: AttemptId) -> Option<AttemptReport> {
        None
    }
}

/// The least that a sync is to last, when a slow disk is played.
pub fn slowed() -> Option<Duration> {
    let least = std::env::var("CREWLOG_BENCH_SYNC_US").ok()?.parse().ok()?;
    Some(Duration::from_micros(least))
}

/// Runs a scheduler on a fresh log in `dir`, in a thread of its own.
pub fn scheduler(dir: &Path) -> (Handle, std::thread::JoinHandle<()>, PathBuf) {
    let mut open = OpenOptions::default();
    if let Some(least) = slowed() {
        open.sync = Arc::new(move |file| {
            let begin = Instant::now();
            file.sync_data()?;
            // A wait ends late by some tens of microseconds.
            let sleep = least.saturating_sub(begin.elapsed() + Duration::from_micros(80));
            std::thread::park_timeout(sleep);
            while begin.elapsed() < least {
                std::hint::spin_loop();
            }
            Ok(())
        });
    }
    let log = SledLog::open(&dir.join("log"), &open).expect("a log");
    let socket = dir.join("socket");
    let options = Options {
        profiles: Default::default(),
        log: Arc::new(log),
        snapshots: dir.join("snapshots"),
        state: State::default(),
        config: None,
        tree_prefix: "feedc0de-".to_owned(),
        socket: socket.clone(),
        branch: "main".to_owned(),
        integration: Arc::new(Still),
        processes: Arc::new(Still),
        spool: Arc::new(Still),
        settings: Settings {
            max_concurrency: 1_000,
            testing: 0,
            ..Settings::default()
        },
        seed: Some(1),
        own_workers: BTreeMap::new(),
        worker_command: Vec::new(),
        worker_output: dir.join("workers.log"),
        stay: true,
        observer: Box::new(Silent),
    };
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("scheduler".to_owned());
    let thread = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let ended = runtime.block_on(scheduler::run(options, sender));
        ended.expect("it ends well");
    });
    let handle = receiver.blocking_recv().expect("it listens");
    (handle, thread.expect("a thread"), socket)
}

/// Syncs per second of this disk, and the median of one.
pub fn disk(dir: &Path) -> (f64, Duration) {
    let file = File::create(dir.join("plain")).expect("a file");
    file.write_all_at(&vec![0; 64 << 20], 0).expect("space");
    file.sync_all().expect("synced");
    let block = [7; 4096];
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        let begin = Instant::now();
        let at = times.len() as u64 * 4096 % (64 << 20);
        file.write_all_at(&block, at).expect("written");
        file.sync_data().expect("synced");
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    (rate, times[times.len() / 2])
}

/// Ends a scheduler, and waits until it holds nothing any more.
pub fn end(handle: &Handle, thread: std::thread::JoinHandle<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    for _ in 0..3 {
        runtime.block_on(handle.stop(StopMode::Now));
    }
    thread.join().expect("the scheduler");
}
