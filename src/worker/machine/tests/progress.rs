//! What a worker says of an attempt's progress, on which the scheduler relies.

use super::*;
use crate::protocol::Phase;

#[test]
fn progress_is_said_four_times_a_second_at_most() {
    let mut rig = Rig::at("session #5");
    let progress = |effects: Vec<Effect>| {
        effects
            .into_iter()
            .filter(|effect| matches!(effect, Effect::Send(WorkerMessage::Progress { .. })))
            .count()
    };
    let mut sent = 0;
    for _ in 0..990 {
        rig.now = rig.now.plus_ms(1);
        let long = Input::Activity(activity("é".repeat(300)));
        sent += progress(rig.raw(long));
    }
    assert!((3..=4).contains(&sent), "{sent} in a second");
    // The last one is said, late, and then there is silence.
    let at = rig.machine.wake_at().expect("something unsaid");
    assert!(at.since_ms(rig.now) <= 250);
    rig.now = at;
    assert_eq!(progress(rig.raw(Input::Tick)), 1);
    rig.now = rig.now.plus_ms(1_000);
    assert_eq!(progress(rig.raw(Input::Tick)), 0);
    // Nothing is said to nobody.
    rig.lose_link();
    assert_eq!(
        progress(rig.raw(Input::Activity(activity("x".to_owned())))),
        0
    );
}

/// A phase beyond the session says that the agent has worked, and lets others go. An agent that ended
/// its turn without a word or a deed may have had no provider, which the checks show.
#[test]
fn an_agent_that_has_done_nothing_gets_no_further_than_its_session() {
    for worked in [true, false] {
        let mut rig = Rig::at("session #5");
        let mut ended = session(SessionEnd::Completed);
        ended.seen = match worked {
            true => WORKED,
            false => Seen {
                started: true,
                ..Seen::default()
            },
        };
        let mut phases = Vec::new();
        let mut note = |effects: Vec<Effect>| {
            phases.extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Send(WorkerMessage::Progress { phase, .. }) => Some(phase),
                _ => None,
            }));
        };
        note(rig.raw(Input::Activity(activity("runs".to_owned()))));
        for finished in [
            Finished::Session(Box::new(ended)),
            Finished::Hooked,
            Finished::Committed,
            Finished::Rebased(rebased(1, 2)),
            Finished::Checked(vec![checks(5, &[1])]),
        ] {
            let result = Ok(finished);
            let attempt = ATTEMPT;
            note(rig.raw(Input::Done(Done { attempt, result })));
            rig.now = rig.now.plus_ms(1_000);
            note(rig.raw(Input::Tick));
        }
        let furthest = match worked {
            true => Phase::Checking,
            false => Phase::Session,
        };
        assert_eq!(phases.into_iter().max(), Some(furthest));
    }
}

/// Steps of an earlier attempt's agent say nothing about the present one, which may get no answer.
#[test]
fn a_new_attempt_begins_without_steps() {
    let steps = |effects: Vec<Effect>| -> Vec<u32> {
        let said = effects.into_iter().filter_map(|effect| match effect {
            Effect::Send(WorkerMessage::Progress { steps, .. }) => Some(steps),
            _ => None,
        });
        said.collect()
    };
    let works = || {
        let line = "works".to_owned();
        Input::Activity(Activity { line, steps: 3 })
    };
    for kind in [WorkerKind::Coding, WorkerKind::Testing] {
        let mut rig = Rig::at("session #5");
        assert_eq!(steps(rig.raw(works())), [3]);
        for point in &POINTS[3..] {
            rig.go_on(point);
        }
        rig.now = rig.now.plus_ms(1_000);
        let offer = Box::new(offer(kind, vec![feature(5, &["make test"])]));
        let effects = rig.raw(Input::Message(SchedulerMessage::Job(offer)));
        assert_eq!(steps(effects), [0], "{kind:?}");
        // Up to the last step before the session, a test's checks.
        for point in &POINTS[..3] {
            // The line of a hook or a check comes with the steps that were seen last.
            rig.now = rig.now.plus_ms(1_000);
            assert_eq!(steps(rig.raw(works())), [0], "{kind:?}");
            if kind == WorkerKind::Testing {
                rig.go_on(point);
            }
        }
    }
}
