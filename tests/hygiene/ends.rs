//! However a run ends, nothing of it is left but the log, the branch and what was preserved.

use std::fs;

use rustix::process::Signal;

use crate::kit::{
    AGENT, BRANCH, RUN, assert_nothing_left, assert_passes, assert_untouched, await_in_worktree,
    config, events, merges, project, said, signal, users_state,
};
use crate::real::{Project, wait, wait_until};

/// Works until it is told to go on, with a child that left its session.
const WAITS: &str = r#"
setsid sleep 300 & echo scratch > "$TMPDIR/scratch"; echo x > started.txt
while ! test -f "$GO"; do sleep 0.05; done
printf 'feature %s\n' "$CREWLOG_FEATURE" > "f$CREWLOG_FEATURE.txt"
"#;

/// A project whose agents wait for the file that is also returned.
fn waiting(features: u32) -> (Project, std::path::PathBuf) {
    let made = project(AGENT, "", features);
    let go = made.home().join("go");
    let env = format!(
        "env = {{ GO = {go:?} }}\n[cage]\nread = [{:?}]\n",
        made.home()
    );
    made.write(".crewlog/config.toml", &config(WAITS, &env));
    (made, go)
}

#[test]
fn a_finished_run_leaves_nothing() {
    let project = project(AGENT, "", 2);
    let before = users_state(&project);
    assert_passes(&project);
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    assert_eq!(merges(&project).len(), 2);
}

#[test]
fn a_run_that_failed_leaves_nothing_but_what_was_preserved() {
    let project = project("setsid sleep 300 & echo half > work.txt; exit 3", "", 1);
    let before = users_state(&project);
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    let kept = project.git(&["for-each-ref", "--format=%(refname)", "refs/crewlog"]);
    let kept = kept.trim();
    assert!(kept.starts_with("refs/crewlog/preserved/"), "{kept}");
    let work = project.git(&["show", &format!("{kept}:work.txt")]);
    assert_eq!(work, "half\n");
}

#[test]
fn one_signal_drains_and_leaves_nothing() {
    for asked in [Signal::INT, Signal::TERM] {
        let (project, go) = waiting(2);
        let before = users_state(&project);
        let mut run = project.start(&RUN);
        await_in_worktree(&project, "started.txt");
        signal(&run, asked);
        wait_until("the scheduler has heard it", || {
            let status = said(&project.scheduler(&["status"]));
            status.contains("ending").then_some(())
        });
        fs::write(&go, "").expect("a file");
        assert_eq!(wait(&mut run), Some(130), "{asked:?}");
        assert_nothing_left(&project);
        assert_untouched(&before, &project);
        assert_eq!(merges(&project).len(), 1, "what had begun was finished");
        assert_passes(&project);
        assert!(merges(&project).values().all(|&times| times == 1));
    }
}

#[test]
fn two_signals_stop_and_leave_nothing() {
    let (project, go) = waiting(1);
    let before = users_state(&project);
    let mut run = project.start(&RUN);
    await_in_worktree(&project, "started.txt");
    signal(&run, Signal::INT);
    wait_until("the scheduler has heard it", || {
        let status = said(&project.scheduler(&["status"]));
        status.contains("ending").then_some(())
    });
    signal(&run, Signal::INT);
    assert_eq!(wait(&mut run), Some(130));
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    fs::write(&go, "").expect("a file");
    assert_passes(&project);
    assert_nothing_left(&project);
}

#[test]
fn a_run_that_is_to_outlive_its_terminal_does() {
    let (project, go) = waiting(1);
    let mut nohup = crate::kit::shell(&project, r#"trap "" HUP; exec "$S" "$@""#);
    nohup
        .arg("sh")
        .args(RUN)
        .stdout(std::process::Stdio::null());
    let mut run = nohup.spawn().expect("a shell");
    await_in_worktree(&project, "started.txt");
    signal(&run, Signal::HUP);
    fs::write(&go, "").expect("a file");
    assert_eq!(wait(&mut run), Some(0));
    assert_nothing_left(&project);
}

/// Sends a signal to these processes, one right after the other.
fn signal_all(pids: impl IntoIterator<Item = u32>, signal: Signal) {
    for pid in pids {
        let pid = i32::try_from(pid).ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        // Some end by themselves when their parents die.
        let _ = rustix::process::kill_process(pid.expect("a pid"), signal);
    }
}

/// A service manager that stops a service, a container that ends.
#[test]
fn a_signal_to_every_process_costs_no_try() {
    let orders = [("agents first", false), ("the scheduler first", true)];
    for isolation in ["auto", "subreaper"] {
        for ((order, backwards), asked) in orders.into_iter().zip([Signal::TERM, Signal::INT]) {
            let (project, go) = waiting(2);
            let env = format!(
                "env = {{ GO = {go:?} }}\n[environment]\nisolation = \"{isolation}\"\n\
                 [cage]\nread = [{:?}]\n",
                project.home()
            );
            project.write(".crewlog/config.toml", &config(WAITS, &env));
            let before = users_state(&project);
            let mut run = project.start(&RUN);
            await_in_worktree(&project, "started.txt");
            // Whoever is started by another has the greater number, until numbers begin anew.
            let mut pids: Vec<u32> = project.processes().into_keys().collect();
            assert!(pids.len() >= 6, "{:?}", project.processes());
            pids.sort_by_key(|&pid| (pid == run.id(), std::cmp::Reverse(pid)));
            if backwards {
                pids.reverse();
            }
            // While the signals are sent nobody runs: a worker that sees its agent end before it is
            // asked to end itself may start the next one, which nobody has signalled.
            signal_all(pids.iter().rev().copied(), Signal::STOP);
            signal_all(pids.clone(), asked);
            signal_all(pids, Signal::CONT);
            assert_eq!(wait(&mut run), Some(130), "{isolation}, {order}");
            assert_nothing_left(&project);
            assert_untouched(&before, &project);
            let counted = ["FeatureFailed", "FeatureParked", "RegressionFound"];
            let named = |event: &String| counted.iter().any(|name| event.contains(name));
            let events = events(&project);
            let failed: Vec<&String> = events.iter().filter(|event| named(event)).collect();
            assert!(failed.is_empty(), "{isolation}, {order}: {failed:?}");
            fs::write(&go, "").expect("a file");
            assert_passes(&project);
        }
    }
}

/// A machine that is suspended, `docker pause`, SIGSTOP of everything: nobody is silent meanwhile.
/// An agent that is stopped alone is.
#[test]
fn limits_count_only_the_time_in_which_we_ran() {
    for everybody in [true, false] {
        let made = project(AGENT, "", 1);
        let go = made.home().join("go");
        let env = format!("env = {{ GO = \"{}\" }}\n", go.display());
        let config = config(WAITS, &env).replace("idle_limit = \"60s\"", "idle_limit = \"6s\"");
        made.write(".crewlog/config.toml", &config);
        let mut run = made.start(&RUN);
        await_in_worktree(&made, "started.txt");
        let processes = made.processes().into_iter();
        let chosen = |(_, line): &(u32, String)| everybody || line.contains("while ! test");
        let stopped: Vec<u32> = processes.filter(chosen).map(|(pid, _)| pid).collect();
        assert!(!stopped.is_empty());
        signal_all(stopped.clone(), Signal::STOP);
        let began = std::time::Instant::now();
        wait_until("a while has gone by", || {
            (began.elapsed().as_secs() >= 8).then_some(())
        });
        fs::write(&go, "").expect("a file");
        signal_all(stopped, Signal::CONT);
        let code = if everybody { 0 } else { 3 };
        assert_eq!(wait(&mut run), Some(code), "{everybody}");
        let events = events(&made);
        let has = |what: &str| events.iter().any(|event| event.contains(what));
        assert_eq!(has("was silent for"), !everybody);
        assert_eq!(has("ClockJumped"), everybody);
        assert_nothing_left(&made);
    }
}

#[test]
fn after_a_kill_the_next_run_leaves_nothing() {
    // The scheduler alone, and all processes of the project at once.
    for everybody in [false, true] {
        let (project, go) = waiting(2);
        let before = users_state(&project);
        let mut run = project.start(&RUN);
        await_in_worktree(&project, "started.txt");
        let known = events(&project);
        signal(&run, Signal::KILL);
        if everybody {
            signal_all(project.processes().into_keys(), Signal::KILL);
        }
        wait(&mut run);
        fs::write(&go, "").expect("a file");
        assert_passes(&project);
        assert_nothing_left(&project);
        assert_untouched(&before, &project);
        let after = events(&project);
        assert_eq!(
            after.get(..known.len()),
            Some(&*known),
            "events are for ever"
        );
        let merges = merges(&project);
        assert!(merges.len() == 2 && merges.values().all(|&times| times == 1));
    }
}

/// With nothing to do as well: the backlog is done, and no attempt is open.
#[test]
fn processes_that_were_left_behind_are_found_at_the_next_start() {
    let project = project(AGENT, "", 1);
    let other = crate::kit::project(AGENT, "", 1);
    assert_passes(&project);
    let left = |root: &std::path::Path| {
        let token = crewlog::worker::tree_token(root, crewlog::model::ids::AttemptId(3));
        let mut sleep = std::process::Command::new("sleep");
        sleep.arg("300").env("CREWLOG_TREE", token);
        sleep.spawn().expect("a process")
    };
    let (mut ours, mut others) = (left(&project.root), left(&other.root));
    assert_passes(&project);
    let ended = ours.try_wait().expect("its status");
    assert!(ended.is_some_and(|status| !status.success()), "{ended:?}");
    assert!(others.try_wait().expect("its status").is_none(), "not ours");
    others.kill().expect("a living process");
    others.wait().expect("its end");
}

#[test]
fn a_run_that_cannot_begin_leaves_nothing() {
    let project = project(AGENT, "", 1);
    project.git(&["checkout", "-q", "-b", BRANCH]);
    let before = users_state(&project);
    let run = project.scheduler(&RUN);
    crate::kit::assert_refused(&run, 2, &[BRANCH, "is checked out at", "Switch to another"]);
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    project.git(&["checkout", "-q", "main"]);
    assert_passes(&project);
}
