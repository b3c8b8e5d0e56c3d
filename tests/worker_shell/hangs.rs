//! git that hangs below a worker: a filter that sleeps, in every step that calls it.

use std::fs;

use crewlog::model::evidence::FailureKind;
use crewlog::model::report::Report;
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::WorkerMessage;

use crate::worker_support::{Project, Scheduler, feature};

/// Hangs in a name of its own, so that it is found in a message and among the processes.
fn hangs(project: &Project) -> String {
    let script = project.root().join("hanging-filter");
    let text = format!("#!/bin/sh\necho $$ >>'{}'\nexec sleep 601\n", pids(project));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"]);
    assert!(
        shell
            .arg(&script)
            .arg(text)
            .status()
            .expect("a shell")
            .success()
    );
    script.display().to_string()
}

fn pids(project: &Project) -> String {
    project.root().join("pids").display().to_string()
}

/// Nothing sleeps any more: the marker of a filter's process is its own time.
fn assert_nothing_hangs() {
    for entry in fs::read_dir("/proc").expect("it").flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!line.starts_with(b"sleep\x00601\x00"), "{entry:?} is left");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Idle,
    Time,
}

/// A project in which one filter hangs, and what its attempt is reported as.
async fn reported(filter: &str, agent: &str, limit: Limit) -> (Project, String, FailureKind) {
    let project = Project::new(agent);
    let program = hangs(&project);
    fs::write(project.path("old.slow"), "old\n").expect("written");
    fs::write(project.path(".gitattributes"), "*.slow filter=slow\n").expect("written");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-q", "-m", "with a filter"]);
    project.git(&["branch", "-f", crate::worker_support::BRANCH]);
    for name in ["clean", "smudge"] {
        let run = if name == filter { &program } else { "cat" };
        project.git(&["config", &format!("filter.slow.{name}"), run]);
    }
    project.git(&["config", "filter.slow.required", "true"]);
    let scheduler = Scheduler::bind(&project);
    let _worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    let mut offer = project.offer(WorkerKind::Coding, vec![feature(5, &["true"])]);
    match limit {
        Limit::Idle => offer.settings.idle_limit_ms = 1_500,
        Limit::Time => offer.settings.time_limit_ms = 3_000,
    }
    peer.job(offer).await;
    let (command, report, _) = peer.report().await;
    let Report::Failed { failures, .. } = &report else {
        panic!("{filter} {limit:?}: {report:?}");
    };
    let failure = failures.first().expect("a failure").1.clone();
    peer.reported(command, crewlog::protocol::Verdict::Recorded)
        .await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready, "it goes on");
    project.assert_clean();
    (project, failure.reason, failure.kind)
}

#[tokio::test]
async fn a_filter_that_hangs_is_a_failure_that_counts_and_names_it() {
    let agent = "echo new >new.slow; echo work >work.txt";
    for limit in [Limit::Idle, Limit::Time] {
        for (filter, command) in [("smudge", "git read-tree"), ("clean", "git add")] {
            let (project, reason, kind) = reported(filter, agent, limit).await;
            assert_eq!(kind, FailureKind::TimeLimit, "{filter} {limit:?}: {reason}");
            assert!(reason.contains(command), "{filter} {limit:?}: {reason}");
            assert!(reason.contains("sleep 601"), "{filter} {limit:?}: {reason}");
            if filter == "clean" {
                // The work is kept as it is.
                let kept = project.git(&["show", "refs/crewlog/preserved/7:new.slow"]);
                assert_eq!(kept, "new");
            }
            let pids = fs::read_to_string(pids(&project)).expect("it ran");
            assert!(!pids.is_empty());
            assert_nothing_hangs();
        }
    }
}
