//! The link, signals, orders to end, and what dead workers left.

use super::*;
use crate::model::command::Problem;
use crate::model::end_reason::EndReason;
use crate::protocol::HEARTBEAT_MS;
use crate::worker::machine::{Exit, STOP_LIMIT_MS};

/// Points at which an attempt's outcome is still open.
const WORK: [&str; 8] = [
    "make",
    "hook AfterCreate",
    "hook BeforeRun",
    "session #5",
    "hook AfterRun",
    "commit",
    "rebase 1",
    "check #5",
];

/// What ending an attempt early leads to, from the interrupted step on. A worktree that was not
/// made holds no work.
fn interrupted(rig: &mut Rig, point: &str) -> Vec<String> {
    let effects = match point {
        "make" => rig.result(Err(failure(FailureKind::Setup))),
        _ => rig.go_on(point),
    };
    rig.run_on(effects)
}

#[test]
fn an_idle_worker_waits_with_growing_jittered_pauses() {
    let mut rig = Rig::new(WorkerKind::Coding);
    assert_eq!(rig.give(Input::Start), ["connect"]);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        assert_eq!(rig.lose_link(), Vec::<String>::new());
        let at = rig.machine.wake_at().expect("another try");
        pauses.push(at.since_ms(rig.now));
        assert_eq!(rig.wake(), ["connect"]);
    }
    for (index, pause) in pauses.iter().enumerate() {
        let full = (100_u64 << index).min(5_000);
        assert!((full / 2..=full).contains(pause), "{index}: {pauses:?}");
    }
    // A welcome makes the next loss the first one again; being connected alone does not.
    rig.give(Input::Connected);
    rig.lose_link();
    let at = rig.machine.wake_at().expect("another try");
    assert!(at.since_ms(rig.now) > 100);
    rig.wake();
    rig.give(Input::Connected);
    rig.welcome(true);
    rig.lose_link();
    let at = rig.machine.wake_at().expect("another try");
    assert!(at.since_ms(rig.now) <= 100);
    // Other dice, other pauses.
    let mut other = Rig::new(WorkerKind::Coding);
    other.give(Input::Start);
    other.random = 17;
    other.lose_link();
    let pause = other.machine.wake_at().map(|at| at.since_ms(other.now));
    assert_ne!(pause, pauses.first().copied());
}

#[test]
fn waiting_for_a_scheduler_is_said_once_and_ends_at_the_limit() {
    let mut rig = Rig::new(WorkerKind::Coding);
    let start = rig.now;
    rig.give(Input::Start);
    let mut said = 0;
    loop {
        let lost = Input::Disconnected {
            reason: "no such file".to_owned(),
        };
        let effects = rig.raw(lost);
        said += effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Say(_)))
            .count();
        let next = rig.wake();
        if next != ["connect"] {
            assert_eq!(next, ["exit NoScheduler"]);
            break;
        }
    }
    assert_eq!(said, 1);
    assert_eq!(rig.now, start.plus_ms(ORPHAN_LIMIT_MS));
    assert_eq!(rig.give(Input::Tick), Vec::<String>::new(), "it is over");
}

#[test]
fn one_of_a_crew_with_nothing_at_hand_ends_soon_without_its_scheduler() {
    let lost = || Input::Disconnected {
        reason: "no such file".to_owned(),
    };
    let mut rig = Rig::new(WorkerKind::Coding);
    rig.machine.rules.crew = true;
    let start = rig.now;
    rig.give(Input::Start);
    rig.raw(lost());
    while rig.wake() == ["connect"] {
        rig.raw(lost());
    }
    assert_eq!(
        rig.now,
        start.plus_ms(super::super::CREW_IDLE_MS),
        "it never joined"
    );
    // What it works on keeps it, and so does a result that nobody has taken yet.
    let mut rig = Rig::at("session #5");
    rig.machine.rules.crew = true;
    rig.lose_link();
    assert_eq!(rig.machine.lonely_ms_max(), None);
    for step in [
        "session #5",
        "hook AfterRun",
        "commit",
        "rebase 1",
        "check #5",
    ] {
        rig.go_on(step);
    }
    rig.go_on("spool");
    assert_eq!(rig.machine.lonely_ms_max(), Some(ORPHAN_LIMIT_MS));
}

#[test]
fn a_session_outlives_the_orphan_limit_and_its_result_stays_in_the_spool() {
    let mut rig = Rig::at("session #5");
    rig.lose_link();
    rig.now = rig.now.plus_ms(ORPHAN_LIMIT_MS * 2);
    // The attempt's own limit is another matter.
    let mut patient = rig;
    if let Some(attempt) = patient.machine.attempt.as_mut() {
        attempt.clock.stop(Timestamp(0));
    }
    assert_eq!(patient.give(Input::Tick), ["connect"], "it does not end");
    patient.lose_link();
    for step in [
        "session #5",
        "hook AfterRun",
        "commit",
        "rebase 1",
        "check #5",
    ] {
        patient.go_on(step);
    }
    assert_eq!(patient.go_on("spool"), ["exit NoScheduler"]);
}

#[test]
fn a_silent_scheduler_is_given_up() {
    let mut rig = Rig::new(WorkerKind::Coding);
    rig.give(Input::Start);
    rig.give(Input::Connected);
    assert_eq!(rig.wake(), ["disconnect"]);
    assert_eq!(rig.wake(), ["connect"]);
}

#[test]
fn an_attempt_goes_on_without_a_link_and_is_held_on_return() {
    for point in &POINTS[..10] {
        let mut rig = Rig::at(point);
        rig.lose_link();
        assert_eq!(rig.wake(), ["connect"], "{point}");
        assert_eq!(rig.give(Input::Connected), ["hello a7"], "{point}");
        let welcomed = rig.welcome(true);
        if *point == "waiting" {
            assert_eq!(welcomed, ["report c mergeable"]);
        } else {
            assert_eq!(welcomed, Vec::<String>::new(), "{point}");
        }
    }
    // Answered: there is nothing to hold, and no job before the place is clean.
    let mut rig = Rig::at("clean");
    rig.lose_link();
    rig.wake();
    assert_eq!(rig.give(Input::Connected), ["hello -"]);
    assert_eq!(rig.welcome(true), Vec::<String>::new());
    assert_eq!(rig.go_on("clean"), ["ready"]);
}

#[test]
fn holding_refused_drops_the_attempt_without_a_report() {
    for point in WORK {
        let mut rig = Rig::at(point);
        rig.lose_link();
        assert_eq!(rig.reconnect(false), ["interrupt"], "{point}");
        let expected: &[&str] = match point {
            "make" => &["clean", "ready"],
            _ => &["preserve", "clean", "ready"],
        };
        assert_eq!(interrupted(&mut rig, point), expected, "{point}");
    }
    let mut rig = Rig::at("spool c mergeable");
    rig.lose_link();
    assert_eq!(rig.reconnect(false), Vec::<String>::new());
    let rest = rig.go_on("spool");
    assert_eq!(rig.run_on(rest), ["preserve", "clean", "ready"]);
    // Its result may have been accepted on the connection that was lost: ask.
    let mut rig = Rig::at("waiting");
    rig.lose_link();
    assert_eq!(rig.reconnect(false), ["report c mergeable"]);
    assert_eq!(rig.reported(Verdict::Passed), ["clean"]);
}

#[test]
fn cancel_gives_the_job_back_from_anywhere() {
    for point in WORK {
        let mut rig = Rig::at(point);
        assert_eq!(rig.cancel(), ["interrupt"], "{point}");
        assert_eq!(rig.cancel(), Vec::<String>::new(), "once is enough");
        let expected: &[&str] = match point {
            "make" => &["spool c released", "report c released"],
            _ => &["preserve", "spool c released", "report c released"],
        };
        assert_eq!(interrupted(&mut rig, point), expected, "{point}");
        let rest = rig.reported(Verdict::Recorded);
        assert_eq!(rig.run_on(rest), ["clean", "ready"], "{point}");
    }
    let released = ["preserve", "spool c released", "report c released"];
    let mut rig = Rig::at("spool c mergeable");
    assert_eq!(rig.cancel(), Vec::<String>::new());
    let rest = rig.go_on("spool");
    assert_eq!(rig.run_on(rest), released);
    let mut rig = Rig::at("waiting");
    let rest = rig.cancel();
    assert_eq!(rig.run_on(rest), released);
    let mut rig = Rig::at("clean");
    assert_eq!(rig.cancel(), Vec::<String>::new());
}

#[test]
fn the_first_signal_drains() {
    let mut rig = Rig::new(WorkerKind::Coding);
    rig.give(Input::Start);
    assert_eq!(rig.give(Input::Signal), ["exit Drained"]);
    let mut rig = Rig::ready(WorkerKind::Coding);
    assert_eq!(rig.give(Input::Signal), ["leaving", "exit Drained"]);
    for point in POINTS {
        let mut rig = Rig::at(point);
        assert_eq!(rig.give(Input::Signal), Vec::<String>::new(), "{point}");
        let from = POINTS.iter().position(|other| *other == point);
        let mut last = Vec::new();
        for step in &POINTS[from.expect("a point")..] {
            last = rig.go_on(step);
        }
        assert_eq!(last, ["leaving", "exit Drained"], "{point}");
    }
}

#[test]
fn the_second_signal_stops_now_and_gives_the_job_back() {
    for point in WORK {
        let mut rig = Rig::at(point);
        rig.give(Input::Signal);
        assert_eq!(rig.give(Input::Signal), ["interrupt"], "{point}");
        let effects = interrupted(&mut rig, point);
        let sent = effects.last().map(String::as_str);
        assert_eq!(sent, Some("report c released"), "{point}");
        let rest = rig.reported(Verdict::Recorded);
        let expected = ["clean", "leaving", "exit Interrupted"];
        assert_eq!(rig.run_on(rest), expected, "{point}");
    }
    // The third one waits for nothing.
    let mut rig = Rig::at("session #5");
    rig.give(Input::Signal);
    rig.give(Input::Signal);
    let expected = ["leaving", "exit Interrupted"];
    assert_eq!(rig.give(Input::Signal), expected);
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let stop = || SchedulerMessage::Stop {
        reason: EndReason::RunOver,
    };
    // For a step that does not end, and for an answer that does not come.
    for point in ["session #5", "waiting"] {
        let mut rig = Rig::at(point);
        let start = rig.now;
        rig.hear(stop());
        let mut effects = rig.wake();
        while effects.is_empty() {
            effects = rig.wake();
        }
        assert_eq!(effects, ["leaving", "exit Stopped"], "{point}");
        assert_eq!(rig.now, start.plus_ms(STOP_LIMIT_MS));
    }
    // Without a link there is nobody to answer: results stay in the spool, returns are pointless.
    let mut rig = Rig::at("waiting");
    rig.hear(stop());
    assert_eq!(rig.lose_link(), ["exit Stopped"]);
    let mut rig = Rig::at("session #5");
    rig.lose_link();
    rig.give(Input::Signal);
    assert_eq!(rig.give(Input::Signal), ["interrupt"]);
    let expected = ["preserve", "clean", "exit Interrupted"];
    assert_eq!(interrupted(&mut rig, "session #5"), expected);
    // Idle.
    let mut rig = Rig::ready(WorkerKind::Testing);
    assert_eq!(rig.hear(stop()), ["leaving", "exit Stopped"]);
    // A rebase is no longer worth it.
    let mut rig = Rig::at("waiting");
    rig.hear(stop());
    let rest = rig.rebase(3);
    let expected = ["preserve", "spool c released", "report c released"];
    assert_eq!(rig.run_on(rest), expected);
}

#[test]
fn a_worker_that_cannot_clean_up_ends_and_leaves_it_to_another() {
    let mut rig = Rig::at("clean");
    let start = rig.now;
    let mut effects = rig.wake();
    while effects.is_empty() {
        effects = rig.wake();
    }
    let reason = "cleaning up after an attempt does not finish".to_owned();
    let exit = format!("exit {:?}", Exit::Failed(reason));
    assert_eq!(effects, ["leaving".to_owned(), exit]);
    assert_eq!(rig.now, start.plus_ms(600_000));
}

/// A git that hangs on a dead disk, in a round of rebasing whose attempt is over: the scheduler has
/// forgotten it, and nobody else would notice.
#[test]
fn a_worker_whose_step_never_ends_does_not_outlive_the_attempt_for_ever() {
    let mut rig = Rig::at("waiting");
    assert_eq!(rig.rebase(3), ["rebase 3"]);
    let start = rig.now;
    assert_eq!(rig.reported(Verdict::Recorded), ["interrupt"]);
    let mut effects = rig.wake();
    while !effects.contains(&"leaving".to_owned()) {
        assert!(rig.now <= start.plus_ms(600_000), "{effects:?}");
        effects = rig.wake();
    }
    assert_eq!(rig.now, start.plus_ms(600_000));
}

#[test]
fn refused_by_the_scheduler() {
    let problem = || Problem::new("another version", "");
    let refused = || SchedulerMessage::Refused(problem());
    let mut rig = Rig::new(WorkerKind::Coding);
    rig.give(Input::Start);
    rig.give(Input::Connected);
    let exit = format!("exit {:?}", Exit::Refused(problem()));
    assert_eq!(rig.hear(refused()), [exit.as_str()]);
    let mut rig = Rig::at("session #5");
    rig.lose_link();
    rig.wake();
    rig.give(Input::Connected);
    assert_eq!(rig.hear(refused()), ["interrupt"]);
    let expected = ["preserve", "clean", exit.as_str()];
    assert_eq!(interrupted(&mut rig, "session #5"), expected);
}

#[test]
fn what_dead_workers_left_is_dealt_with_before_the_first_job() {
    let spooled = AttemptReport {
        attempt: AttemptId(7),
        command: CommandId(42),
        report: Report::Released {
            detail: String::new(),
            reason: "test".into(),
        },
        usage: Usage::default(),
        workless: false,
    };
    let leftover = |attempt, report| Leftover {
        attempt: AttemptId(attempt),
        kind: WorkerKind::Coding,
        report,
    };
    let leftover = vec![leftover(4, None), leftover(7, Some(spooled))];
    let mut rig = Rig::with_leftovers(WorkerKind::Coding, leftover.clone());
    assert_eq!(rig.give(Input::Start), ["connect", "clean"]);
    let cleaned = Input::Done(Done {
        attempt: AttemptId(4),
        result: Ok(Finished::Cleaned),
    });
    assert_eq!(rig.give(cleaned), Vec::<String>::new());
    assert_eq!(rig.give(Input::Connected), ["hello -"], "it was another's");
    let welcome = SchedulerMessage::Welcome {
        worker: WorkerId(3),
        name: "worker-1".to_owned(),
        epoch: Epoch(1),
        holding_accepted: true,
    };
    let effects = rig.raw(Input::Message(welcome));
    let report = report_in(&effects).expect("a report");
    assert_eq!(
        report.command,
        CommandId(42),
        "the dead worker's own command"
    );
    let rest = rig.reported(Verdict::Late);
    assert_eq!(rig.run_on(rest), ["clean", "ready"]);

    // A signal leaves it to the next worker.
    let mut rig = Rig::with_leftovers(WorkerKind::Coding, leftover[1..].to_vec());
    rig.give(Input::Start);
    assert_eq!(rig.give(Input::Signal), ["exit Drained"]);
}

#[test]
fn a_connected_worker_is_never_silent_for_long() {
    let idle = || ("idle", Rig::ready(WorkerKind::Testing));
    let rigs = POINTS.iter().map(|&point| (point, Rig::at(point)));
    for (point, mut rig) in rigs.chain([idle()]) {
        if let Some(attempt) = rig.machine.attempt.as_mut() {
            attempt.clock.stop(Timestamp(0));
        }
        let mut said_at = rig.now;
        for _ in 0..10 {
            let at = rig.machine.wake_at().expect("a heartbeat");
            assert!(at.since_ms(said_at) <= HEARTBEAT_MS, "{point}");
            rig.now = at;
            let effects = rig.raw(Input::Tick);
            if effects
                .iter()
                .any(|effect| matches!(effect, Effect::Send(_)))
            {
                said_at = at;
            }
        }
        assert!(said_at.since_ms(Timestamp(1_000_000)) >= 90_000, "{point}");
    }
    // Nobody hears a beat without a link.
    let mut rig = Rig::at("session #5");
    rig.lose_link();
    rig.now = rig.now.plus_ms(40_000);
    let effects = rig.raw(Input::Tick);
    let beats = |effect: &Effect| matches!(effect, Effect::Send(WorkerMessage::Heartbeat));
    assert!(!effects.iter().any(beats));
}
