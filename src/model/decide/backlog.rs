//! Commands about the backlog.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::backlog::{BacklogFeature, resolve};
use crate::model::clip::clip;
use crate::model::command::{Problem, Rejection};
use crate::model::end_reason::EndReason;
use crate::model::event::{
    DependenciesSet, Event, FeatureAdded, FeatureEdited, FeatureRemoved, FeatureSkipped,
    InputAnswered, JobCancelled, RetryRequested,
};
use crate::model::feature::{FeatureSpec, Status, garbles};
use crate::model::ids::{AttemptId, FeatureId};
use crate::model::settings::WorkerKind;
use crate::model::state::{Attempt, FEATURES_MAX, Feature, State};

/// Longest answer: it becomes part of a prompt.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest reason of a person's command: it is shown on one line.
const REASON_BYTES_MAX: usize = 1_000;

pub fn import(
    state: &State,
    features: &[(FeatureId, FeatureSpec)],
    update: bool,
) -> Result<Vec<Event>, Rejection> {
    let features: Vec<(FeatureId, Cow<'_, FeatureSpec>)> = features
        .iter()
        .map(|(id, spec)| (*id, normal(spec)))
        .collect();
    let added = numbered(state, &features)?;
    named(state, &features, update)?;
    let mut events = Vec::new();
    let mut dependencies = Vec::new();
    let mut edges = Vec::new();
    for (at, (id, spec)) in features.iter().enumerate() {
        match state.feature(*id) {
            Some(feature) if feature.spec == **spec => continue,
            Some(feature) if update => {
                events.extend(edited(state, feature, spec)?);
                if spec.depends_on != feature.spec.depends_on {
                    dependencies.push(depending(*id, &spec.depends_on));
                }
            }
            Some(feature) => {
                let name = feature.spec.name.clone();
                return Err(Rejection::FeatureExists { feature: *id, name });
            }
            None => {
                // In the log a feature is added before anything refers to it: one that refers
                // forward gets its dependencies afterwards.
                let slot = added.get(id).copied();
                let known = |on: &FeatureId| added.get(on).is_none_or(|on| Some(*on) < slot);
                let mut spec = spec.clone().into_owned();
                if !spec.depends_on.iter().all(known) {
                    dependencies.push(depending(*id, &spec.depends_on));
                    spec.depends_on.clear();
                }
                let feature = *id;
                events.push(FeatureAdded { feature, spec }.into());
            }
        }
        edges.push(at);
    }
    let edges: Vec<(FeatureId, &FeatureSpec)> = edges
        .into_iter()
        .filter_map(|at| features.get(at))
        .map(|(id, spec)| (*id, &**spec))
        .collect();
    connected(state, &added, &edges)?;
    events.append(&mut dependencies);
    Ok(events)
}

/// Like `import`, for the features of a file, whose names are resolved first.
pub fn import_file(
    state: &State,
    features: &[BacklogFeature],
    update: bool,
) -> Result<Vec<Event>, Rejection> {
    let features = resolve(features.to_vec(), &names(state))?;
    import(state, &features, update)
}

/// Every feature number ever used, with the feature's name; empty if the feature was removed.
fn names(state: &State) -> BTreeMap<FeatureId, String> {
    let slots = (0..).map_while(|slot| state.in_slot(slot));
    let name = |feature: &Feature| match feature.status {
        Status::Removed => String::new(),
        _ => feature.spec.name.clone(),
    };
    slots.map(|feature| (feature.id, name(feature))).collect()
}

/// The spec as events have it: dependencies ascending, line ends of Unix.
fn normal(spec: &FeatureSpec) -> Cow<'_, FeatureSpec> {
    if spec.depends_on.is_sorted() && !spec.has_foreign_line_ends() {
        return Cow::Borrowed(spec);
    }
    let mut spec = spec.clone();
    spec.depends_on.sort_unstable();
    spec.normalise_line_ends();
    Cow::Owned(spec)
}

/// Checks that every spec is valid and every number is free. Returns the slots of the new features.
fn numbered(
    state: &State,
    features: &[(FeatureId, Cow<'_, FeatureSpec>)],
) -> Result<BTreeMap<FeatureId, u32>, Rejection> {
    let mut seen = BTreeSet::new();
    let mut added = BTreeMap::new();
    for (id, spec) in features {
        well_formed(*id, spec)?;
        if !seen.insert(*id) {
            return Err(bad(*id, "its number is given twice", ""));
        }
        if state.feature(*id).is_some() {
            continue;
        }
        if state.slot(*id).is_some() {
            return Err(bad(
                *id,
                "its number belonged to a feature that was removed",
                "use another",
            ));
        }
        let slot = state.graph().len() + added.len();
        added.insert(*id, u32::try_from(slot).unwrap_or(u32::MAX));
    }
    let total = state.graph().len() + added.len();
    if total > FEATURES_MAX {
        return Err(Rejection::TooManyFeatures(total as u64));
    }
    Ok(added)
}

/// No two features would have the same name. A feature that the same import renames frees its name.
fn named(
    state: &State,
    features: &[(FeatureId, Cow<'_, FeatureSpec>)],
    update: bool,
) -> Result<(), Rejection> {
    let mut names: BTreeMap<&str, FeatureId> = BTreeMap::new();
    let mut renamed = BTreeSet::new();
    for (id, spec) in features {
        if let Some(other) = names.insert(&spec.name, *id) {
            return Err(taken(other, &spec.name));
        }
        let before = state.feature(*id).map(|feature| &feature.spec.name);
        if update && before.is_some_and(|name| *name != spec.name) {
            renamed.insert(*id);
        }
    }
    for (id, spec) in features {
        let holder = state.feature_named(&spec.name);
        if let Some(other) = holder.filter(|other| other != id && !renamed.contains(other)) {
            return Err(taken(other, &spec.name));
        }
    }
    Ok(())
}

/// Events for a feature whose text, except its dependencies, has changed.
fn edited(state: &State, feature: &Feature, spec: &FeatureSpec) -> Result<Vec<Event>, Rejection> {
    let mut text = spec.clone();
    text.depends_on.clone_from(&feature.spec.depends_on);
    if text == feature.spec {
        return Ok(Vec::new());
    }
    let mut events = Vec::new();
    if !feature.spec.asks_the_same(&text) {
        // Its proof is in the log and refers to the old text.
        not_merging(state, feature)?;
        let same_proof = feature.spec.proven_by_the_same(&text);
        let pointless = |open: &Attempt| match open.job.kind {
            WorkerKind::Coding => true,
            WorkerKind::Testing => !same_proof,
        };
        events = cancellations(state, feature, pointless, &EndReason::FeatureEdited);
    }
    let feature = feature.id;
    events.push(
        FeatureEdited {
            feature,
            spec: text,
        }
        .into(),
    );
    Ok(events)
}

fn depending(feature: FeatureId, depends_on: &[FeatureId]) -> Event {
    let depends_on = depends_on.to_vec();
    DependenciesSet {
        feature,
        depends_on,
    }
    .into()
}

/// Cancels the feature's attempts that are not cancelled yet.
fn cancellations(
    state: &State,
    feature: &Feature,
    pointless: impl Fn(&Attempt) -> bool,
    reason: &EndReason,
) -> Vec<Event> {
    let open = |attempt: &&AttemptId| {
        let open = state.attempts.get(attempt);
        open.is_some_and(|open| open.cancelled.is_none() && pointless(open))
    };
    let cancel = |&attempt: &AttemptId| {
        let reason = reason.clone();
        JobCancelled { attempt, reason }.into()
    };
    feature.attempts.iter().filter(open).map(cancel).collect()
}

/// Checks that every dependency exists and that there is no cycle.
fn connected(
    state: &State,
    added: &BTreeMap<FeatureId, u32>,
    edges: &[(FeatureId, &FeatureSpec)],
) -> Result<(), Rejection> {
    let slot = |id: FeatureId| {
        let existing = || state.feature(id).and_then(|_| state.slot(id));
        added.get(&id).copied().or_else(existing)
    };
    let mut changes = Vec::with_capacity(edges.len());
    for (id, spec) in edges {
        let mut on = Vec::with_capacity(spec.depends_on.len());
        for &dependency in &spec.depends_on {
            let missing = Rejection::UnknownDependency {
                feature: *id,
                missing: dependency,
            };
            on.push(slot(dependency).ok_or(missing)?);
        }
        if let Some(slot) = slot(*id) {
            changes.push((slot, on));
        }
    }
    let cycle = state.graph().cycle_with(&changes);
    let Some(cycle) = cycle.filter(|_| !planted!(CycleAccepted)) else {
        return Ok(());
    };
    let fresh: BTreeMap<u32, FeatureId> = added.iter().map(|(&id, &slot)| (slot, id)).collect();
    let name = |slot: &u32| {
        let known = state.in_slot(*slot).map(|feature| feature.id);
        known.or_else(|| fresh.get(slot).copied())
    };
    Err(Rejection::Cycle(cycle.iter().filter_map(name).collect()))
}

fn well_formed(id: FeatureId, spec: &FeatureSpec) -> Result<(), Rejection> {
    let name = spec.name.trim();
    let (what, advice) = if id.0 == 0 || id.0 > FeatureId::MAX {
        (
            format!("its number must be from 1 to {}", FeatureId::MAX),
            "",
        )
    } else if name.is_empty() {
        ("it has no name".to_owned(), "give it one")
    } else if spec.name.len() > FeatureSpec::NAME_BYTES_MAX {
        let limit = FeatureSpec::NAME_BYTES_MAX;
        (
            format!("its name is longer than {limit} bytes"),
            "shorten it",
        )
    } else if spec.name.chars().chain(spec.category.chars()).any(garbles) {
        ("its name or category contains control characters or marks that change the direction of writing".to_owned(), "remove them")
    } else if spec.text_bytes() > FeatureSpec::TEXT_BYTES_MAX {
        let limit = FeatureSpec::TEXT_BYTES_MAX;
        (
            format!("its texts are longer than {limit} bytes together"),
            "shorten them",
        )
    } else if spec.steps.len().max(spec.checks.len()) > FeatureSpec::ITEMS_MAX {
        let limit = FeatureSpec::ITEMS_MAX;
        (
            format!("it has more than {limit} steps or checks"),
            "split it",
        )
    } else if spec.depends_on.len() > FeatureSpec::DEPENDENCIES_MAX {
        let limit = FeatureSpec::DEPENDENCIES_MAX;
        (
            format!("it depends on more than {limit} features"),
            "depend on one milestone feature instead",
        )
    } else if spec.checks.iter().any(|check| check.trim().is_empty()) {
        (
            "one of its checks is empty".to_owned(),
            "remove it, or write a command",
        )
    } else if spec.checks.iter().any(|check| check.contains('\0')) {
        (
            "one of its checks contains a zero byte, which no shell accepts".to_owned(),
            "remove it",
        )
    } else if spec.depends_on.iter().collect::<BTreeSet<_>>().len() < spec.depends_on.len() {
        ("it has the same dependency twice".to_owned(), "remove one")
    } else {
        return Ok(());
    };
    Err(bad(id, what, advice))
}

fn bad(feature: FeatureId, what: impl Into<String>, advice: &str) -> Rejection {
    let problem = Problem::new(what, advice);
    Rejection::BadFeature { feature, problem }
}

fn taken(feature: FeatureId, name: &str) -> Rejection {
    let name = name.to_owned();
    Rejection::NameTaken { feature, name }
}

fn known(state: &State, id: FeatureId) -> Result<&Feature, Rejection> {
    state
        .feature(id)
        .ok_or_else(|| match is_removed(state, id) {
            true => Rejection::WrongStatus {
                feature: id,
                status: Status::Removed.as_str().to_owned(),
                problem: Problem::new("it is no longer in the backlog", ""),
            },
            false => Rejection::UnknownFeature(id),
        })
}

fn is_removed(state: &State, id: FeatureId) -> bool {
    let feature = state.slot(id).and_then(|slot| state.in_slot(slot));
    feature.is_some_and(|feature| feature.status == Status::Removed)
}

fn wrong(feature: &Feature, what: &str, advice: &str) -> Rejection {
    Rejection::WrongStatus {
        feature: feature.id,
        status: feature.status.as_str().to_owned(),
        problem: Problem::new(what, advice),
    }
}

/// Fails while the feature's commit is being merged, because a merge cannot be stopped.
fn not_merging(state: &State, feature: &Feature) -> Result<(), Rejection> {
    let merging = state.open_merge().map(|merge| merge.attempt);
    if merging.is_some_and(|attempt| feature.attempts.contains(&attempt)) {
        return Err(wrong(
            feature,
            "it is being merged",
            "try again in a second",
        ));
    }
    Ok(())
}

pub fn remove(state: &State, id: FeatureId) -> Result<Vec<Event>, Rejection> {
    if is_removed(state, id) {
        return Ok(Vec::new());
    }
    let feature = known(state, id)?;
    not_merging(state, feature)?;
    let mut events = cancellations(state, feature, |_| true, &EndReason::FeatureRemoved);
    events.push(FeatureRemoved { feature: id }.into());
    Ok(events)
}

pub fn skip(state: &State, id: FeatureId, reason: &str) -> Result<Vec<Event>, Rejection> {
    let feature = known(state, id)?;
    not_merging(state, feature)?;
    match feature.status {
        Status::Passing => {
            let advice = "to take it out of the backlog, use `scheduler remove`";
            return Err(wrong(feature, "its work is already on the branch", advice));
        }
        Status::Skipped => return Ok(Vec::new()),
        _ => {}
    }
    let mut events = cancellations(state, feature, |_| true, &EndReason::FeatureSkipped);
    let reason = clip(reason, REASON_BYTES_MAX).to_owned();
    events.push(
        FeatureSkipped {
            feature: id,
            reason,
        }
        .into(),
    );
    Ok(events)
}

pub fn retry(state: &State, ids: &[FeatureId]) -> Result<Vec<Event>, Rejection> {
    let again = |feature| RetryRequested { feature }.into();
    if ids.is_empty() {
        let failed = |it: &&Feature| it.status == Status::Parked || state.is_unproven(it);
        let failed = state.features().filter(failed).map(|feature| feature.id);
        return Ok(failed.map(again).collect());
    }
    let mut events = Vec::new();
    for &id in &ids.iter().copied().collect::<BTreeSet<_>>() {
        let feature = known(state, id)?;
        match feature.status {
            // There is nothing to forgive: it passes, or a run tries it anyway.
            Status::Passing if feature.inconclusive == 0 && feature.lost_streak == 0 => {}
            Status::Pending | Status::Regressed
                if feature.is_unblemished() && !state.being_coded(feature) => {}
            Status::Running => {
                return Err(wrong(
                    feature,
                    "an attempt is working on it",
                    "try again when that has ended",
                ));
            }
            Status::NeedsInput => {
                let advice = "answer it with `scheduler answer`";
                return Err(wrong(feature, "its agent asked a question", advice));
            }
            _ if state.being_coded(feature) => {
                // The feature is not assigned again before the old agent is known to have ended.
                return Err(wrong(
                    feature,
                    "its attempt is ending",
                    "try again in a second",
                ));
            }
            _ => events.push(again(id)),
        }
    }
    Ok(events)
}

pub fn answer(state: &State, id: FeatureId, answer: &str) -> Result<Vec<Event>, Rejection> {
    let feature = known(state, id)?;
    if feature.status != Status::NeedsInput {
        return Err(wrong(feature, "its agent has not asked a question", ""));
    }
    if answer.trim().is_empty() {
        return Err(bad(id, "the answer is empty", ""));
    }
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(bad(id, "the answer is longer than 64 KiB", "shorten it"));
    }
    let answer = answer.to_owned();
    Ok(vec![
        InputAnswered {
            feature: id,
            answer,
        }
        .into(),
    ])
}
