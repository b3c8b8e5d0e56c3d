//! Attempts, from the job to the report and its answer.

use super::*;
use crate::model::evidence::Basis;
use crate::model::report::TestVerdict;
use crate::model::trouble::TroubleKind;
use crate::worker::verdict::Claim;

fn complete(rig: &mut Rig) -> Vec<String> {
    rig.done(Finished::Session(Box::new(session(SessionEnd::Completed))))
}

fn through_hooks(rig: &mut Rig) -> Vec<String> {
    assert_eq!(
        rig.done(Finished::Made(RebasedCommit::default())),
        ["hook AfterCreate"]
    );
    assert_eq!(rig.done(Finished::Hooked), ["hook BeforeRun"]);
    rig.done(Finished::Hooked)
}

#[test]
fn an_undisturbed_attempt_ends_merged_and_ready() {
    let mut rig = Rig::at("clean");
    assert_eq!(rig.go_on("clean"), ["ready"]);
}

#[test]
fn the_report_is_spooled_first_and_keeps_its_command_until_answered() {
    let mut rig = Rig::at("check #5");
    let done = Done {
        attempt: ATTEMPT,
        result: Ok(Finished::Checked(vec![checks(5, &[0])])),
    };
    let effects = rig.raw(Input::Done(done));
    let spooled = spooled_in(&effects).expect("a spooled result");
    assert!(report_in(&effects).is_none(), "not before it is synced");
    assert_eq!(spooled.usage.input_tokens, 10);
    let done = Done {
        attempt: ATTEMPT,
        result: Ok(Finished::Spooled),
    };
    let effects = rig.raw(Input::Done(done));
    let first = report_in(&effects).expect("a report");
    assert_eq!(first, spooled);
    for _ in 0..3 {
        rig.lose_link();
        rig.wake();
        rig.give(Input::Connected);
        let welcome = SchedulerMessage::Welcome {
            worker: WorkerId(3),
            name: "worker-1".to_owned(),
            epoch: Epoch(1),
            holding_accepted: true,
        };
        let effects = rig.raw(Input::Message(welcome));
        assert_eq!(report_in(&effects).as_ref(), Some(&first));
    }
    assert_eq!(rig.reported(Verdict::Passed), ["clean"]);
}

#[test]
fn rebase_rounds_report_anew() {
    let mut rig = Rig::at("waiting");
    let mut commands = Vec::new();
    for round in 3..6 {
        assert_eq!(rig.rebase(round), [format!("rebase {round}")]);
        assert_eq!(rig.done(Finished::Rebased(rebased(round, 8))), ["check #5"]);
        let checked = rig.done(Finished::Checked(vec![checks(5, &[0])]));
        assert_eq!(checked, ["spool c mergeable"]);
        let done = Done {
            attempt: ATTEMPT,
            result: Ok(Finished::Spooled),
        };
        let effects = rig.raw(Input::Done(done));
        let report = report_in(&effects).expect("a report");
        assert_eq!(report.usage.input_tokens, 10, "what it has used in all");
        let Report::Mergeable(mergeable) = &report.report else {
            panic!("{report:?}");
        };
        assert_eq!(mergeable.onto, commit(round));
        commands.push(report.command);
    }
    commands.dedup();
    assert_eq!(commands.len(), 3);
    // A check that fails after the rebase is an outcome like any other.
    rig.rebase(6);
    rig.done(Finished::Rebased(rebased(6, 8)));
    let rest = rig.done(Finished::Checked(vec![checks(5, &[1])]));
    let expected = ["preserve", "spool c failed", "report c failed"];
    assert_eq!(rig.run_on(rest), expected);
}

#[test]
fn a_rebase_ordered_for_an_earlier_report_is_ignored() {
    let mut rig = Rig::at("waiting");
    let attempt = rig.machine.attempt.as_ref();
    let first = attempt.and_then(|one| Some(one.report()?.command));
    let again = || SchedulerMessage::Rebase {
        command: first.expect("a report"),
        attempt: ATTEMPT,
        onto: commit(4),
    };
    assert_eq!(rig.hear(again()), ["rebase 4"]);
    assert_eq!(rig.hear(again()), Vec::<String>::new());
    rig.done(Finished::Rebased(rebased(4, 8)));
    rig.done(Finished::Checked(vec![checks(5, &[0])]));
    rig.done(Finished::Spooled);
    // The first report arrived twice, so its answer does, too.
    assert_eq!(rig.hear(again()), Vec::<String>::new());
    assert_eq!(rig.rebase(5), ["rebase 5"]);
}

#[test]
fn every_step_that_fails_ends_the_attempt() {
    let table = [
        ("make", FailureKind::Setup, false),
        ("hook AfterCreate", FailureKind::HookFailed, true),
        ("hook BeforeRun", FailureKind::HookFailed, true),
        ("session #5", FailureKind::Setup, true),
        ("hook AfterRun", FailureKind::HookFailed, true),
        ("commit", FailureKind::Setup, true),
        ("rebase 1", FailureKind::Conflict, true),
        ("check #5", FailureKind::Setup, true),
    ];
    for (point, kind, made) in table {
        let mut rig = Rig::at(point);
        let rest = rig.result(Err(failure(kind)));
        let spooled = rig
            .machine
            .attempt
            .as_ref()
            .and_then(|one| one.report().cloned());
        let Some(Report::Failed { failures, .. }) = spooled.map(|spooled| spooled.report) else {
            panic!("{point}");
        };
        assert_eq!(failures, [(FeatureId(5), failure(kind))], "{point}");
        let mut expected = vec!["spool c failed", "report c failed"];
        if made {
            expected.insert(0, "preserve");
        }
        assert_eq!(rig.run_on(rest), expected, "{point}");
        let rest = rig.reported(Verdict::Recorded);
        assert_eq!(rig.run_on(rest), ["clean", "ready"], "{point}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_never_reported() {
    let mut rig = Rig::at("spool c mergeable");
    let effects = rig.result(Err(failure(FailureKind::Setup)));
    let [leaving, exit] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(leaving, "leaving");
    assert!(exit.starts_with("exit Failed"), "{exit}");
}

#[test]
fn work_that_cannot_be_preserved_stays_where_it_is() {
    let mut rig = Rig::at("commit");
    let effects = rig.result(Err(failure(FailureKind::Setup)));
    assert_eq!(effects, ["preserve"]);
    let effects = rig.result(Err(failure(FailureKind::Setup)));
    assert_eq!(rig.run_on(effects), ["spool c failed", "report c failed"]);
    assert_eq!(
        rig.reported(Verdict::Recorded),
        ["ready"],
        "nothing removed"
    );
}

#[test]
fn late_work_is_preserved() {
    for verdict in [Verdict::Late, Verdict::Recorded] {
        let mut rig = Rig::at("waiting");
        let rest = rig.reported(verdict);
        assert_eq!(rig.run_on(rest), ["preserve", "clean", "ready"]);
    }
}

#[test]
fn the_time_limit_covers_the_attempt_but_not_the_waiting() {
    let mut rig = Rig::at("session #5");
    rig.now = rig.now.plus_ms(50_000);
    assert_eq!(rig.give(Input::Tick), ["interrupt"]);
    assert_eq!(rig.give(Input::Tick), Vec::<String>::new());
    // Whatever the interrupted agent says now, its time was up.
    let effects = complete(&mut rig);
    let report = rig
        .machine
        .attempt
        .as_ref()
        .and_then(|one| one.report().cloned());
    let Some(Report::Failed { failures, .. }) = report.map(|spooled| spooled.report) else {
        panic!("{effects:?}");
    };
    assert_eq!(failures[0].1.kind, FailureKind::TimeLimit);
    assert!(failures[0].1.reason.contains("50 s"), "{failures:?}");

    // Also where it says that it was cancelled, as it was; not where it crashed before.
    let ends = [
        (SessionEnd::Cancelled, FailureKind::TimeLimit),
        (SessionEnd::Crashed, FailureKind::AgentCrashed),
    ];
    for (end, kind) in ends {
        let mut rig = Rig::at("session #5");
        rig.now = rig.now.plus_ms(50_000);
        rig.give(Input::Tick);
        rig.done(Finished::Session(Box::new(session(end))));
        let attempt = rig.machine.attempt.as_ref();
        let report = attempt.and_then(|one| one.report().cloned());
        let Some(Report::Failed { failures, .. }) = report.map(|spooled| spooled.report) else {
            panic!("{end:?}");
        };
        assert_eq!(failures[0].1.kind, kind, "{end:?}");
    }

    // A hundred seconds of waiting for the scheduler do not count; what was left before does.
    let mut rig = Rig::at("check #5");
    rig.now = rig.now.plus_ms(20_000);
    rig.go_on("check #5");
    rig.go_on("spool");
    rig.now = rig.now.plus_ms(100_000);
    assert_eq!(rig.give(Input::Tick), Vec::<String>::new());
    assert_eq!(rig.rebase(3), ["rebase 3"]);
    rig.now = rig.now.plus_ms(29_999);
    assert_eq!(rig.give(Input::Tick), Vec::<String>::new());
    rig.now = rig.now.plus_ms(1);
    assert_eq!(rig.give(Input::Tick), ["interrupt"]);
}

#[test]
fn a_provider_that_gave_no_answer_explains_the_time_that_runs_out_afterwards() {
    let mut rig = Rig::at("session #5");
    let mut silent = session(SessionEnd::Cancelled);
    silent.failure = Some(FailureKind::Trouble(TroubleKind::Provider));
    let effects = rig.done(Finished::Session(Box::new(silent)));
    assert_eq!(effects, ["hook AfterRun"]);
    rig.now = rig.now.plus_ms(50_000);
    assert_eq!(rig.give(Input::Tick), ["interrupt"]);
    rig.done(Finished::Hooked);
    let attempt = rig.machine.attempt.as_ref();
    let report = attempt.and_then(|one| one.report().cloned());
    let Some(Report::Failed { failures, .. }) = report.map(|spooled| spooled.report) else {
        panic!("no failure");
    };
    let kind = FailureKind::Trouble(TroubleKind::Provider);
    assert_eq!(failures[0].1.kind, kind);
}

#[test]
fn usage_that_was_not_told_is_told_by_the_next_report() {
    let mut rig = Rig::at("hook AfterRun");
    rig.lose_link();
    rig.result(Err(failure(FailureKind::HookFailed)));
    rig.go_on("preserve");
    rig.go_on("spool");
    // Never sent, and called off when the link is back: only the return is reported.
    let cancel = SchedulerMessage::Cancel {
        attempt: ATTEMPT,
        reason: "skipped".into(),
    };
    let effects = rig.raw(Input::Message(cancel));
    let spooled = spooled_in(&effects).expect("a spooled return");
    assert_eq!(spooled.usage.input_tokens, 10);
}

#[test]
fn a_session_that_fails_explains_what_failed_after_it() {
    let mut rig = Rig::at("session #5");
    let mut ended = session(SessionEnd::Limited);
    ended.limited_until = Some(Timestamp(5));
    rig.done(Finished::Session(Box::new(ended)));
    rig.result(Err(failure(FailureKind::HookFailed)));
    let spooled = rig
        .machine
        .attempt
        .as_ref()
        .and_then(|one| one.report().cloned());
    let Some(Report::Failed {
        failures,
        limited_until,
    }) = spooled.map(|spooled| spooled.report)
    else {
        panic!("no failure");
    };
    assert_eq!(failures[0].1.kind, FailureKind::ProviderLimited);
    assert_eq!(limited_until, Some(Timestamp(5)));
}

#[test]
fn a_feature_without_checks_passes_on_the_agents_word() {
    let mut rig = Rig::ready(WorkerKind::Coding);
    rig.job(vec![feature(5, &[])]);
    through_hooks(&mut rig);
    complete(&mut rig);
    rig.done(Finished::Hooked);
    assert_eq!(rig.done(Finished::Committed), ["rebase 1"]);
    let done = Done {
        attempt: ATTEMPT,
        result: Ok(Finished::Rebased(rebased(1, 1))),
    };
    let effects = rig.raw(Input::Done(done));
    let Some(Report::Mergeable(mergeable)) = spooled_in(&effects).map(|one| one.report) else {
        panic!("{effects:?}");
    };
    assert_eq!(mergeable.commit, mergeable.onto, "nothing was changed");
    assert_eq!(mergeable.evidence[0].1.basis, Basis::AgentWord);
}

#[test]
fn a_test_runs_checks_and_asks_an_agent_only_about_the_rest() {
    let mut rig = Rig::ready(WorkerKind::Testing);
    rig.job(vec![feature(5, &["make test"]), feature(6, &[])]);
    assert_eq!(through_hooks(&mut rig), ["check #5"]);
    let checked = rig.done(Finished::Checked(vec![checks(5, &[0])]));
    assert_eq!(checked, ["session #6"]);
    let mut ended = session(SessionEnd::Completed);
    ended.verdict.claims = vec![(FeatureId(6), Claim::Fail("broken".to_owned()))];
    let hook = rig.done(Finished::Session(Box::new(ended)));
    assert_eq!(hook, ["hook AfterRun"]);
    let effects = rig.settled(Ok(Finished::Hooked));
    let Some(Report::Tested { verdicts, .. }) = spooled_in(&effects).map(|one| one.report) else {
        panic!("{effects:?}");
    };
    assert!(matches!(
        verdicts[0],
        (FeatureId(5), TestVerdict::Passed(_))
    ));
    assert!(matches!(
        verdicts[1],
        (FeatureId(6), TestVerdict::Broken(_))
    ));
    assert_eq!(words(&effects), ["spool c tested"], "nothing to preserve");
}

#[test]
fn a_test_that_fails_itself_says_nothing_about_the_rest() {
    let mut rig = Rig::ready(WorkerKind::Testing);
    rig.job(vec![feature(5, &["make test"]), feature(6, &[])]);
    through_hooks(&mut rig);
    rig.done(Finished::Checked(vec![checks(5, &[3])]));
    let mut ended = session(SessionEnd::Crashed);
    ended.failure = Some(FailureKind::IdleLimit);
    rig.done(Finished::Session(Box::new(ended)));
    let effects = rig.settled(Err(failure(FailureKind::HookFailed)));
    let Some(Report::Tested { verdicts, .. }) = spooled_in(&effects).map(|one| one.report) else {
        panic!("{effects:?}");
    };
    let [
        (_, TestVerdict::Broken(first)),
        (_, TestVerdict::Inconclusive(second)),
    ] = verdicts.as_slice()
    else {
        panic!("{verdicts:?}");
    };
    assert_eq!(first.kind, FailureKind::CheckFailed);
    assert_eq!(second.kind, FailureKind::IdleLimit);
}

#[test]
fn a_coding_worker_takes_a_test() {
    let mut rig = Rig::ready(WorkerKind::Coding);
    let test = offer(WorkerKind::Testing, vec![feature(5, &["make test"])]);
    let effects = rig.hear(SchedulerMessage::Job(Box::new(test)));
    assert_eq!(effects, ["make"]);
    assert_eq!(through_hooks(&mut rig), ["check #5"]);
    let checked = rig.done(Finished::Checked(vec![checks(5, &[0])]));
    assert_eq!(checked, ["hook AfterRun"]);
    assert_eq!(rig.done(Finished::Hooked), ["spool c tested"]);
}

#[test]
fn a_job_that_does_not_fit_is_given_back() {
    for (own, features) in [
        (WorkerKind::Coding, vec![]),
        (WorkerKind::Testing, vec![feature(5, &[])]),
    ] {
        let mut rig = Rig::ready(own);
        let wrong = Box::new(offer(WorkerKind::Coding, features));
        let rest = rig.hear(SchedulerMessage::Job(wrong));
        assert_eq!(rig.run_on(rest), ["spool c released", "report c released"]);
        let rest = rig.reported(Verdict::Recorded);
        assert_eq!(rig.run_on(rest), ["clean", "ready"]);
    }
}

#[test]
fn words_about_other_attempts_change_nothing() {
    let other = AttemptId(99);
    for point in POINTS {
        let mut rig = Rig::at(point);
        let messages = [
            SchedulerMessage::Rebase {
                command: CommandId(1),
                attempt: other,
                onto: commit(3),
            },
            SchedulerMessage::Cancel {
                attempt: other,
                reason: "".into(),
            },
            SchedulerMessage::Reported {
                command: CommandId(1),
                attempt: other,
                verdict: Verdict::Passed,
                acknowledged: Sequence(1),
            },
        ];
        for message in messages {
            assert_eq!(rig.hear(message), Vec::<String>::new(), "{point}");
        }
        let done = Input::Done(Done {
            attempt: other,
            result: Ok(Finished::Cleaned),
        });
        assert_eq!(rig.give(done), Vec::<String>::new(), "{point}");
        let second_job = rig.job(vec![feature(5, &[])]);
        assert_eq!(second_job, Vec::<String>::new(), "{point}");
    }
}
