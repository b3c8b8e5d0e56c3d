//! Projects that an older build has laid out.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::real::{Project, wait};
use crate::{AGENT, RUN, data, events, exists, good, project, said, start};

/// Puts everything where a build of the older layout would have it.
fn lay_out_as_before(project: &Project) -> PathBuf {
    let old = project.root.join(".crewlog/data");
    let _ = fs::remove_file(data(project).join("identity"));
    fs::rename(data(project), &old).expect("moved back");
    let parent = data(project).parent().expect("a parent").to_owned();
    // Builds of that time did not lock the branch; it is there if the branch has moved.
    let _ = fs::remove_file(parent.join("branch.flock"));
    fs::remove_dir(parent).expect("nothing else is there");
    old
}

fn head(data: &Path) -> Vec<u8> {
    fs::read(data.join("log/head")).expect("the head")
}

#[test]
fn an_older_project_is_read_where_it_is_and_moved_by_the_first_that_writes() {
    let project = project(AGENT);
    // Before the first run, with a log that was never closed, and after a run.
    for life in ["imported", "killed", "done"] {
        match life {
            "done" => drop(good(&project, &RUN)),
            "killed" => {
                let mut run = start(&project, &["run", "--stay"]);
                run.kill().expect("killed");
                run.wait().expect("its end");
            }
            _ => {}
        }
        let before = events(&project);
        let old = lay_out_as_before(&project);
        let noted = head(&old);
        for reader in [&["status"][..], &["log"], &["export"]] {
            good(&project, reader);
            assert!(!exists(&data(&project)), "{life} {reader:?} moved it");
            assert_eq!(head(&old).len(), noted.len());
        }
        assert_eq!(events(&project), before, "{life}");
        good(&project, &["pause"]);
        assert!(!exists(&old), "{life}");
        good(&project, &["resume"]);
        let after = events(&project);
        assert_eq!(after.get(..before.len()), Some(&*before), "{life}");
    }
    assert_eq!(project.scheduler(&RUN).status.code(), Some(0));
    assert_eq!(project.merged("crewlog/project").len(), 2);
}

#[test]
fn an_older_project_that_is_in_use_is_left_where_it_is() {
    let project = project(AGENT);
    let old = lay_out_as_before(&project);
    let own = std::process::id().to_string();
    let spool = old.join("spool");
    fs::create_dir_all(&spool).expect("a directory");
    let result = spool.join("7.json");
    fs::write(&result, "").expect("a file");
    for held in [old.join("log/lock"), result.clone()] {
        let file = File::options().write(true).open(&held).expect("a file");
        flock(&file, FlockOperation::NonBlockingLockExclusive).expect("a lock");
        for verb in [&["pause"][..], &RUN] {
            let refused = project.scheduler(verb);
            assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
            assert!(old.is_dir() && !exists(&data(&project)));
            if held == result {
                assert!(said(&refused).contains(&own), "{}", said(&refused));
            }
        }
    }
    fs::remove_file(result).expect("removed");
    good(&project, &["pause"]);
    assert!(!exists(&old));
}

/// An older build that is started again after the move begins a second log.
#[test]
fn two_logs_are_not_taken_for_one() {
    let project = project(AGENT);
    let old = project.root.join(".crewlog/data");
    fs::create_dir_all(old.join("log/sled")).expect("a directory");
    fs::write(old.join("log/sled/db"), "another").expect("a file");
    let refused = project.scheduler(&["pause"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("two logs"), "{}", said(&refused));
    assert!(old.join("log/sled/db").exists());
    fs::remove_dir_all(&old).expect("removed");
    good(&project, &["pause"]);
}

/// Half-written files go at the next start, also where there is nothing to do.
#[test]
fn what_killed_processes_left_is_removed_by_a_run_without_work() {
    let project = project(AGENT);
    good(&project, &RUN);
    project.wait_for_silence();
    let content = data(&project).join("log/content/ab");
    let left = [
        data(&project).join("identity.7.unfinished"),
        data(&project).join("log.check.unfinished"),
        data(&project).join("snapshots/5.snapshot.7.0.unfinished"),
        data(&project).join("spool/7.new"),
        data(&project).join("log/sled.as-found.unfinished"),
        content.join("cd.7.0.unfinished"),
    ];
    for path in &left {
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, "half").expect("a file");
    }
    good(&project, &RUN);
    for path in &left {
        assert!(!exists(path), "{} is left", path.display());
    }
    // Not what a living process is writing.
    let held = data(&project).join("spool/8.new");
    let file = File::create(&held).expect("a file");
    flock(&file, FlockOperation::NonBlockingLockExclusive).expect("a lock");
    let young = content.join("ef.7.0.unfinished");
    fs::write(&young, "half").expect("a file");
    good(&project, &RUN);
    assert!(exists(&held) && exists(&young));
}

/// What attempts of the older layout have left is removed, and so is their directory.
#[test]
fn attempts_of_the_older_layout_are_swept() {
    let project = project(AGENT);
    let mut run = start(&project, &["run", "--stay"]);
    good(&project, &["stop"]);
    assert_eq!(wait(&mut run), Some(130));
    let worktrees = project.root.join(".crewlog/worktrees");
    fs::create_dir_all(worktrees.join(".crewlog-trash-7/x")).expect("a directory");
    lay_out_as_before(&project);
    good(&project, &RUN);
    assert!(!exists(&worktrees));
}
