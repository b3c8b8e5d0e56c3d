//! What a person may think of, looking at what `scheduler status` shows.

use crate::model::command::PersonCommand;
use crate::model::feature::{FeatureSpec, Status};
use crate::model::ids::FeatureId;
use crate::model::state::State;

use super::dice::Dice;
use super::scenario::{Entry, entry};

fn of_status(state: &State, status: Status) -> Vec<FeatureId> {
    let features = state.features().filter(|feature| feature.status == status);
    features.map(|feature| feature.id).collect()
}

/// What helps a run on that waits for a person.
pub fn help(state: &State) -> Option<PersonCommand> {
    if let Some(&feature) = of_status(state, Status::NeedsInput).first() {
        let answer = "blue".to_owned();
        return Some(PersonCommand::Answer { feature, answer });
    }
    let refused = state.outages().any(|(_, outage)| !outage.ends());
    (state.paused.is_some() || refused).then_some(PersonCommand::Resume)
}

/// What comes into a person's mind, sensible or not.
pub fn whim(dice: &mut Dice, state: &State, testers: bool) -> Option<PersonCommand> {
    let reason = "a whim".to_owned();
    let all: Vec<FeatureId> = state.features().map(|feature| feature.id).collect();
    let running = of_status(state, Status::Running);
    let any = dice.pick(&all);
    match dice.between(0, 13) {
        0 => Some(PersonCommand::Pause { reason }),
        1 => Some(PersonCommand::Resume),
        2 => dice
            .pick(&running)
            .map(|feature| PersonCommand::Skip { feature, reason }),
        3 => any.map(|feature| PersonCommand::Skip { feature, reason }),
        4 => Some(PersonCommand::Retry {
            features: Vec::new(),
        }),
        5 => any.map(|feature| PersonCommand::Retry {
            features: vec![feature],
        }),
        6 => any.map(|feature| PersonCommand::Remove { feature }),
        7 | 8 => {
            let number = state.graph().len() as u32 + 1;
            let mut new = entry(dice, number);
            new.1.depends_on.retain(|&id| state.feature(id).is_some());
            Some(import(vec![new], false))
        }
        9 => edit(dice, state, &running, |spec| spec.description.push('!')),
        10 => edit(dice, state, &all, |spec| {
            spec.checks.push("another".to_owned())
        }),
        11 => edit(dice, state, &all, |spec| spec.priority += 1),
        12 => circle(dice, state, &all),
        _ => Some(PersonCommand::change_to(
            &crate::model::settings::Settings {
                max_attempts: dice.between(1, 4) as u32,
                max_concurrency: dice.between(1, 4) as u32,
                testing: if testers {
                    dice.between(0, 2) as u32
                } else {
                    0
                },
                batch_size: dice.between(1, 3) as u32,
                ..state.settings.clone()
            },
        )),
    }
}

fn import(features: Vec<Entry>, update: bool) -> PersonCommand {
    PersonCommand::Import { features, update }
}

fn edit(
    dice: &mut Dice,
    state: &State,
    among: &[FeatureId],
    change: impl Fn(&mut FeatureSpec),
) -> Option<PersonCommand> {
    let id = dice.pick(among)?;
    let mut spec = state.feature(id)?.spec.clone();
    change(&mut spec);
    Some(import(vec![(id, spec)], true))
}

/// Dependencies that go in a circle, sometimes by way of what is there already.
fn circle(dice: &mut Dice, state: &State, all: &[FeatureId]) -> Option<PersonCommand> {
    let one = dice.pick(all)?;
    let behind: Vec<FeatureId> = state.dependents(one).collect();
    let other = dice.pick(&behind).or_else(|| dice.pick(all))?;
    let after = |id: FeatureId, on: FeatureId| {
        let mut spec = state.feature(id)?.spec.clone();
        if id != on && !spec.depends_on.contains(&on) {
            spec.depends_on.push(on);
        }
        Some((id, spec))
    };
    let both = [after(one, other), after(other, one)];
    let mut features: Vec<Entry> = both.into_iter().flatten().collect();
    features.dedup_by_key(|(id, _)| *id);
    Some(import(features, true))
}
