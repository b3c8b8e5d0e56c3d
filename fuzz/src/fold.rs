//! Any events in any order: they fold, the state is stored and read without a difference, and
//! what people see of it can be told.

use crewlog::cli::pages::event;
use crewlog::cli::render::RenderStyle;
use crewlog::model::actor::Actor;
use crewlog::model::apply::apply;
use crewlog::model::event::{Event, Recorded};
use crewlog::model::ids::{CommandId, Epoch, Sequence, Timestamp, WorkerId};
use crewlog::model::plan::{Entropy, World, plan};
use crewlog::model::settings::WorkerKind;
use crewlog::model::state::State;
use crewlog::model::views::Timeline;
use crewlog::queue::encoding;

use super::harmless;
use super::take::Take;

/// Events of one input: more take long and show nothing new.
const EVENTS_MAX: usize = 64;

/// Checks one input: `KIND LENGTH BODY` again and again, the kind one byte, the length two.
pub fn check(data: &[u8]) {
    let events = events(data);
    let (mut state, mut timeline) = (State::default(), Timeline::default());
    for (sequence, event) in (1..).zip(events) {
        let recorded = Recorded {
            sequence: Sequence(sequence),
            epoch: Epoch(1),
            at: Timestamp(sequence * 1_000),
            cause: CommandId(u128::from(sequence)),
            actor: Actor::Unknown,
            event,
        };
        harmless(&event::text(
            &timeline.describe(&recorded),
            RenderStyle::default(),
        ));
        apply(&mut state, &recorded);
    }
    state.settle();
    stored(&state);
    plans(&state);
}

/// The events that an input has.
pub fn events(data: &[u8]) -> Vec<Event> {
    let (mut take, mut events) = (Take(data), Vec::new());
    while !take.0.is_empty() && events.len() < EVENTS_MAX {
        let (kind, _) = Event::KINDS[usize::from(take.byte()) % Event::KINDS.len()];
        events.extend(encoding::decode_body(kind, take.sized()));
    }
    events
}

/// Reading what was stored gives the same state.
pub fn stored(state: &State) {
    let bytes = state.to_bytes().expect("a state can be stored");
    let mut again = State::from_bytes(&bytes).expect("our own bytes");
    again.settle();
    assert!(
        again.to_bytes().expect("stored") == bytes,
        "a state is stored differently"
    );
    let ready = |state: &State| state.ready().collect::<Vec<_>>();
    assert_eq!(ready(&again), ready(state));
}

/// Whatever the state is, a plan is made of it.
pub fn plans(state: &State) {
    struct Zeros;
    impl Entropy for Zeros {
        fn next(&mut self) -> u64 {
            0
        }
    }
    let mut world = World::default();
    for (at, kind) in [WorkerKind::Coding, WorkerKind::Testing]
        .into_iter()
        .enumerate()
    {
        world
            .idle
            .insert(at as u64, (WorkerId(at as u64 + 1), kind));
    }
    plan(state, state.at, &world, &mut Zeros);
}
