//! The scheduler's handle: what doors inside its process stand on.

use crewlog::model::actor::Actor;
use crewlog::model::apply::apply;
use crewlog::model::command::{PersonCommand, Rejection};
use crewlog::model::ids::{CommandId, Sequence};
use crewlog::model::state::State;
use crewlog::protocol::StopMode;
use crewlog::scheduler::HandleError;

use crate::kit::{Rig, features};

#[tokio::test]
async fn a_door_inside_the_process_commands_looks_follows_and_goes_back_in_time() {
    let rig = Rig::memory().await;
    let handle = rig.handle.clone();
    let person = Actor::person(1_000, 7, "pts/3");
    let id = CommandId(u128::MAX - 7);
    let submitted = handle.submit(person.clone(), id, features(1..=3)).await;
    let (first, last) = submitted.expect("accepted");
    assert_eq!(last.0 - first.0, 2, "three features");
    let head = rig.log.head().sequence;
    assert!(head >= last, "it is durable");
    let again = handle.submit(person.clone(), id, features(1..=3)).await;
    assert_eq!(again.expect("the first answer"), (first, last));
    let (attempt, pid) = (None, 1);
    let agent = Actor::Agent { attempt, pid };
    let refused = handle.submit(agent, CommandId(u128::MAX - 8), PersonCommand::Resume);
    let refused = refused.await.expect_err("agents control nothing");
    assert!(
        matches!(refused, HandleError::Rejected(Rejection::Agent)),
        "{refused}"
    );
    let live = handle.live().await.expect("it runs");
    assert_eq!(live.pid, std::process::id());

    let mut subscription = handle.subscribe(Sequence(1)).expect("it runs");
    let mut events = Vec::new();
    let end = rig.log.head().sequence;
    while (events.len() as u64) < end.0 {
        let chunk = subscription.next_batch().await.expect("events");
        events.extend(chunk.events(rig.log.contents()).expect("they read"));
    }
    drop(subscription);
    // Back in time, step by step, and once beyond the end.
    for at in (0..=end.0 + 1).rev() {
        let mut expected = State::default();
        let until = events.iter().take_while(|event| event.sequence.0 <= at);
        until.for_each(|event| apply(&mut expected, event));
        expected.settle();
        let found = handle.state_at(Sequence(at)).expect("a state");
        assert_eq!(
            found.to_bytes().expect("bytes"),
            expected.to_bytes().expect("bytes"),
            "after event {at}"
        );
    }

    handle.stop(StopMode::Now).await;
    rig.task.await.expect("no panic").expect("it ends");
    let ended = |error| matches!(error, HandleError::Ended);
    assert!(handle.live().await.is_err_and(ended));
    let late = handle.submit(person, CommandId(9), PersonCommand::Resume);
    assert!(late.await.is_err_and(ended));
}
