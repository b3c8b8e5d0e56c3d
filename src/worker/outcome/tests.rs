//! Tables: how a session ended, what the agent claims, what the checks say; and what follows.

use super::*;
use crate::model::evidence::CheckEnd;
use crate::model::feature::FeatureSpec;
use crate::model::ids::ContentHash;
use crate::model::trouble::TroubleKind;
use crate::worker::verdict::Claims;
use CheckEnd::{Exited, Signalled, TimedOut};

fn feature(id: u32, checks: &[&str]) -> JobFeature {
    JobFeature {
        id: FeatureId(id),
        spec: FeatureSpec {
            checks: checks.iter().map(ToString::to_string).collect(),
            ..FeatureSpec::default()
        },
        regressed: false,
        regression: None,
        previous_failures: Vec::new(),
        answers: Vec::new(),
    }
}

fn session(end: SessionEnd, failure: Option<FailureKind>, verdict: Reading) -> SessionResult {
    SessionResult {
        end,
        failure,
        detail: "HTTP 400\n".to_owned(),
        limited_until: Some(Timestamp(9)),
        usage: Usage::default(),
        verdict,
        seen: Seen {
            started: true,
            steps: 1,
            said: true,
            busy: false,
            worked: true,
        },
    }
}

fn checked(feature: u32, ends: &[CheckEnd]) -> FeatureChecks {
    let run = |end: &CheckEnd| CheckRun {
        command: "make test".to_owned(),
        end: *end,
        duration_ms: 1,
        output: ContentHash::default(),
    };
    FeatureChecks {
        feature: FeatureId(feature),
        runs: ends.iter().map(run).collect(),
        tail: "2 of 3 failed".to_owned(),
        removed: Vec::new(),
        killed: ends.contains(&CheckEnd::Signalled(9)),
    }
}

#[test]
fn every_end_of_a_session_has_its_kind_of_failure() {
    use SessionEnd as S;
    let table = [
        (S::Completed, None, None),
        (S::Limited, None, Some(FailureKind::ProviderLimited)),
        (S::Overloaded, None, Some(FailureKind::ProviderLimited)),
        (S::AuthFailed, None, Some(FailureKind::ProviderRefused)),
        (S::QuotaExhausted, None, Some(FailureKind::QuotaExhausted)),
        (S::ContextOverflow, None, Some(FailureKind::ContextOverflow)),
        (S::TurnOrBudgetCap, None, Some(FailureKind::TurnOrBudgetCap)),
        (S::Cancelled, None, Some(FailureKind::AgentGaveUp)),
        (S::Crashed, None, Some(FailureKind::AgentCrashed)),
        (S::NoTerminalEvent, None, Some(FailureKind::NoTerminalEvent)),
        (S::Refused, None, Some(FailureKind::Refused)),
        (
            S::Cancelled,
            Some(FailureKind::IdleLimit),
            Some(FailureKind::IdleLimit),
        ),
        // An agent that ends well when it is told to end was ended anyway.
        (
            S::Completed,
            Some(FailureKind::StepLimit),
            Some(FailureKind::StepLimit),
        ),
        (
            S::Crashed,
            Some(FailureKind::Setup),
            Some(FailureKind::Setup),
        ),
    ];
    for (end, limit, kind) in table {
        let session = session(end, limit, Reading::default());
        let failure = session.failure();
        assert_eq!(failure.as_ref().map(|one| one.kind), kind, "{end:?}");
        if let Some(failure) = failure {
            assert!(failure.reason.ends_with("HTTP 400"), "{failure:?}");
            let report = after_coding_session(&[feature(5, &[])], &session);
            let Some(Report::Failed { limited_until, .. }) = report else {
                panic!("{report:?}");
            };
            assert_eq!(limited_until, Some(Timestamp(9)));
        }
    }
}

#[test]
fn a_coding_agents_claims_can_only_stop_the_work() {
    let features = [feature(5, &["x"]), feature(6, &[])];
    let after = |claims: Claims| {
        let verdict = Reading { claims, note: None };
        after_coding_session(&features, &session(SessionEnd::Completed, None, verdict))
    };
    let five = FeatureId(5);
    assert_eq!(after(vec![]), None);
    assert_eq!(after(vec![(five, Claim::Pass)]), None);
    let fail = (five, Claim::Fail("no network".to_owned()));
    let ask = (FeatureId(6), Claim::Input("Which one?".to_owned()));
    let failed = Report::Failed {
        failures: vec![(five, Failure::new(FailureKind::AgentGaveUp, "no network"))],
        limited_until: None,
    };
    // The other feature is released without a failure, and is asked about again next time.
    assert_eq!(after(vec![ask.clone(), fail]), Some(failed));
    let asked = Report::InputNeeded {
        feature: FeatureId(6),
        question: "Which one?".to_owned(),
    };
    assert_eq!(after(vec![ask]), Some(asked));
}

#[test]
fn a_verdict_that_cannot_be_read_leaves_the_decision_to_the_checks() {
    let verdict = Reading::unread("is garbage");
    let ended = session(SessionEnd::Completed, None, verdict.clone());
    let note = verdict.note.expect("a note");
    let features = [feature(5, &["x"])];
    assert_eq!(after_coding_session(&features, &ended), None);
    let rebased = RebasedCommit::default();
    let good = after_checks(
        &features,
        &rebased,
        &[checked(5, &[Exited(0)])],
        Some(&note),
    );
    let Report::Mergeable(good) = good else {
        panic!("the checks pass: {good:?}");
    };
    assert!(good.notes[0].starts_with(&note), "{:?}", good.notes);
    let bad = after_checks(
        &features,
        &rebased,
        &[checked(5, &[Exited(7)])],
        Some(&note),
    );
    let Report::Failed { failures, .. } = bad else {
        panic!("a check fails: {bad:?}");
    };
    let reason = &failures[0].1.reason;
    assert!(
        reason.contains("exited with 7") && reason.ends_with(&note),
        "{reason}"
    );
    assert_eq!(failures[0].1.checks.len(), 1);

    // Without checks the agent's verdict is the only proof, and there is none.
    let features = [feature(5, &["x"]), feature(6, &[])];
    let report = after_coding_session(&features, &ended);
    let Some(Report::Failed { failures, .. }) = report else {
        panic!("nothing could prove #6: {report:?}");
    };
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].0, FeatureId(6));
    assert!(failures[0].1.reason.contains("is garbage"));
    // The readable part counts.
    let part = Reading {
        claims: vec![(FeatureId(6), Claim::Pass)],
        note: Some(note),
    };
    let ended = session(SessionEnd::Completed, None, part);
    assert_eq!(after_coding_session(&features, &ended), None);
}

#[test]
fn checks_decide_what_may_merge() {
    let features = [feature(5, &["a", "b"]), feature(6, &[])];
    let rebased = RebasedCommit::default();
    let after = |checks: &[FeatureChecks]| after_checks(&features, &rebased, checks, None);
    let Report::Mergeable(good) = after(&[checked(5, &[Exited(0), Exited(0)])]) else {
        panic!("all checks pass");
    };
    let bases: Vec<_> = good.evidence.iter().map(|(_, one)| one.basis).collect();
    assert_eq!(bases, [Basis::Checks, Basis::AgentWord]);
    assert_eq!(good.evidence[0].1.checks.len(), 2);

    for (end, words) in [
        (Exited(1), "exited with 1: 2 of 3"),
        (Exited(124), "exited with 124: 2 of 3"),
        (Exited(137), "exited with 137, as a shell does after"),
        (Signalled(15), "was killed by signal 15: 2 of 3"),
        (TimedOut, "longer than its limit, `run.check_limit`: 2 of 3"),
    ] {
        let Report::Failed { failures, .. } = after(&[checked(5, &[Exited(0), end])]) else {
            panic!("a check fails");
        };
        let [(FeatureId(5), failure)] = failures.as_slice() else {
            panic!("{failures:?}");
        };
        assert_eq!(failure.kind, FailureKind::CheckFailed);
        assert_eq!(failure.checks.len(), 2, "the failed one is the last");
        assert!(failure.reason.contains(words), "{}", failure.reason);
        assert!(failure.reason.contains("make test"), "{}", failure.reason);
    }
    // A kill says nothing about the feature, seen or inferred from what the kernel counts.
    for (end, words) in [
        (Signalled(9), "was killed by signal 9, which came from"),
        (Exited(137), "exited with 137, which came from"),
    ] {
        let mut killed = checked(5, &[Exited(0), end]);
        killed.killed = true;
        let failure = killed.failure().expect("it failed");
        assert_eq!(failure.kind, FailureKind::Trouble(TroubleKind::Memory));
        assert!(failure.reason.contains(words), "{}", failure.reason);
    }
    // Checks that did not run prove nothing.
    for missing in [
        vec![],
        vec![checked(5, &[Exited(0)])],
        vec![checked(6, &[Exited(0), Exited(0)])],
    ] {
        let report = after(&missing);
        assert!(matches!(report, Report::Failed { .. }), "{report:?}");
    }
}

#[test]
fn a_test_passes_on_its_checks_and_where_asked_on_the_agents_word_too() {
    let word = |verdict: &TestVerdict| match verdict {
        TestVerdict::Passed(evidence) => match evidence.basis {
            Basis::Checks => "checks",
            Basis::AgentWord => "word",
        },
        TestVerdict::Broken(_) => "broken",
        TestVerdict::Inconclusive(_) => "unknown",
    };
    let read = |claims: Claims| Reading { claims, note: None };
    let ended = |claims: Claims| Some(session(SessionEnd::Completed, None, read(claims)));
    let unread = Some(session(
        SessionEnd::Completed,
        None,
        Reading::unread("is garbage"),
    ));
    let five = FeatureId(5);
    let pass = || ended(vec![(five, Claim::Pass)]);
    let fail = || ended(vec![(five, Claim::Fail("no".to_owned()))]);
    let ask = || ended(vec![(five, Claim::Input("what?".to_owned()))]);
    let crashed = || {
        Some(session(
            SessionEnd::Crashed,
            None,
            read(vec![(five, Claim::Fail("no".to_owned()))]),
        ))
    };
    let ok: &'static [CheckEnd] = &[Exited(0)];
    /// Commands, whether an agent tests too, the checks' exit codes, the session, the verdict.
    type Row = (
        &'static [&'static str],
        bool,
        Option<&'static [CheckEnd]>,
        Option<SessionResult>,
        &'static str,
    );
    let table: Vec<Row> = vec![
        (&["a"], false, Some(ok), None, "checks"),
        (&["a"], false, Some(&[Exited(7)]), None, "broken"),
        (&["a"], false, None, None, "unknown"),
        (&["a"], true, Some(ok), pass(), "checks"),
        (&["a"], true, Some(ok), fail(), "broken"),
        (&["a"], true, Some(ok), crashed(), "unknown"),
        (&["a"], true, Some(&[Exited(7)]), pass(), "broken"),
        (&["a"], true, None, pass(), "unknown"),
        (&[], false, None, pass(), "word"),
        (&[], false, None, fail(), "broken"),
        (&[], false, None, ask(), "unknown"),
        (&[], false, None, crashed(), "unknown"),
        (&[], false, None, ended(vec![]), "unknown"),
        (&[], false, None, unread, "unknown"),
        (&[], false, None, None, "unknown"),
    ];
    for (index, (commands, with_agent, ends, session, expected)) in table.iter().enumerate() {
        let features = [feature(5, commands)];
        let checks: Vec<_> = ends.iter().map(|ends| checked(5, ends)).collect();
        let rebased = RebasedCommit::default();
        let report = tested(
            &features,
            *with_agent,
            &rebased,
            &checks,
            session.as_ref(),
            None,
        );
        let Report::Tested { verdicts, .. } = report else {
            panic!("row {index}");
        };
        assert_eq!(word(&verdicts[0].1), *expected, "row {index}");
    }
}

#[test]
fn a_failed_check_names_the_files_that_were_removed_before_it() {
    let mut checks = checked(5, &[Exited(1)]);
    checks.runs[0].command = "test -f f1.txt".to_owned();
    checks.removed = [
        "target/", "a.log", "b.log", "c.log", "d.log", "e.log", "f1.txt",
    ]
    .map(str::to_owned)
    .into();
    let failure = checks.failure().expect("it failed");
    let reason = &failure.reason;
    assert!(
        reason.contains("exited with 1: 2 of 3 failed\nRemoved"),
        "{reason}"
    );
    assert!(reason.contains("them: f1.txt, target/"), "{reason}");
    assert!(
        reason.contains("e.log and 1 more") || reason.contains("d.log and 1 more"),
        "{reason}"
    );
    assert!(reason.contains("`checks.keep_ignored`"), "{reason}");
    // A long output leaves room for it.
    checks.tail = "x".repeat(5_000);
    checks.removed = vec!["y".repeat(4_000); 50];
    let failure = checks.failure().expect("it failed");
    assert!(
        failure.reason.ends_with("`checks.keep_ignored`."),
        "{}",
        failure.reason
    );
    assert!(failure.reason.len() <= Failure::REASON_BYTES_MAX);
    checks.removed.clear();
    let failure = checks.failure().expect("it failed");
    assert!(!failure.reason.contains("Removed"));
}

#[test]
fn what_says_nothing_of_a_feature_is_the_providers_trouble() {
    use FailureKind as F;
    use SessionEnd as S;
    let seen = |steps, busy, worked| Seen {
        started: true,
        steps,
        said: false,
        busy,
        worked,
    };
    let (nothing, deed) = (seen(0, false, false), seen(0, false, true));
    let (steps, hanging) = (seen(3, false, true), seen(3, true, true));
    // How it ended, by which limit, what was seen, whether the provider is to blame.
    let table = [
        (S::Cancelled, Some(F::IdleLimit), nothing, true),
        (S::Cancelled, Some(F::IdleLimit), steps, true),
        (S::Cancelled, Some(F::IdleLimit), hanging, false),
        // A plain command tells of no steps, and this one has changed a file.
        (S::Cancelled, Some(F::IdleLimit), deed, false),
        (S::NoTerminalEvent, None, nothing, true),
        (S::NoTerminalEvent, None, steps, true),
        (S::Crashed, None, nothing, true),
        (S::Crashed, None, steps, false),
        (S::Crashed, None, deed, false),
        (S::Crashed, Some(F::Setup), nothing, false),
        (S::Cancelled, Some(F::TimeLimit), nothing, false),
        (S::Cancelled, Some(F::StepLimit), steps, false),
        (S::Refused, None, nothing, false),
        (S::ContextOverflow, None, nothing, false),
        (S::Limited, None, nothing, false),
        (S::AuthFailed, None, nothing, false),
        (S::Completed, None, nothing, false),
    ];
    for (end, failure, seen, blamed) in table {
        let mut session = SessionResult {
            seen,
            ..session(end, failure, Reading::default())
        };
        session.blame_provider();
        let provider = session.failure == Some(F::Trouble(TroubleKind::Provider));
        assert_eq!(provider, blamed, "{end:?} {failure:?} {seen:?}");
    }
}

#[test]
fn an_empty_turn_is_a_trouble_unless_the_checks_prove_it() {
    let turn = |said, worked| SessionResult {
        seen: Seen {
            started: true,
            said,
            worked,
            ..Seen::default()
        },
        ..session(SessionEnd::Completed, None, Reading::default())
    };
    let failed = || {
        let failure = Failure::new(FailureKind::CheckFailed, "no");
        fail_all(&[feature(5, &["make test"])], &failure, None)
    };
    let troubled = |report: Report| matches!(report, Report::Troubled(_));
    assert!(troubled(empty_turn(failed(), &turn(false, false))));
    assert!(!troubled(empty_turn(failed(), &turn(true, false))));
    assert!(!troubled(empty_turn(failed(), &turn(false, true))));
    let passed = |checks: &[&str], ran: &[FeatureChecks]| {
        after_checks(&[feature(5, checks)], &RebasedCommit::default(), ran, None)
    };
    let word = || passed(&[], &[]);
    assert!(troubled(empty_turn(word(), &turn(false, false))));
    assert!(!troubled(empty_turn(word(), &turn(true, false))));
    assert!(!troubled(empty_turn(word(), &turn(false, true))));
    let ran = checked(5, &[CheckEnd::Exited(0)]);
    let proven = passed(&["make test"], &[ran]);
    assert!(!troubled(empty_turn(proven, &turn(false, false))));
}
