//! Attempts that end while the run does.

use super::*;
use crate::model::end_reason::EndReason;
use crate::model::report::TestVerdict;
use crate::worker::machine::ending::SETTLE_MS;

/// How a worker learns that it is to end.
const ENDS: [fn() -> Input; 3] = [
    || Input::Signal,
    || {
        let reason = EndReason::SchedulerEnding;
        Input::Message(SchedulerMessage::Drain { reason })
    },
    || {
        let reason = EndReason::SchedulerStopped;
        Input::Message(SchedulerMessage::Stop { reason })
    },
];

/// Failures that a signal to every process brings about, and where they show.
fn failures() -> Vec<(&'static str, Result<Finished, Failure>)> {
    let crashed = |end| Ok(Finished::Session(Box::new(session(end))));
    vec![
        ("make", Err(failure(FailureKind::Setup))),
        ("hook BeforeRun", Err(failure(FailureKind::HookFailed))),
        ("session #5", crashed(SessionEnd::Crashed)),
        ("session #5", crashed(SessionEnd::NoTerminalEvent)),
        ("session #5", crashed(SessionEnd::Cancelled)),
        ("commit", Err(failure(FailureKind::Setup))),
        ("check #5", Ok(Finished::Checked(vec![checks(5, &[143])]))),
        ("check #5", Ok(Finished::Checked(vec![checks(5, &[2])]))),
    ]
}

/// Goes on until a report is written down; its word.
fn spooled(rig: &mut Rig, mut effects: Vec<String>) -> String {
    for _ in 0..4 {
        if let Some(spool) = effects.iter().find(|it| it.starts_with("spool")) {
            return spool.trim_start_matches("spool c ").to_owned();
        }
        effects = match effects.last().map(String::as_str) {
            Some("preserve") => rig.go_on("preserve"),
            Some("hook AfterRun") => rig.unsettled(Ok(Finished::Hooked)),
            other => panic!("nothing is written down: {other:?}"),
        };
    }
    panic!("nothing is written down")
}

#[test]
fn a_failure_counts_when_nobody_ends_the_run() {
    for (point, result) in failures() {
        let mut rig = Rig::at(point);
        let effects = match rig.unsettled(result.clone()) {
            after if after == ["hook AfterRun"] => rig.unsettled(Ok(Finished::Hooked)),
            effects => effects,
        };
        assert!(effects.is_empty(), "{point}: it is held back: {effects:?}");
        let until = rig.now.plus_ms(SETTLE_MS);
        let wake_at = rig.machine.wake_at().expect("a time");
        assert!(wake_at <= until, "{point}");
        rig.now = until;
        let effects = rig.give(Input::Tick);
        assert_eq!(spooled(&mut rig, effects), "failed", "{point} {result:?}");
    }
}

#[test]
fn a_failure_is_given_back_when_the_worker_is_told_to_end_right_after_it() {
    for end in ENDS {
        for (point, result) in failures() {
            let mut rig = Rig::at(point);
            if rig.unsettled(result.clone()) == ["hook AfterRun"] {
                rig.unsettled(Ok(Finished::Hooked));
            }
            rig.now = rig.now.plus_ms(SETTLE_MS - 1);
            let effects = rig.give(end());
            assert_eq!(spooled(&mut rig, effects), "released", "{point} {result:?}");
        }
    }
}

#[test]
fn a_failure_is_given_back_when_the_worker_was_told_to_end_before() {
    // A stop interrupts the step by itself, so that only the others are of interest.
    for end in ENDS.into_iter().take(2) {
        for (point, result) in failures() {
            let mut rig = Rig::at(point);
            rig.give(end());
            let effects = rig.unsettled(result.clone());
            assert_eq!(spooled(&mut rig, effects), "released", "{point} {result:?}");
        }
    }
}

#[test]
fn what_says_something_in_any_case_is_said_at_once_and_stands() {
    let limited = || {
        let mut limited = session(SessionEnd::Limited);
        limited.limited_until = Some(Timestamp(5));
        Ok(Finished::Session(Box::new(limited)))
    };
    for ending in [false, true] {
        let mut rig = Rig::at("session #5");
        if ending {
            rig.give(Input::Signal);
        }
        assert_eq!(rig.unsettled(limited()), ["hook AfterRun"]);
        let effects = rig.unsettled(Ok(Finished::Hooked));
        assert_eq!(spooled(&mut rig, effects), "failed");
        let mut rig = Rig::at("rebase 1");
        let effects = rig.unsettled(Err(failure(FailureKind::Conflict)));
        assert_eq!(spooled(&mut rig, effects), "failed");
    }
}

#[test]
fn a_test_that_is_ended_finds_nothing_broken() {
    for ending in [false, true] {
        let mut rig = Rig::ready(WorkerKind::Testing);
        rig.job(vec![feature(5, &["make 5"]), feature(6, &["make 6"])]);
        rig.done(Finished::Made(rebased(1, 1)));
        rig.done(Finished::Hooked);
        rig.done(Finished::Hooked);
        if ending {
            rig.give(Input::Signal);
        }
        let both = Finished::Checked(vec![checks(5, &[0]), checks(6, &[143])]);
        assert_eq!(rig.unsettled(Ok(both)), ["hook AfterRun"]);
        rig.result(Ok(Finished::Hooked));
        let attempt = rig.machine.attempt.as_ref().expect("an attempt");
        let spooled = attempt.report().cloned().expect("a report");
        let Report::Tested { verdicts, .. } = spooled.report else {
            panic!("{spooled:?}");
        };
        let words = verdicts.iter().map(|(id, verdict)| match verdict {
            TestVerdict::Passed(_) => (id.0, "passed"),
            TestVerdict::Broken(_) => (id.0, "broken"),
            TestVerdict::Inconclusive(_) => (id.0, "inconclusive"),
        });
        let expected: &[_] = match ending {
            true => &[(5, "passed")],
            false => &[(5, "passed"), (6, "broken")],
        };
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }
}
