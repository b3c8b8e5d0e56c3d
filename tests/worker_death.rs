//! Workers as processes of their own: killed, asked to end, and what those who come after find.

mod worker_support;

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;

use crewlog::model::ids::{AttemptId, CommitId};
use crewlog::model::report::{AttemptReport, Report};
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::identity;
use crewlog::protocol::{Verdict, WorkerMessage};
use crewlog::worker::{Exit, launch};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use worker_support::{BRANCH, PATIENCE, Project, Scheduler, config_at, feature, lives, until};

const ROOT: &str = "CREWLOG_TEST_WORKER_ROOT";

/// The worker's process: this test program again, told to run this alone.
#[tokio::test]
#[ignore = "started by the other tests as a process of its own"]
async fn worker_process() {
    let Ok(root) = std::env::var(ROOT) else {
        return;
    };
    let root = Path::new(&root);
    let (config, outputs) = (config_at(root), Arc::default());
    let mut launched =
        worker_support::launch_of(config, WorkerKind::Coding, outputs, Arc::default());
    let said = root.join("said");
    launched.reporter = Arc::new(move |line: &str| {
        let file = fs::File::options().create(true).append(true).open(&said);
        writeln!(file.expect("a file"), "{line}").expect("written");
    });
    let exit = launch(launched).await.expect("a worker that begins");
    std::process::exit(exit.code().into());
}

struct Process {
    child: Child,
    pid: u32,
}

impl Process {
    fn start(project: &Project) -> Self {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["worker_process", "--exact", "--ignored", "--nocapture"])
            .env(ROOT, project.root())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let pid = child.id().expect("a pid");
        Self { child, pid }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.cast_signed()).expect("a pid");
        kill_process(pid, signal).expect("a living process");
    }

    async fn ended(mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("an end in time").expect("a status")
    }

    async fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.ended().await.signal(), Some(9));
    }
}

/// An agent that leaves partial work and a child of its own session behind.
fn hanging(project: &Project) -> String {
    let marker = project.root().join("marker-of-an-agent");
    let marker = marker.display().to_string();
    let agent = format!(
        "echo partly >new.txt; setsid sh -c 'sleep 1000; : {marker}' & echo begun; sleep 1000"
    );
    fs::write(project.root().join("agent.sh"), agent).expect("a script");
    marker
}

#[tokio::test]
async fn a_killed_worker_takes_its_agent_along_and_its_work_is_kept() {
    let project = Project::new("");
    let marker = hanging(&project);
    let scheduler = Scheduler::bind(&project);
    let process = Process::start(&project);
    let identity = identity::process_identity(process.pid).expect("/proc");
    assert!(identity::is_alive(&identity));
    let mut peer = scheduler.ready().await;
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &[])]))
        .await;
    peer.progress("begun").await;
    until("the agent's child runs", || lives(&marker)).await;
    process.kill().await;
    assert!(!identity::is_alive(&identity));
    until("the agent's tree is dead", || !lives(&marker)).await;
    drop(peer);

    let next = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    let kept = project.git(&["show", "refs/crewlog/preserved/7:new.txt"]);
    assert_eq!(kept, "partly");
    project.assert_clean();
    peer.stop().await;
    assert_eq!(next.exit().await, Exit::Stopped);
}

#[tokio::test]
async fn the_next_worker_reports_what_a_dead_one_could_not() {
    for merged in [false, true] {
        let project = Project::new("echo x >new.txt");
        let scheduler = Scheduler::bind(&project);
        let process = Process::start(&project);
        let mut peer = scheduler.ready().await;
        peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &["test -s new.txt"])]))
            .await;
        let (command, report, _) = peer.report().await;
        let Report::Mergeable(work) = &report else {
            panic!("{report:?}");
        };
        process.kill().await;
        drop(peer);
        if merged {
            project.git(&[
                "update-ref",
                &format!("refs/heads/{BRANCH}"),
                work.commit.as_str(),
            ]);
        }
        let next = project.worker(WorkerKind::Coding);
        let (mut peer, holding) = scheduler.welcome(true).await;
        assert_eq!(holding, None, "it is another process");
        let again = peer.report().await;
        assert_eq!((command, &report), (again.0, &again.1));
        peer.reported(command, Verdict::Late).await;
        assert_eq!(peer.hear().await, WorkerMessage::Ready);
        project.assert_clean();
        let kept = project.git(&["for-each-ref", "--format=%(refname)", "refs/crewlog"]);
        let expected = if merged {
            ""
        } else {
            "refs/crewlog/preserved/7"
        };
        assert_eq!(kept, expected);
        peer.stop().await;
        next.exit().await;
    }
}

#[tokio::test]
async fn the_first_signal_drains_and_the_second_stops() {
    // Idle.
    let project = Project::new("true");
    let scheduler = Scheduler::bind(&project);
    let process = Process::start(&project);
    let mut peer = scheduler.ready().await;
    process.signal(Signal::INT);
    assert!(matches!(peer.hear().await, WorkerMessage::Leaving { .. }));
    assert_eq!(process.ended().await.code(), Some(0));

    // Once: the attempt is finished.
    let go = project.root().join("go");
    let agent = format!(
        "echo begun; while ! test -e {}; do sleep 0.05; done; echo x >new.txt",
        go.display()
    );
    fs::write(project.root().join("agent.sh"), agent).expect("a script");
    let process = Process::start(&project);
    let mut peer = scheduler.ready().await;
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &[])]))
        .await;
    peer.progress("begun").await;
    process.signal(Signal::TERM);
    fs::write(&go, "").expect("a file");
    let (command, report, _) = peer.report().await;
    assert!(matches!(report, Report::Mergeable(_)), "{report:?}");
    peer.reported(command, Verdict::Passed).await;
    assert!(matches!(peer.hear().await, WorkerMessage::Leaving { .. }));
    assert_eq!(process.ended().await.code(), Some(0));
    project.assert_clean();

    // Twice: it is given back.
    let marker = hanging(&project);
    fs::remove_file(project.root().join("said")).expect("what the others said");
    let process = Process::start(&project);
    let mut peer = scheduler.ready().await;
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &[])]))
        .await;
    peer.progress("begun").await;
    until("the agent's child runs", || lives(&marker)).await;
    process.signal(Signal::INT);
    // Signals that come at the same moment may count as one.
    let said = project.root().join("said");
    until("it is heard", || {
        fs::read_to_string(&said).is_ok_and(|said| said.contains("Ctrl-C again stops"))
    })
    .await;
    process.signal(Signal::TERM);
    let (command, report, _) = peer.report().await;
    assert!(matches!(report, Report::Released { .. }), "{report:?}");
    assert!(!lives(&marker), "dead before it is given back");
    peer.reported(command, Verdict::Recorded).await;
    assert!(matches!(peer.hear().await, WorkerMessage::Leaving { .. }));
    assert_eq!(process.ended().await.code(), Some(130));
    project.assert_clean();
}

#[tokio::test]
async fn living_workers_have_ports_of_their_own_and_leave_each_other_alone() {
    let project = Project::new("echo $CREWLOG_PORT >new.txt");
    let scheduler = Scheduler::bind(&project);
    let first = project.worker(WorkerKind::Coding);
    let mut one = scheduler.ready().await;
    let second = project.worker(WorkerKind::Coding);
    let mut two = scheduler.ready().await;
    let mut offer = project.offer(WorkerKind::Coding, vec![feature(5, &[])]);
    one.job(offer.clone()).await;
    let (command, report, _) = one.report().await;
    let Report::Mergeable(first_work) = report else {
        panic!("{report:?}");
    };
    // A worker that starts now must not take up the first one's result.
    let third = project.worker(WorkerKind::Coding);
    let mut three = scheduler.ready().await;
    offer.attempt = AttemptId(8);
    two.job(offer).await;
    let WorkerMessage::Report(AttemptReport { report, .. }) = two.hear().await else {
        panic!("no report");
    };
    let Report::Mergeable(work) = report else {
        panic!("{report:?}");
    };
    let port = |commit: &CommitId| project.git(&["show", &format!("{commit}:new.txt")]);
    let (first_port, second_port) = (port(&first_work.commit), port(&work.commit));
    assert_ne!(first_port, second_port);
    one.reported(command, Verdict::Passed).await;
    assert_eq!(one.hear().await, WorkerMessage::Ready);
    for peer in [&mut one, &mut three] {
        peer.stop().await;
    }
    // Its result is not answered: it stays for the next one.
    drop((two, scheduler));
    until("it is noticed", || {
        second.has_said("disconnected from the scheduler")
    })
    .await;
    first.exit().await;
    third.exit().await;
    let spool = &project.config.places.data;
    assert!(crewlog::worker::spool::read(spool, AttemptId(8)).is_some());
}
