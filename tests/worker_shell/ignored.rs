//! Checks see what will be merged, and nothing that only the agent's directory has.

use crewlog::model::evidence::FailureKind;
use crewlog::model::report::Report;
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::Verdict;

use super::worker_support::{Project, Scheduler, feature};
use super::{failed, mergeable};

/// Leaves an answer where git does not look, beside work that is committed.
const AGENT: &str = r"
    echo work >new.txt
    printf '%s\n' 'build/' 'cache/' 'tools/' >.gitignore
    mkdir -p build cache tools && echo yes | tee build/answer cache/answer tools/agents
    git clone -q . inner-repository && rm -rf inner-repository/.git
    mv inner-repository build/
";

async fn report_of(keep: &[&str], checks: &[&str]) -> Report {
    let mut project = Project::new(AGENT);
    project.config.checks.keep_ignored = keep.iter().map(ToString::to_string).collect();
    // What a project installs is ignored, too, and must be there for the checks.
    project.config.hooks.after_create = "mkdir -p tools && echo installed >tools/own".to_owned();
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, checks)]))
        .await;
    let (command, report, _) = peer.report().await;
    peer.reported(command, Verdict::Recorded).await;
    peer.hear().await;
    project.assert_clean();
    peer.stop().await;
    worker.exit().await;
    report
}

#[tokio::test]
async fn no_check_passes_thanks_to_an_ignored_file() {
    let report = report_of(&[], &["test -e new.txt", "grep yes build/answer"]).await;
    let (kind, reason) = failed(report);
    assert_eq!(kind, FailureKind::CheckFailed);
    assert!(reason.contains("grep yes build/answer"), "{reason}");
    // And everybody learns why: the person here, the next attempt in its prompt. What the hook has
    // made again is not missing.
    assert!(
        reason.contains("git ignores them: build/, cache/"),
        "{reason}"
    );
    assert!(reason.contains("`checks.keep_ignored`"), "{reason}");
}

#[tokio::test]
async fn what_the_project_installs_is_there_again() {
    let checks = ["grep installed tools/own", "test ! -e tools/agents"];
    let work = mergeable(report_of(&[], &checks).await);
    assert_eq!(work.touched, [".gitignore", "new.txt"]);
}

#[tokio::test]
async fn what_the_config_names_stays() {
    let checks = [
        "test -e cache/answer",
        "test ! -e build",
        "test -e tools/own",
    ];
    mergeable(report_of(&["cache/"], &checks).await);
    let checks = [
        "test -e cache/answer",
        "test -e build/answer",
        "test -e tools/agents",
    ];
    mergeable(report_of(&["*"], &checks).await);
}
