//! Who belongs to an attempt steers nothing and works for nobody; everybody else is named.

use crewlog::model::actor::{Actor, Caller, Kin, Origin};
use crewlog::model::command::{PersonCommand, Rejection, SettingChange};
use crewlog::model::event::{CommandRefused, Event, Recorded};
use crewlog::model::ids::{AttemptId, FeatureId};
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::{ClientMessage, SchedulerMessage, StopMode, ToClient, WorkerMessage};
use crewlog::scheduler::machine::{Connection, Effect, Input};

use crate::kit::*;

/// A process below the guard of attempt 12.
fn agent(pid: u32) -> Caller {
    let guard = Kin {
        pid: 900,
        start_ticks: 9,
        origin: Some(Origin::Attempt(AttemptId(12))),
    };
    let mut agent = caller(pid);
    agent.lineage.push(guard);
    agent
}

/// What a process says first of all, and all that comes of it.
fn say(world: &mut World, number: u64, caller: Caller, message: ClientMessage) -> Vec<Effect> {
    let connection = Connection(number);
    world.step(Input::OpenedClient { connection, caller });
    world.effects.clear();
    let message = Box::new(message);
    world.step(Input::Client {
        connection,
        message,
    });
    std::mem::take(&mut world.effects)
}

fn refusals(world: &World) -> Vec<(&Recorded, &CommandRefused)> {
    let refusals = world
        .log
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::CommandRefused(refused) => Some((recorded, refused)),
            _ => None,
        });
    refusals.collect()
}

#[test]
fn every_wish_of_an_agent_is_refused_and_recorded() {
    let mut world = World::of(features(3));
    let command = |command| ClientMessage::Command {
        id: command_id(),
        command,
    };
    fn command_id() -> crewlog::model::ids::CommandId {
        crate::kit::command(77)
    }
    let (feature, reason) = (FeatureId(2), "no need".to_owned());
    let update = true;
    let wishes = [
        (
            command(PersonCommand::Skip {
                feature,
                reason: reason.clone(),
            }),
            "skip #2",
        ),
        (
            command(PersonCommand::Import {
                features: features(1),
                update,
            }),
            "import 1 features with --update",
        ),
        (command(PersonCommand::Remove { feature }), "remove #2"),
        (
            command(PersonCommand::Retry { features: vec![] }),
            "retry all",
        ),
        (
            command(PersonCommand::Retry {
                features: vec![feature],
            }),
            "retry #2",
        ),
        (
            command(PersonCommand::Answer {
                feature,
                answer: reason.clone(),
            }),
            "answer #2",
        ),
        (command(PersonCommand::Pause { reason }), "pause the run"),
        (command(PersonCommand::Resume), "resume the run"),
        (
            command(PersonCommand::ChangeSettings {
                changes: vec![SettingChange {
                    name: "testing".to_owned(),
                    value: 0,
                }],
            }),
            "set testing=0",
        ),
        (
            ClientMessage::Read {
                from: crewlog::model::ids::Sequence(0),
                follow: true,
            },
            "read the log",
        ),
        (ClientMessage::Live, "read the status"),
        (ClientMessage::Stop(StopMode::Drain), "stop the scheduler"),
        (
            ClientMessage::Stop(StopMode::Now),
            "stop the scheduler immediately",
        ),
    ];
    for (number, (message, wish)) in (1..).zip(wishes) {
        let before = world.log.len();
        let effects = say(&mut world, 5_000 + number, agent(700), message);
        assert_eq!(world.events(before), ["CommandRefused"], "{wish}");
        let (recorded, refused) = refusals(&world).pop().expect("a refusal");
        let attempt = Some(AttemptId(12));
        assert_eq!((refused.command.as_str(), refused.attempt), (wish, attempt));
        assert_eq!(recorded.actor, Actor::Agent { attempt, pid: 700 });
        let [Effect::Reply { message, .. }, Effect::Close { .. }] = effects.as_slice() else {
            panic!("{wish}: {effects:?}")
        };
        match &**message {
            ToClient::Rejected(Rejection::Agent) | ToClient::Refused(_) => {}
            other => panic!("{wish}: {other:?}"),
        }
    }
    let notice = world.machine.state().notices.refused.clone();
    assert_eq!(notice.map(|(count, _)| count), Some(13));
}

#[test]
fn an_agent_cannot_flood_the_log() {
    let mut world = World::of(features(1));
    for number in 0..50 {
        let effects = say(&mut world, 5_000 + number, agent(700), ClientMessage::Live);
        assert!(
            matches!(effects.last(), Some(Effect::Close { .. })),
            "closed each time"
        );
    }
    assert_eq!(refusals(&world).len(), 20);
    // Another attempt's are recorded all the same.
    let mut other = agent(701);
    other.lineage[1].origin = Some(Origin::Attempt(AttemptId(13)));
    say(&mut world, 6_000, other, ClientMessage::Live);
    assert_eq!(refusals(&world).len(), 21);
    // But not without end, whatever they claim.
    for number in 0..3_000 {
        let mut liar = agent(702);
        liar.lineage[1].origin = Some(Origin::Attempt(AttemptId(100 + number)));
        say(&mut world, 7_000 + number, liar, ClientMessage::Live);
    }
    assert_eq!(refusals(&world).len(), 1_000);
}

#[test]
fn a_person_is_named_in_what_they_cause() {
    let mut world = World::of(features(2));
    let before = world.log.len();
    let feature = FeatureId(2);
    let reason = "no need".to_owned();
    world.person(PersonCommand::Skip { feature, reason });
    let skipped = &world.log[before];
    assert_eq!(skipped.actor, Actor::person(1000, 4_711, "pts/3"));
    let words = &world
        .machine
        .state()
        .feature(feature)
        .expect("it")
        .words
        .skipped;
    assert_eq!(words, "by uid 1000 (pid 4711, pts/3): no need");
}

fn hello(world: &mut World, caller: Caller, said: u32) -> Vec<SchedulerMessage> {
    let connection = Connection(9_000 + u64::from(caller.pid));
    world.step(Input::Opened { connection, caller });
    let message = WorkerMessage::Hello {
        kind: WorkerKind::Testing,
        process: process(said),
        worker: None,
        holding: None,
        config: String::new(),
    };
    world.say(connection, message);
    world.heard(connection)
}

#[test]
fn a_worker_is_who_the_kernel_says() {
    let mut world = World::of(features(2));
    let hand = world.coder(50);
    let reason = |heard: Vec<SchedulerMessage>| match heard.as_slice() {
        [SchedulerMessage::Refused(problem)] => problem.to_string(),
        other => panic!("not refused: {other:?}"),
    };
    let before = world.log.len();
    let said = reason(hello(&mut world, agent(60), 60));
    assert!(
        said.starts_with("agent of a12 (pid 60) cannot be a worker"),
        "{said}"
    );
    assert_eq!(world.events(before), ["CommandRefused"]);
    let (_, refused) = refusals(&world).pop().expect("a refusal");
    assert_eq!(refused.command, "take jobs as a testing worker");
    // What a worker has started is an agent, even if nothing of its own says so.
    let mut orphan = caller(61);
    orphan.lineage.push(caller(50).lineage[0]);
    let said = reason(hello(&mut world, orphan.clone(), 61));
    assert!(
        said.starts_with("an agent (pid 61) cannot be a worker"),
        "{said}"
    );
    let effects = say(
        &mut world,
        5_000,
        orphan,
        ClientMessage::Stop(StopMode::Now),
    );
    assert!(matches!(effects.last(), Some(Effect::Close { .. })));
    let said = reason(hello(&mut world, caller(62), 63));
    assert!(said.contains("the kernel says 62"), "{said}");
    // The number was another process's before.
    let mut later = caller(64);
    later.lineage[0].start_ticks += 1;
    let said = reason(hello(&mut world, later, 64));
    assert!(
        said.contains("started at tick 640, but the kernel says 641"),
        "{said}"
    );
    assert!(world.machine.state().workers().contains_key(&hand.worker));
    assert_eq!(world.machine.state().workers().len(), 1);
}
