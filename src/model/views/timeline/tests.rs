use super::*;
use crate::model::actor::Actor;
use crate::model::event::*;
use crate::model::evidence::{Basis, Failure, FailureKind, Usage};
use crate::model::ids::{CommandId, Epoch};
use crate::model::settings::Settings;
use crate::model::views::fixtures::*;

/// Tells the events, each 1.5 s after the one before, and puts every line into one text.
fn told(events: Vec<Event>) -> (Timeline, Vec<String>) {
    let mut timeline = Timeline::default();
    let mut texts = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        let sequence = Sequence(index as u64 + 1);
        let at = Timestamp(index as u64 * 1_500);
        let (epoch, cause) = (Epoch(1), CommandId(1));
        let line = timeline.describe(&Recorded {
            sequence,
            epoch,
            at,
            cause,
            actor: Actor::Unknown,
            event,
        });
        let elapsed = line.elapsed_ms.map(|ms| format!("{ms}ms"));
        let features: Vec<String> = line.features.iter().map(ToString::to_string).collect();
        let parts = [
            line.label.as_str().to_owned(),
            elapsed.unwrap_or_default(),
            features.join(","),
            line.name,
            line.worker,
            line.note,
        ];
        texts.push(parts.join("|"));
    }
    (timeline, texts)
}

#[test]
fn a_feature_on_its_way() {
    let (timeline, texts) = told(vec![
        added(1, "one", &[]),
        added(2, "two", &[1]),
        joined(WorkerKind::Coding, "worker-1"),
        assigned(3, &[1], 1),
        started(4, 3),
        failed(1, 5, "`sh t` exited with 1\nmore"),
        FeatureParked {
            feature: FeatureId(1),
            failures: 3,
        }
        .into(),
        RetryRequested {
            feature: FeatureId(1),
        }
        .into(),
        assigned(3, &[1, 2], 2),
        started(9, 3),
        MergeStarted {
            attempt: AttemptId(10),
            onto: commit('a'),
            commit: commit('b'),
            touched: vec!["x".to_owned()],
            touched_total: 1,
            evidence: Vec::new(),
        }
        .into(),
        passed(1, 10, Basis::AgentWord),
        passed(2, 10, Basis::Checks),
        LateResultIgnored {
            attempt: AttemptId(10),
            report: "failed".to_owned(),
        }
        .into(),
    ]);
    let expected = [
        "ADD||#1|one||",
        "ADD||#2|two||after #1",
        "JOIN||||worker-1|coding, process 7 on box",
        "PICK||#1|one|worker-1|of 4 ready: chain 1m00s, unblocks 2; next #9: chain 1m00s, unblocks 2, priority -1",
        "START||#1|one|worker-1|",
        "FAIL|1500ms|#1|one|worker-1|check_failed: `sh t` exited with 1",
        "PARK||#1|one||after 3 failures; `scheduler retry 1` tries again",
        "RETRY||#1|one||by request",
        "PICK||#1,#2|one|worker-1|of 4 ready: chain 1m00s, unblocks 2; next #9: chain 1m00s, unblocks 2, priority -1",
        "START||#1,#2|one|worker-1|try 2",
        "MERGE|1500ms|#1,#2|one|worker-1|bbbbbbbbbb onto aaaaaaaaaa, 1 file",
        "PASS|3000ms|#1|one|worker-1|try 2, on the agent's word",
        "PASS|4500ms|#2|two|worker-1|try 2",
        "LATE|6000ms|#1,#2|one|worker-1|\"failed\" came after the attempt had ended, and was ignored",
    ];
    assert_eq!(texts, expected);
    assert!(timeline.open().is_empty());
}

#[test]
fn a_regression_and_its_repair() {
    let found = RegressionFound {
        feature: FeatureId(1),
        attempt: AttemptId(4),
        failure: Failure::new(FailureKind::CheckFailed, "broken"),
        suspects: (2..6).map(|id| (FeatureId(id), commit('e'))).collect(),
    };
    let test = TestAssigned {
        worker: WorkerId(2),
        features: vec![FeatureId(1)],
        base: commit('a'),
        last: true,
        draw: 5,
        terms: TestTerms {
            touched_since: 1,
            dependents: 2,
            untested_ms: 90_000,
            weight: 40,
        },
        runners_up: Vec::new(),
    };
    let (_, texts) = told(vec![
        added(1, "one", &[]),
        joined(WorkerKind::Testing, "worker-1"),
        test.into(),
        started(3, 2),
        found.into(),
        assigned(2, &[1], 1),
        started(6, 2),
        passed(1, 7, Basis::Checks),
    ]);
    let expected = [
        "PICK||#1|one|worker-1|at the end of the run; weight 40: 1 file changed, 2 dependents, untested for 1m30s",
        "START||#1|one|worker-1|test",
        "REGR|1500ms|#1|one|worker-1|check_failed: broken; suspects: #5, #4, #3, …",
    ];
    assert_eq!(texts[2..5], expected);
    assert_eq!(texts[7], "PASS|1500ms|#1|one|worker-1|fixed");
}

#[test]
fn the_rest_of_the_vocabulary() {
    let attempt = AttemptId(4);
    let run = RunStarted {
        branch: "crewlog/x".to_owned(),
        head: commit('a'),
        settings: Settings::default(),
        seed: 42,
    };
    let usage = Usage {
        input_tokens: 1_000,
        output_tokens: 500,
        cost_microusd: 2_500_000,
    };
    let limited = |until| ProviderLimited {
        profile: "claude".into(),
        attempt,
        kind: FailureKind::ProviderLimited,
        until: Timestamp(until),
        reason: "slow down".to_owned(),
    };
    let events: Vec<(Event, &str)> = vec![
        (added(1, "one", &[]), "ADD||#1|one||"),
        (
            joined(WorkerKind::Coding, "w"),
            "JOIN||||w|coding, process 7 on box",
        ),
        (
            assigned(2, &[1], 1),
            "PICK||#1|one|w|of 4 ready: chain 1m00s, unblocks 2; next #9: chain 1m00s, unblocks 2, priority -1",
        ),
        (started(3, 2), "START||#1|one|w|"),
        (run.into(), "RUN|||||on crewlog/x at aaaaaaaaaa, seed 42"),
        (
            UsageRecorded { attempt, usage }.into(),
            "USED|3000ms|#1|one|w|1.5k tokens, $2.50",
        ),
        (
            limited(40_500).into(),
            "LIMIT|4500ms|#1|one|w|the agent claude cannot be used for 31s: slow down",
        ),
        (
            limited(u64::MAX).into(),
            "LIMIT|6000ms|#1|one|w|the agent claude cannot be used until `scheduler resume`: slow down",
        ),
        (
            JobCancelled {
                attempt,
                reason: "why".into(),
            }
            .into(),
            "CANCEL|7500ms|#1|one|w|why",
        ),
        (
            MergeAborted {
                attempt,
                head: commit('f'),
            }
            .into(),
            "REBASE|9000ms|#1|one|w|the branch moved to ffffffffff; rebasing and checking again",
        ),
        (
            InputRequested {
                feature: FeatureId(1),
                attempt,
                question: "Which?".to_owned(),
            }
            .into(),
            "ASK|10500ms|#1|one|w|Which? (`scheduler answer 1 TEXT`)",
        ),
        (
            InputAnswered {
                feature: FeatureId(1),
                answer: "That.".to_owned(),
            }
            .into(),
            "REPLY||#1|one||That.",
        ),
        (
            AttemptLost {
                attempt: AttemptId(99),
                reason: "gone".into(),
            }
            .into(),
            "LOST|||||gone",
        ),
        (
            AttemptReleased {
                attempt,
                reason: "stop".into(),
                detail: String::new(),
            }
            .into(),
            "RELEASE|15000ms|#1|one|w|stop",
        ),
        (
            WorkerLeft {
                worker: WorkerId(2),
                reason: "bye".into(),
            }
            .into(),
            "LEFT||||w|bye",
        ),
        (
            BudgetReached { spent: usage }.into(),
            "SPENT|||||the budget is spent: 1.5k tokens, $2.50",
        ),
        (
            RunPaused {
                reason: "lunch".to_owned(),
            }
            .into(),
            "PAUSE|||||lunch",
        ),
        (RunResumed {}.into(), "RESUME|||||"),
        (
            HeadMoved { head: commit('f') }.into(),
            "HEAD|||||somebody moved the branch to ffffffffff",
        ),
        (
            DependenciesSet {
                feature: FeatureId(1),
                depends_on: (2..14).map(FeatureId).collect(),
            }
            .into(),
            "DEPS||#1|one||after #2 #3 #4 #5 #6 #7 #8 #9 #10 #11 and 2 more",
        ),
        (
            FeatureSkipped {
                feature: FeatureId(1),
                reason: "later".to_owned(),
            }
            .into(),
            "SKIP||#1|one||later",
        ),
        (
            FeatureRemoved {
                feature: FeatureId(1),
            }
            .into(),
            "DROP||#1|one||",
        ),
        (
            RunFinished {
                outcome: RunOutcome::AllPassing,
                reason: "done".to_owned(),
            }
            .into(),
            "END|||||done",
        ),
    ];
    let (events, expected): (Vec<_>, Vec<_>) = events.into_iter().unzip();
    let (_, texts) = told(events);
    assert_eq!(texts, expected);
}
