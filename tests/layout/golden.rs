//! A project as a build of the older layout left it, killed in the middle of two attempts: three
//! features done (two pass, one is parked), two open. `tests/fixtures/projects/layout-1.tar.gz` was
//! made by that build; the scheduler, its workers and their agents were ended by SIGKILL.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::real::Project;
use crate::{AGENT, RUN, config, data, events, exists, good, said};

/// Events of the log when its scheduler was killed.
const EVENTS: usize = 24;

/// The project in a directory of the test's own, with an agent that comes to an end.
fn unpacked() -> Project {
    let project = Project::new(&config(AGENT, ""));
    fs::remove_dir_all(&project.root).expect("an empty project");
    let archive =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/projects/layout-1.tar.gz");
    let above = project.root.parent().expect("a parent");
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(above)
        .args(["--no-same-owner"])
        .status();
    assert!(unpacked.expect("tar").success());
    fs::rename(above.join("shoebox"), &project.root).expect("renamed");
    project.git(&["config", "user.name", "A user"]);
    project.git(&["config", "user.email", "user@example.invalid"]);
    project.write(".crewlog/config.toml", &config(AGENT, ""));
    project
}

#[test]
fn a_project_of_the_older_build_is_read_moved_and_finished() {
    let project = unpacked();
    let before = events(&project);
    assert_eq!(before.len(), EVENTS);
    good(&project, &["verify"]);
    let status = good(&project, &["status"]);
    assert!(status.contains("interrupted"), "{status}");
    let old = project.root.join(".crewlog/data");
    assert!(exists(&old), "readers move nothing");
    // The parked feature stays parked.
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let after = events(&project);
    assert_eq!(after.get(..before.len()), Some(&*before));
    let status = good(&project, &["status"]);
    assert!(status.contains("4 passing, 1 parked"), "{status}");
    assert_eq!(project.merged("crewlog/shoebox").len(), 4);
    // The directories of the killed attempts are gone, and what was in them is kept.
    assert!(!exists(&old));
    let left = fs::read_dir(project.root.join(".crewlog/worktrees"));
    let left: Vec<_> = left.into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    for attempt in [20, 24] {
        let linked = format!(".git/worktrees/crewlog-a{attempt}");
        assert!(!exists(&project.root.join(linked)));
    }
    for (attempt, file) in [(20, "f4.part"), (24, "f5.part")] {
        let kept = format!("refs/crewlog/preserved/{attempt}:{file}");
        assert_eq!(project.git(&["show", &kept]), "half\n");
    }
    good(&project, &["verify"]);
    project.wait_for_silence();
}

/// Whatever the moment, one of the two places holds all of it, and the next command finds it.
#[test]
fn a_move_that_is_killed_at_any_moment_loses_nothing() {
    let seed = std::env::var("CREWLOG_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut random: u64 = seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("a clock").subsec_nanos().into()
    });
    eprintln!("CREWLOG_SEED={random}");
    let project = unpacked();
    let before = events(&project);
    let (new, old) = (data(&project), project.root.join(".crewlog/data"));
    let mut longest = Duration::from_millis(40);
    for round in 0..30 {
        let began = SystemTime::now();
        let mut command = project.command(&["pause"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("the scheduler");
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let after = longest.mul_f64((random >> 33) as f64 / f64::from(1_u32 << 31));
        std::thread::park_timeout(after);
        child.kill().expect("killed, or gone");
        let ended = child.wait().expect("its end");
        if ended.success() {
            longest = began.elapsed().unwrap_or(longest);
        }
        let now = events(&project);
        let told = format!("round {round}, killed after {after:?}");
        assert_eq!(now.get(..before.len()), Some(&*before), "{told}");
        assert!(now.len() <= before.len() + 1, "{told}: paused twice");
        assert!(exists(&new) != exists(&old), "{told}: it is in one place");
        if exists(&new) {
            // Back to where it was, for the next round.
            fs::remove_dir_all(&new).expect("removed");
            let _ = fs::remove_dir(new.parent().expect("a parent"));
            let _ = fs::remove_dir_all(project.root.join(".crewlog/data"));
            let fresh = unpacked();
            fs::rename(fresh.root.join(".crewlog/data"), &old).expect("as it was");
        }
    }
    good(&project, &["pause"]);
    assert_eq!(events(&project).len(), before.len() + 1);
}
