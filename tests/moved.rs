//! The integration branch in other hands, as a person finds it: real git, whole runs.

mod real;

use std::fs;

use real::{Project, wait, wait_until};

const RUN: [&str; 3] = ["run", "--workers", "coding=1,testing=1"];

fn project(agent: &str, more: &str) -> Project {
    let project = Project::new(&format!(
        "[run]\nbranch = \"test\"\n{more}[agent]\ndriver = \"command\"\nprogram = \"sh\"\n\
         args = [\"-c\", '''{agent}''']\n[environment]\nisolation = \"none\"\n"
    ));
    let feature = |number| {
        format!(
            "[[feature]]\nid = {number}\nname = \"feature {number}\"\nchecks = [\"test -s f{number}.txt\"]\n"
        )
    };
    project.write("../features.toml", &(feature(1) + &feature(2)));
    let imported = project.scheduler(&["import", "../features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    project
}

const AGENT: &str = "echo done > f$CREWLOG_FEATURE.txt";

fn text(project: &Project, args: &[&str]) -> String {
    let output = project.scheduler(args);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn work_that_somebody_rewound_is_named_and_done_again() {
    let project = project(AGENT, "");
    let first = project.scheduler(&RUN);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let subject = project.git(&["log", "-1", "--format=%s", "crewlog/test"]);
    project.git(&["update-ref", "refs/heads/crewlog/test", "crewlog/test~1"]);
    let lost = project.merged("crewlog/test");
    assert_eq!(lost.len(), 1, "one feature's merge is left");
    let second = project.scheduler(&RUN);
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    let mut merged = project.merged("crewlog/test");
    merged.sort();
    assert_eq!(merged, ["#1", "#2"]);
    let log = text(&project, &["log"]);
    assert!(log.contains("commits of somebody else: 1 lost ("), "{log}");
    assert!(log.contains(subject.trim()), "{subject}: {log}");
    assert!(
        log.contains("is no longer on the branch, so it must be done again"),
        "{log}"
    );
    let status = text(&project, &["status"]);
    assert!(
        status.contains("commits of somebody else: 1 lost"),
        "{status}"
    );
    let missing = if lost == ["#1"] { "2" } else { "1" };
    let why = text(&project, &["why", missing]);
    assert!(why.contains("no longer on the branch"), "{why}");
}

#[test]
fn commits_that_somebody_added_are_named_and_what_they_break_is_found() {
    let project = project(AGENT, "");
    let first = project.scheduler(&RUN);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let tree = project.git(&["rev-parse", "main^{tree}"]);
    let foreign = project.git(&[
        "commit-tree",
        "-p",
        "crewlog/test",
        "-m",
        "take the files away",
        tree.trim(),
    ]);
    project.git(&["update-ref", "refs/heads/crewlog/test", foreign.trim()]);
    let second = project.scheduler(&RUN);
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    let log = text(&project, &["log"]);
    let named = format!("{} by A user: take the files away", &foreign[..10]);
    assert!(log.contains("commits of somebody else: 1 added"), "{log}");
    assert!(log.contains(&named), "{named}: {log}");
    // Nothing was lost, and all of it is proven anew: what broke is mended.
    assert!(!log.contains("is no longer on the branch"), "{log}");
    assert!(log.contains("REGR"), "{log}");
    project.git(&["cat-file", "-e", "crewlog/test:f1.txt"]);
    project.git(&["cat-file", "-e", "crewlog/test:f2.txt"]);
}

#[test]
fn a_deleted_branch_is_put_back_with_its_work() {
    let project = project(AGENT, "");
    let first = project.scheduler(&RUN);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let head = project.git(&["rev-parse", "crewlog/test"]);
    project.git(&["branch", "-D", "crewlog/test"]);
    let second = project.scheduler(&RUN);
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    assert_eq!(project.git(&["rev-parse", "crewlog/test"]), head);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("the branch was deleted"), "{said}");
}

/// A run whose agents wait for a file beside the project; given when the first of them works.
fn gated(more: &str) -> (Project, std::process::Child) {
    let project = project(AGENT, more);
    let gate = project.root.join("../gate");
    let agent = format!(
        "while ! [ -e {} ]; do sleep 0.05; done; {AGENT}",
        gate.display()
    );
    let config = fs::read_to_string(project.root.join(".crewlog/config.toml")).expect("a config");
    project.write(".crewlog/config.toml", &config.replace(AGENT, &agent));
    let errors = fs::File::create(project.root.join("../errors")).expect("a file");
    let mut command = project.command(&RUN);
    let run = command
        .stdout(std::process::Stdio::null())
        .stderr(errors)
        .spawn()
        .expect("the scheduler");
    wait_until("an agent works", || {
        text(&project, &["log"]).contains("START").then_some(())
    });
    (project, run)
}

fn open_gate(project: &Project) {
    fs::write(project.root.join("../gate"), "").expect("a gate");
}

#[test]
fn a_branch_that_is_checked_out_waits_and_is_merged_when_it_is_free() {
    let (project, mut run) = gated("");
    project.git(&["switch", "-q", "crewlog/test"]);
    let before = project.git(&["rev-parse", "crewlog/test"]);
    open_gate(&project);
    wait_until("the run says that it waits", || {
        let status = text(&project, &["status"]);
        status.contains("run `git switch -` there").then_some(())
    });
    assert_eq!(project.git(&["rev-parse", "crewlog/test"]), before);
    assert_eq!(project.git(&["status", "--porcelain", "-uno"]), "");
    project.git(&["switch", "-q", "-"]);
    assert_eq!(wait(&mut run), Some(0));
    assert_eq!(project.merged("crewlog/test").len(), 2);
    let log = text(&project, &["log"]);
    assert!(log.contains("merges continue"), "{log}");
    // It is looked at every second, and that is no failure of git's.
    let said = fs::read_to_string(project.root.join("../errors")).expect("words");
    assert!(!said.contains("git failed"), "{said}");
}

#[test]
fn a_branch_that_stays_checked_out_ends_the_run_for_a_person() {
    let (project, mut run) = gated("worker_wait = \"2s\"\n");
    project.git(&["switch", "-q", "crewlog/test"]);
    open_gate(&project);
    assert_eq!(wait(&mut run), Some(4));
    let said = fs::read_to_string(project.root.join("../errors")).expect("words");
    assert!(said.contains("is checked out at"), "{said}");
    assert!(said.contains("git switch -"), "{said}");
    project.git(&["switch", "-q", "main"]);
    let again = project.scheduler(&RUN);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(project.merged("crewlog/test").len(), 2);
    project.wait_for_silence();
}
