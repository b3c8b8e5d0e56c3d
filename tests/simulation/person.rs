//! What a person does to a run.

use crewlog::model::command::PersonCommand;
use crewlog::model::feature::{FeatureSpec, Status};
use crewlog::model::ids::FeatureId;
use crewlog::model::state::State;

use crate::dice::Dice;

pub type Entry = (FeatureId, FeatureSpec);

/// Features, some of which wait for earlier ones.
pub fn backlog(dice: &mut Dice, count: u32) -> Vec<Entry> {
    (1..=count).map(|number| entry(dice, number)).collect()
}

fn entry(dice: &mut Dice, number: u32) -> Entry {
    let waits = (1..number).filter(|_| dice.percent(25)).map(FeatureId);
    let spec = FeatureSpec {
        name: format!("feature {number}"),
        depends_on: waits.take(2).collect(),
        ..FeatureSpec::default()
    };
    (FeatureId(number), spec)
}

fn one(dice: &mut Dice, state: &State, status: Status) -> Option<FeatureId> {
    let of_status = state.features().filter(|feature| feature.status == status);
    let ids: Vec<FeatureId> = of_status.map(|feature| feature.id).collect();
    dice.pick(&ids)
}

/// The next wish. In fair times a person helps and does no mischief.
pub fn wish(dice: &mut Dice, state: &State, fair: bool) -> Option<PersonCommand> {
    if let Some(feature) = one(dice, state, Status::NeedsInput) {
        let answer = "blue".to_owned();
        return Some(PersonCommand::Answer { feature, answer });
    }
    if state.paused.is_some() {
        return Some(PersonCommand::Resume);
    }
    if fair {
        return None;
    }
    let reason = "a whim".to_owned();
    let any = Status::Running;
    match dice.between(0, 9) {
        0 => Some(PersonCommand::Pause { reason }),
        1 => one(dice, state, any).map(|feature| PersonCommand::Skip { feature, reason }),
        2 => one(dice, state, Status::Parked).map(|feature| PersonCommand::Retry {
            features: vec![feature],
        }),
        3 => {
            one(dice, state, Status::Pending).map(|feature| PersonCommand::Skip { feature, reason })
        }
        4 => {
            let number = state.graph().len() as u32 + 1;
            let features = vec![entry(dice, number)];
            let update = false;
            Some(PersonCommand::Import { features, update })
        }
        5 => {
            // Somebody edits what is being worked on.
            let id = one(dice, state, any)?;
            let mut spec = state.feature(id)?.spec.clone();
            spec.description.push('!');
            let (features, update) = (vec![(id, spec)], true);
            Some(PersonCommand::Import { features, update })
        }
        6 => one(dice, state, any).map(|feature| PersonCommand::Remove { feature }),
        _ => None,
    }
}
