//! How checks and hooks end, and what a person is told of it.

use crewlog::model::evidence::{CheckEnd, FailureKind};
use crewlog::model::report::Report;
use crewlog::model::settings::WorkerKind;
use crewlog::model::trouble::{Stage, TroubleKind};
use crewlog::protocol::{Phase, Verdict, WorkerMessage};

use super::failed;
use super::worker_support::{BRANCH, Project, Scheduler, feature, only_agent, report_of};

#[tokio::test]
async fn a_check_s_own_exit_is_never_taken_for_our_limit_or_a_kill() {
    use CheckEnd::{Exited, Signalled, TimedOut};
    let own = FailureKind::CheckFailed;
    let table = [
        ("exit 124", Exited(124), own, "`exit 124` exited with 124"),
        (
            "timeout 1 sleep 5",
            Exited(124),
            own,
            "`timeout 1 sleep 5` exited with 124",
        ),
        (
            "sleep 1000",
            TimedOut,
            own,
            "took longer than its limit, `run.check_limit`",
        ),
        (
            "kill -9 $$",
            Signalled(9),
            FailureKind::Trouble(TroubleKind::Memory),
            "was killed by signal 9, which came from another process or the kernel",
        ),
        (
            "sh -c 'kill -9 $$'; exit $?",
            Exited(137),
            own,
            "exited with 137, as a shell does after a command that was killed",
        ),
    ];
    for (check, end, kind, words) in table {
        let project = Project::new("echo work >new.txt");
        let scheduler = Scheduler::bind(&project);
        let worker = project.worker(WorkerKind::Coding);
        let mut peer = scheduler.ready().await;
        let mut offer = project.offer(WorkerKind::Coding, vec![feature(5, &[check])]);
        if end == TimedOut {
            offer.settings.check_limit_ms = 200;
        }
        peer.job(offer).await;
        let (command, report, _) = peer.report().await;
        peer.reported(command, Verdict::Recorded).await;
        peer.hear().await;
        peer.stop().await;
        worker.exit().await;
        if let Report::Failed { failures, .. } = &report {
            let run = &failures[0].1.checks[0];
            assert_eq!((run.command.as_str(), run.end), (check, end));
        }
        let (found, reason) = failed(report);
        assert_eq!(found, kind, "{check}: {reason}");
        assert!(reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn a_hook_s_own_exit_is_never_taken_for_our_limit() {
    for (hook, limit_ms, words) in [
        ("exit 124", 60_000, "the hook after_run exited with 124"),
        (
            "kill -9 $$",
            60_000,
            "the hook after_run was killed by signal 9",
        ),
        (
            "sleep 1000",
            200,
            "the hook after_run took longer than its limit of 0.2 s (`hooks.time_limit`)",
        ),
    ] {
        let mut project = Project::new("echo work >new.txt");
        project.config.hooks.after_run = hook.to_owned();
        project.config.hooks.limit_ms = limit_ms;
        let report = report_of(&project, &["true"]).await;
        let (kind, reason) = failed(report);
        assert_eq!(kind, FailureKind::HookFailed, "{hook}: {reason}");
        assert!(reason.contains(words), "{reason}");
    }
}

/// Only an agent that runs shows that it can be started: the scheduler lets the others go at that.
#[tokio::test]
async fn an_agent_that_cannot_be_started_never_gets_to_its_session() {
    let mut project = Project::new("");
    only_agent(&mut project.config).program = "/nowhere/agent".to_owned();
    project.config.started_by_scheduler = true;
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    let features = vec![feature(5, &["true"])];
    peer.job(project.offer(WorkerKind::Coding, features)).await;
    let mut phases = Vec::new();
    let report = loop {
        match peer.hear_any().await {
            WorkerMessage::Progress { phase, .. } => phases.push(phase),
            WorkerMessage::Report(report) => break report,
            _ => {}
        }
    };
    assert!(
        phases.iter().all(|it| *it == Phase::Preparing),
        "{phases:?}"
    );
    let Report::Troubled(trouble) = report.report else {
        panic!("{report:?}");
    };
    assert_eq!(trouble.stage, Stage::Prepare, "{trouble:?}");
    peer.reported(report.command, Verdict::Recorded).await;
    peer.hear().await;
    peer.stop().await;
    worker.exit().await;
}

/// In a project that is a directory of a larger repository, an agent may work in all of it.
#[tokio::test]
async fn work_outside_of_the_projects_directory_is_work() {
    let mut project = Project::new("echo work >../elsewhere.txt; exit 3");
    let dir = project.path("part");
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join("part.txt"), "part\n").expect("a file");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-q", "-m", "part"]);
    project.git(&["branch", "-f", BRANCH]);
    let offer = project.offer(WorkerKind::Coding, vec![feature(5, &["true"])]);
    project.config.places.project = dir;
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    peer.job(offer).await;
    let (command, report, _) = peer.report().await;
    peer.reported(command, Verdict::Recorded).await;
    peer.hear().await;
    peer.stop().await;
    worker.exit().await;
    let (kind, reason) = failed(report);
    assert_eq!(kind, FailureKind::AgentCrashed, "{reason}");
}

/// A verdict that nobody can read is still something that the agent has done.
#[tokio::test]
async fn an_unreadable_verdict_is_work() {
    let scribbles = r#"echo nonsense >"$CREWLOG_VERDICT""#;
    for (agent, expected) in [
        (scribbles.to_owned(), FailureKind::CheckFailed),
        (format!("{scribbles}; exit 3"), FailureKind::AgentCrashed),
    ] {
        let project = Project::new(&agent);
        let report = report_of(&project, &["false"]).await;
        let (kind, reason) = failed(report);
        assert_eq!(kind, expected, "{agent}: {reason}");
    }
}
