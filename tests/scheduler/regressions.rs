//! What the one who repairs a regression is told.

use crewlog::model::evidence::{CheckEnd, CheckRun, Failure, FailureKind};
use crewlog::model::ids::{ContentHash, FeatureId};
use crewlog::model::report::{Report, Suspect, TestVerdict};
use crewlog::model::settings::Settings;
use crewlog::model::settings::WorkerKind::Testing;
use crewlog::protocol::WorkerMessage;

use crate::kit::{World, commit, features, mergeable, quiet, spec};

#[test]
fn the_job_says_what_broke_and_who_may_have_done_it() {
    let settings = Settings {
        testing: 1,
        ..quiet()
    };
    let mut world = World::with(settings, &[], features(2));
    let coder = world.coder(100);
    for at in 0..2 {
        let job = world.job(&coder);
        assert_eq!(job.features[0].regression, None);
        let work = mergeable(&[job.features[0].id], &commit(at), &commit(at + 1));
        world.report(&coder, job.attempt, work);
        world.git_says(job.attempt, true, &commit(at + 1));
        world.heard(coder.connection);
        if at == 0 {
            world.say(coder.connection, WorkerMessage::Ready);
        }
    }
    let tester = world.worker(Testing, 200);
    world.say(tester.connection, WorkerMessage::Ready);
    let test = world.job(&tester);
    world.say(coder.connection, WorkerMessage::Ready);
    let broken = test.features[0].id;
    let run = |command: &str, exit_code| CheckRun {
        command: command.to_owned(),
        end: CheckEnd::Exited(exit_code),
        duration_ms: 5,
        output: ContentHash([9; 32]),
    };
    let mut failure = Failure::new(FailureKind::CheckFailed, "`make b` exited with 2");
    failure.checks = vec![run("make a", 0), run("make b", 2)];
    let report = Report::Tested {
        verdicts: vec![(broken, TestVerdict::Broken(failure))],
        limited_until: None,
    };
    world.report(&tester, test.attempt, report);
    // What is known of it outlives the scheduler.
    let job = world.job(&coder);
    let mut world = world.restart(&commit(2));
    world.dies(&coder, None);
    let coder = world.coder(101);
    let again = world.job(&coder);
    assert_eq!(job.features, again.features);
    let told = again.features[0].regression.clone().expect("a regression");
    assert_eq!(
        (told.times, told.reason.as_str()),
        (1, "`make b` exited with 2")
    );
    assert_eq!(told.check, Some(run("make b", 2)));
    let other = FeatureId(3 - broken.0);
    let suspect = Suspect {
        feature: other,
        name: spec(&format!("feature {}", other.0), &[]).name,
        commit: commit(2),
    };
    assert_eq!(told.suspects, [suspect]);
    // It is forgotten when it passes.
    let work = mergeable(&[broken], &commit(2), &commit(3));
    world.report(&coder, again.attempt, work);
    world.git_says(again.attempt, true, &commit(3));
    let feature = world.machine.state().feature(broken).expect("a feature");
    assert_eq!(feature.words.broken, None);
}
