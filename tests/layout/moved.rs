//! Projects that are renamed, moved while they are in use, and copied.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::real::{wait, wait_until};
use crate::{AGENT, GATED, RUN, config, events, exists, good, project, said, start};

#[test]
fn a_project_that_was_moved_goes_on_where_it_was() {
    let mut project = project(GATED);
    let mut first = start(&project, &RUN);
    wait_until("the agent is working", || {
        project.in_an_attempt("started.txt")
    });
    first.kill().expect("killed");
    first.wait().expect("its end");
    let before = events(&project);
    // The workers of the first run see the move, and end.
    let there = project.root.with_file_name("renamed");
    fs::rename(&project.root, &there).expect("moved");
    project.root = there;
    project.wait_for_silence();
    fs::write(project.home().join("go"), "").expect("a file");
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let after = events(&project);
    assert_eq!(after.get(..before.len()), Some(&*before));
    let list = ["for-each-ref", "--format=%(refname:short)", "refs/heads"];
    assert_eq!(project.git(&list), "crewlog/project\nmain\n");
    assert_eq!(project.merged("crewlog/project").len(), 2);
    let left: Vec<_> = fs::read_dir(project.attempts())
        .into_iter()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_project_that_is_moved_while_it_runs_ends_and_says_so() {
    let mut project = project(GATED);
    let mut run = start(&project, &RUN);
    wait_until("the agent is working", || {
        project.in_an_attempt("started.txt")
    });
    let here = project.root.clone();
    let there = project.root.with_file_name("renamed");
    fs::rename(&here, &there).expect("moved");
    project.root = there.clone();
    assert_eq!(wait(&mut run), Some(1));
    let told = fs::read_to_string(there.join("../said")).expect("readable");
    assert!(told.contains("was moved while it was in use"), "{told}");
    assert!(told.contains(there.to_str().expect("a text")), "{told}");
    project.wait_for_silence();
    assert!(!exists(&here), "something was made in the old place");
    fs::write(project.home().join("go"), "").expect("a file");
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert!(!exists(&here));
}

fn events_of(project: &crate::real::Project, kind: &str) -> usize {
    let events = events(project);
    events.iter().filter(|event| event.contains(kind)).count()
}

#[test]
fn a_copy_is_a_project_of_its_own() {
    let original = project(GATED);
    let mut run = start(&original, &RUN);
    let theirs = wait_until("the agent is working", || {
        original.in_an_attempt("started.txt")
    });
    let copy = original.root.with_file_name("copy");
    let mut cp = Command::new("cp");
    cp.arg("-a").args([&original.root, &copy]);
    assert!(cp.status().expect("cp").success());
    let copied = copy.join(".crewlog/config.toml");
    fs::write(&copied, config(AGENT, "")).expect("a config");
    let mut command = original.command(&["import", ".crewlog/features.toml"]);
    let ended = command.current_dir(&copy).output().expect("the scheduler");
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    let mut command = original.command(&["run", "--stay", "--workers", "testing=1"]);
    let mut other = command.current_dir(&copy).spawn().expect("the scheduler");
    let socket = copy.join(".git/crewlog/main/socket");
    wait_until("it listens", || {
        std::os::unix::net::UnixStream::connect(&socket).ok()
    });
    assert!(theirs.exists(), "its copy swept the original's attempt");
    let mut command = original.command(&["stop", "--now"]);
    let stopped = command.current_dir(&copy).output().expect("the scheduler");
    assert!(stopped.status.success(), "{}", said(&stopped));
    assert_eq!(wait(&mut other), Some(130));
    // Nor were its workers ended: the log of the copy names them, too.
    assert_eq!(events_of(&original, "AttemptLost"), 0);
    assert!(theirs.exists(), "its copy swept the original's attempt");
    fs::write(original.home().join("go"), "").expect("a file");
    assert_eq!(wait(&mut run), Some(0));
    assert_eq!(events_of(&original, "AttemptLost"), 0);
    let id = |root: &Path| {
        let text = fs::read_to_string(root.join(".git/crewlog/main/identity"));
        text.expect("readable").lines().nth(1).map(str::to_owned)
    };
    assert_ne!(id(&original.root), id(&copy));
    original.wait_for_silence();
}

#[test]
fn attempts_have_another_place_by_config_and_none_in_the_repository() {
    let project = project(AGENT);
    let link = project.root.join("../link");
    std::os::unix::fs::symlink(&project.root, &link).expect("a link");
    for inside in ["attempts", ".git/attempts", "../link/attempts"] {
        let dir = project.root.join(inside);
        let more = format!("attempts_dir = {dir:?}\n");
        project.write(".crewlog/config.toml", &config(AGENT, &more));
        let refused = project.scheduler(&RUN);
        let told = said(&refused);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("run.attempts_dir"), "{told}");
        assert!(!exists(&dir));
    }
    // What was left at the first place is looked after from the second one.
    project.write(".crewlog/config.toml", &config(GATED, ""));
    let mut run = start(&project, &RUN);
    let left = wait_until("the agent is working", || {
        project.in_an_attempt("started.txt")
    });
    run.kill().expect("killed");
    run.wait().expect("its end");
    for pid in project.processes().keys() {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
    project.wait_for_silence();
    let base = project.root.with_file_name("elsewhere");
    let more = format!("attempts_dir = {base:?}\n");
    project.write(".crewlog/config.toml", &config(AGENT, &more));
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert!(!left.exists(), "{}", left.display());
    for base in [base, project.home().join(".local/state/crewlog")] {
        let mut find = Command::new("find");
        let found = find.arg(&base).arg("-mindepth").arg("1").output();
        let found = said(&found.expect("find"));
        assert!(found.is_empty(), "{found}");
    }
}

/// A directory with our name that nothing proves to be ours.
#[test]
fn what_is_in_the_way_is_left_alone_and_named() {
    let project = project(AGENT);
    let mut run = start(&project, &["run", "--stay"]);
    let own = project.attempts().parent().expect("a parent").to_owned();
    good(&project, &["stop"]);
    assert_eq!(wait(&mut run), Some(130));
    assert!(!own.exists(), "released");
    fs::create_dir_all(own.join("precious")).expect("a directory");
    let refused = project.scheduler(&RUN);
    let told = said(&refused);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    let name = own.file_name().expect("a name").to_str().expect("a text");
    assert!(told.contains(name), "{told}");
    assert!(own.join("precious").exists());
    fs::rename(&own, own.with_extension("mine")).expect("moved away");
    assert_eq!(project.scheduler(&RUN).status.code(), Some(0));
}
