//! Every status and every event that may change it, in one table.

use crewlog::model::event::{
    AttemptLost, AttemptReleased, AttemptStarted, DependenciesSet, Event, FeatureAdded,
    FeatureAssigned, FeatureEdited, FeatureFailed, FeatureParked, FeaturePassed, FeatureRemoved,
    FeatureSkipped, HeadMoved, InputAnswered, InputRequested, JobCancelled, MergeAborted,
    RankTerms, RegressionFound, RetryRequested, RunFinished, RunOutcome, TestInconclusive,
    TestPassed,
};
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::Status;
use crewlog::model::ids::{AttemptId, JobId, Timestamp, WorkerId};

use crate::given::*;

const ALL: [Status; 8] = [
    Status::Pending,
    Status::Running,
    Status::Passing,
    Status::Regressed,
    Status::NeedsInput,
    Status::Skipped,
    Status::Parked,
    Status::Removed,
];

/// Feature 1 in a status, by facts alone; and the coding attempt that holds it, if it is running.
fn in_status(status: Status) -> (Story, AttemptId) {
    let mut story = Story::of(&[(1, &[]), (2, &[])]);
    let worker = story.join(CODING);
    let attempt = assigned(&mut story, worker);
    let feature = id(1);
    match status {
        Status::Running => return (story, attempt),
        Status::Pending => drop(story.lose(attempt)),
        Status::Passing => drop(story.pass(attempt)),
        Status::Regressed => {
            story.pass(attempt);
            story.fact(regression());
        }
        Status::NeedsInput => drop(story.fact(InputRequested {
            feature,
            attempt,
            question: "which?".to_owned(),
        })),
        Status::Skipped => {
            story.lose(attempt);
            let reason = String::new();
            story.fact(FeatureSkipped { feature, reason });
        }
        Status::Parked => {
            story.fail(attempt, FailureKind::CheckFailed);
            story.fact(FeatureParked {
                feature,
                failures: 1,
            });
        }
        Status::Removed => {
            story.lose(attempt);
            story.fact(FeatureRemoved { feature });
        }
    }
    (story, attempt)
}

fn assigned(story: &mut Story, worker: WorkerId) -> AttemptId {
    let job = story.fact(FeatureAssigned {
        worker,
        features: vec![id(1)],
        attempt_number: 1,
        base: commit(1),
        terms: RankTerms::default(),
        runners_up: Vec::new(),
        ready: 1,
    });
    let job = JobId(job.0);
    AttemptId(
        story
            .fact(AttemptStarted {
                job,
                worker,
                profile: None,
            })
            .0,
    )
}

fn regression() -> RegressionFound {
    RegressionFound {
        feature: id(1),
        attempt: AttemptId(0),
        failure: failure(FailureKind::CheckFailed),
        suspects: Vec::new(),
    }
}

fn events(attempt: AttemptId) -> Vec<Event> {
    let feature = id(1);
    let text = String::new;
    let spec = spec(1, &[]);
    let evidence = evidence(&spec, &commit(5), 0);
    let failure = || failure(FailureKind::CheckFailed);
    let head = commit(9);
    vec![
        FeatureAdded {
            feature,
            spec: spec.clone(),
        }
        .into(),
        FeatureEdited { feature, spec }.into(),
        DependenciesSet {
            feature,
            depends_on: vec![id(2)],
        }
        .into(),
        FeatureRemoved { feature }.into(),
        FeatureSkipped {
            feature,
            reason: text(),
        }
        .into(),
        JobCancelled {
            attempt,
            reason: text().into(),
        }
        .into(),
        AttemptReleased {
            attempt,
            reason: text().into(),
            detail: String::new(),
        }
        .into(),
        AttemptLost {
            attempt,
            reason: text().into(),
        }
        .into(),
        MergeAborted {
            attempt,
            head: head.clone(),
        }
        .into(),
        HeadMoved { head }.into(),
        FeaturePassed {
            feature,
            attempt,
            evidence: evidence.clone(),
        }
        .into(),
        FeatureFailed {
            feature,
            attempt,
            failure: failure(),
            not_before: Timestamp(0),
        }
        .into(),
        regression().into(),
        TestPassed {
            feature,
            attempt: AttemptId(0),
            evidence,
        }
        .into(),
        TestInconclusive {
            feature,
            attempt: AttemptId(0),
            failure: failure(),
        }
        .into(),
        FeatureParked {
            feature,
            failures: 1,
        }
        .into(),
        InputRequested {
            feature,
            attempt,
            question: text(),
        }
        .into(),
        InputAnswered {
            feature,
            answer: text(),
        }
        .into(),
        RetryRequested { feature }.into(),
        RunFinished {
            outcome: RunOutcome::SomeFailed,
            reason: text(),
        }
        .into(),
    ]
}

/// By the first letter, `D` for done with (removed), `.` for no change.
fn letter(status: Status) -> char {
    match status {
        Status::Pending => 'P',
        Status::Running => 'R',
        Status::Passing => 'V',
        Status::Regressed => 'B',
        Status::NeedsInput => 'N',
        Status::Skipped => 'S',
        Status::Parked => 'K',
        Status::Removed => 'D',
    }
}

/// Columns as in [`ALL`]: Pending, Running, Verified (passing), Broken (regressed), NeedsInput,
/// Skipped, parKed, Done with (removed). A point says that the status stays.
const TABLE: [(&str, &str); 20] = [
    ("FeatureAdded", "........"),
    ("FeatureEdited", "........"),
    ("DependenciesSet", "........"),
    ("FeatureRemoved", "DDDDDDD."),
    ("FeatureSkipped", "SSSSS.S."),
    ("JobCancelled", "........"),
    ("AttemptReleased", ".P......"),
    ("AttemptLost", ".P......"),
    ("MergeAborted", "........"),
    ("HeadMoved", "........"),
    ("FeaturePassed", "VV.VVVV."),
    ("FeatureFailed", ".P......"),
    ("RegressionFound", "BBB.BBB."),
    ("TestPassed", "........"),
    ("TestInconclusive", "........"),
    ("FeatureParked", "KKKKKK.."),
    ("InputRequested", "NNNN.NN."),
    ("InputAnswered", "....P..."),
    ("RetryRequested", "....PPP."),
    ("RunFinished", "........"),
];

#[test]
fn every_status_and_every_event() {
    let mut seen = Vec::new();
    for (column, status) in ALL.into_iter().enumerate() {
        let (story, attempt) = in_status(status);
        assert_eq!(story.status(1), status);
        seen.clear();
        for event in events(attempt) {
            let name = event.name();
            seen.push(name);
            let row = TABLE.iter().find(|(of, _)| *of == name).expect(name).1;
            let wanted = row.chars().nth(column).unwrap();
            let mut after = story.clone();
            after.fact(event);
            let came = after.status(1);
            let came = if came == status { '.' } else { letter(came) };
            assert_eq!(came, wanted, "{name} when {}", status.as_str());
            consistent(&after, name);
        }
    }
    let rows: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(seen, rows, "the table has a row for each");
}

/// What follows from the status follows it.
fn consistent(story: &Story, what: &str) {
    let count: u32 = ALL.iter().map(|&status| story.state.count(status)).sum();
    assert_eq!(count, 2, "{what}");
    let status = story.status(1);
    assert!(story.state.count(status) > 0, "{what}");
    let listed = story.state.ready().any(|(feature, _)| feature == id(1));
    let workable = matches!(status, Status::Pending | Status::Regressed);
    let ready = workable && story.state.unmet(id(1)) == 0;
    assert_eq!(listed, ready, "{what}");
}

/// A regressed feature that is worked on goes back to being regressed, not to being new.
#[test]
fn what_was_broken_stays_broken_until_it_passes() {
    let (mut story, _) = in_status(Status::Regressed);
    let worker = story.join(CODING);
    for end in ["lost", "failed", "answered", "retried"] {
        let attempt = assigned(&mut story, worker);
        assert_eq!(story.status(1), Status::Running);
        let feature = id(1);
        match end {
            "lost" => drop(story.lose(attempt)),
            "failed" => drop(story.fail(attempt, FailureKind::CheckFailed)),
            "answered" => {
                let question = String::new();
                story.fact(InputRequested {
                    feature,
                    attempt,
                    question,
                });
                let answer = String::new();
                story.fact(InputAnswered { feature, answer });
            }
            _ => {
                story.fail(attempt, FailureKind::CheckFailed);
                story.fact(FeatureParked {
                    feature,
                    failures: 1,
                });
                story.fact(RetryRequested { feature });
            }
        }
        assert_eq!(story.status(1), Status::Regressed, "{end}");
        story.wait(300_000);
    }
    let attempt = assigned(&mut story, worker);
    story.pass(attempt);
    let feature = story.state.feature(id(1)).unwrap();
    assert_eq!(
        (feature.status, feature.regressed),
        (Status::Passing, false)
    );
}
