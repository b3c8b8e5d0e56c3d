//! Whoever is killed from outside, nothing is left.

use crewlog::agent::process::{Isolation, alive, sweep};
use rustix::process::{Signal, kill_process_group, pidfd_send_signal};

use super::kit::*;
use super::stand_in::StandIn;

/// Who is killed with -9.
const VICTIMS: [&str; 3] = ["worker", "guard", "worker and guard"];

#[test]
fn killing_worker_or_guard_or_both_leaves_nothing() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        for victim in VICTIMS {
            let word = unique();
            for (name, script, count) in escapes(&word) {
                let token = format!("t-{word}-a1");
                let mut worker = StandIn::start(&script, &token, isolation, "wait");
                let guard = handle(pid_of(&worker.read("guard")));
                let stand_in = handle(worker.pid());
                await_sleepers(name, &word, count);
                let what = format!("{name}, killed: {victim}, {isolation:?}");
                if victim.contains("worker") {
                    kill(&stand_in);
                }
                if victim.contains("guard") {
                    kill(&guard);
                }
                if victim == "guard" {
                    assert!(worker.read("ended").ends_with("left=0"), "{what}");
                    assert_eq!(with_word(&word), Vec::<u32>::new(), "{what}");
                }
                until(&what, || with_word(&word).is_empty());
            }
        }
    }
}

#[test]
fn a_sweep_finds_what_no_stage_could_end() {
    // Worker, guard and init die at once: without a namespace the program is an orphan.
    let word = unique();
    let token = format!("t-{word}-a1");
    let script = format!("setsid sleep {word} & exec sleep {word}");
    let mut worker = StandIn::start(&script, &token, Isolation::Subreaper, "wait");
    let guard = pid_of(&worker.read("guard"));
    until("the sleepers", || sleepers(&word) == 2);
    let stages = with_word("__init");
    let init = stages
        .into_iter()
        .find(|pid| with_word(&word).contains(pid))
        .expect("init");
    // Stopped first, so that none of them acts on the death of another.
    let all = [worker.pid(), guard, pid_of(&init.to_string())];
    let handles = all.map(handle);
    for process in &handles {
        pidfd_send_signal(process, Signal::STOP).expect("stop");
    }
    handles.iter().for_each(kill);
    until("the stages' end", || {
        with_word("__init").iter().all(|pid| *pid != init)
    });
    assert_eq!(sleepers(&word), 2, "nobody is left to end them");
    assert_eq!(alive(&token).len(), 2);
    assert_eq!(
        alive(&format!("t-{word}-a")),
        Vec::<u32>::new(),
        "a token is matched whole"
    );
    assert_eq!(
        sweep(&format!("t-{word}-b")),
        Vec::<u32>::new(),
        "another token is left alone"
    );
    assert_eq!(sweep(&format!("t-{word}-")).len(), 2);
    assert_eq!(with_word(&word), Vec::<u32>::new());
}

#[test]
fn a_terminal_interrupt_does_not_reach_the_agent() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let word = unique();
        let token = format!("t-{word}");
        let mut worker = StandIn::start(
            &format!("exec sleep {word}"),
            &token,
            isolation,
            "interrupt",
        );
        worker.read("guard");
        until("the sleeper", || sleepers(&word) == 1);
        kill_process_group(worker.pid(), Signal::INT).expect("interrupt");
        assert_eq!(worker.read("survived"), "true");
        worker.read("ended");
        until("the end", || with_word(&word).is_empty());
    }
}
