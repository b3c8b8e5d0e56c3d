//! Files of a running scheduler that somebody deletes.

use std::fs;
use std::process::Command;

use crate::real::{wait, wait_until};
use crate::{AGENT, RUN, data, events, good, project, said, start};

#[test]
fn a_log_that_vanishes_ends_the_scheduler_and_nothing_is_acknowledged() {
    // Everything, the log alone, and the engine's directory replaced by a copy of itself.
    for what in ["everything", "log", "replaced"] {
        let project = project(AGENT);
        let mut run = start(&project, &["run", "--stay"]);
        let data = data(&project);
        match what {
            "everything" => fs::remove_dir_all(data.parent().expect("a parent")).expect("removed"),
            "log" => fs::remove_dir_all(data.join("log")).expect("removed"),
            _ => {
                let (sled, away) = (data.join("log/sled"), data.join("away"));
                fs::rename(&sled, &away).expect("moved");
                let copied = Command::new("cp").arg("-a").args([&away, &sled]).status();
                assert!(copied.expect("cp").success());
            }
        }
        // Whether the scheduler sees it by itself or is asked first, it is no success.
        let asked = project.scheduler(&["pause"]);
        let code = wait(&mut run);
        let told = fs::read_to_string(project.root.join("../said")).expect("readable");
        assert_eq!(code, Some(1), "{what}: {told}");
        let words = ["vanished", "deleted"];
        assert!(
            words.iter().any(|word| told.contains(word)),
            "{what}: {told}"
        );
        if what == "replaced" {
            // Only what is in the log that is there now was acknowledged.
            let log = events(&project);
            let paused = log.iter().any(|event| event.contains("RunPaused"));
            assert_eq!(asked.status.success(), paused, "{}", said(&asked));
        }
        project.wait_for_silence();
    }
}

#[test]
fn a_lock_file_that_is_deleted_lets_nobody_in() {
    let project = project(AGENT);
    let mut run = start(&project, &["run", "--stay"]);
    let lock = data(&project).join("log/lock");
    let pid = run.id().to_string();
    for _ in 0..3 {
        fs::remove_file(&lock).expect("removed");
        let refused = project.scheduler(&RUN);
        let told = said(&refused);
        assert_eq!(refused.status.code(), Some(5), "{told}");
        assert!(told.contains(&format!("process {pid}")), "{told}");
        assert!(
            !told.contains("repair") && !told.contains("damaged"),
            "{told}"
        );
        wait_until("the lock is back", || {
            let text = fs::read_to_string(&lock).unwrap_or_default();
            text.starts_with(&pid).then_some(())
        });
    }
    good(&project, &["stop"]);
    assert_eq!(wait(&mut run), Some(130));
}

#[test]
fn a_socket_that_is_deleted_comes_back() {
    let project = project(AGENT);
    let mut run = start(&project, &["run", "--stay"]);
    let socket = data(&project).join("socket");
    for verb in [&["pause"][..], &["resume"], &["stop"]] {
        fs::remove_file(&socket).expect("removed");
        good(&project, verb);
    }
    assert_eq!(wait(&mut run), Some(130));
    assert!(!socket.exists());
}

/// Held, and nobody listens: what is missing is said, and what to do, by every command.
#[test]
fn a_log_whose_holder_does_not_listen_is_told_as_that() {
    let project = project(AGENT);
    let log = data(&project).join("log");
    let held = crewlog::queue::lock(&log).expect("the lock");
    let own = format!("process {}", std::process::id());
    for verb in [&["pause"][..], &RUN, &["stop"]] {
        let refused = project.scheduler(verb);
        let told = said(&refused);
        assert_eq!(refused.status.code(), Some(5), "{verb:?}: {told}");
        assert!(told.contains(&own), "{verb:?}: {told}");
        assert!(told.contains("socket"), "{verb:?}: {told}");
        assert!(!told.contains("repair"), "{told}");
    }
    drop(held);
    good(&project, &["pause"]);
}
