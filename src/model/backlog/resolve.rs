//! Resolves a file's names and numbers among the existing features.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::suggest::quoted;
use super::{BacklogErrors, BacklogFeature, Reference};
use crate::model::feature::FeatureSpec;
use crate::model::graph::Graph;
use crate::model::ids::FeatureId;

/// Gives every feature of a file its number and its dependencies.
///
/// `existing` has every number that was ever used, with the feature's name; an empty name means
/// that the feature was removed, and its number is not assigned again.
///
/// A feature without a number that has the name of an existing one is that one; the others get the
/// smallest numbers above all used ones, in the order of the file. Numbers and names are unique,
/// dependencies exist, and nothing in the file waits for itself. The dependencies of existing
/// features are not known here: a cycle through them is found when the import is decided.
///
/// The result is ordered so that every feature of the file follows its dependencies, and otherwise
/// as the file is. Dependencies are ascending and without repeats.
///
/// # Errors
///
/// All problems together.
pub fn resolve(
    parsed: Vec<BacklogFeature>,
    existing: &BTreeMap<FeatureId, String>,
) -> Result<Vec<(FeatureId, FeatureSpec)>, BacklogErrors> {
    let mut errors = BacklogErrors::default();
    let names = Names::of(&parsed, existing, &mut errors);
    let ids = names.number(&parsed, &mut errors);
    // Later checks use the numbers, and would only repeat what is wrong with them.
    std::mem::take(&mut errors).or(())?;
    let places: BTreeMap<FeatureId, usize> =
        ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
    let mut depends_on = Vec::with_capacity(parsed.len());
    for (feature, &id) in parsed.iter().zip(&ids) {
        let mut on = BTreeSet::new();
        for reference in &feature.depends_on {
            match names.find(reference, &ids, &places) {
                Some(other) if other != id => {
                    on.insert(other);
                }
                // Suggestions compare every name, so they are only computed for problems that are
                // listed.
                _ if errors.full() => errors.more += 1,
                found => {
                    let message = names.explain(reference, found);
                    errors.add(feature.place.line, Some(&feature.place), message);
                }
            }
        }
        depends_on.push(on.into_iter().collect::<Vec<_>>());
    }
    std::mem::take(&mut errors).or(())?;
    if let Some(message) = cycle(&ids, &depends_on, &places) {
        errors.add(0, None, message);
    }
    errors.or(())?;
    let order = in_order(&depends_on, &places);
    let features = parsed.into_iter().zip(ids).zip(depends_on);
    let mut features: Vec<_> = features
        .map(|((feature, id), depends_on)| {
            Some((
                id,
                FeatureSpec {
                    depends_on,
                    ..feature.spec
                },
            ))
        })
        .collect();
    Ok(order
        .into_iter()
        .filter_map(|at| features.get_mut(at)?.take())
        .collect())
}

/// The features by name.
struct Names<'a> {
    existing: &'a BTreeMap<FeatureId, String>,
    /// Features of the file by name.
    ours: BTreeMap<&'a str, usize>,
    /// Existing features by name.
    theirs: BTreeMap<&'a str, FeatureId>,
    /// The number of each feature of the file that has one before numbers are assigned.
    known: Vec<Option<FeatureId>>,
}

impl<'a> Names<'a> {
    fn of(
        parsed: &'a [BacklogFeature],
        existing: &'a BTreeMap<FeatureId, String>,
        errors: &mut BacklogErrors,
    ) -> Self {
        let named = existing.iter().filter(|(_, name)| !name.is_empty());
        let theirs: BTreeMap<&str, FeatureId> =
            named.map(|(&id, name)| (name.as_str(), id)).collect();
        let mut ours: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, feature) in parsed.iter().enumerate() {
            let place = Some(&feature.place);
            let name = feature.spec.name.as_str();
            if let Some(first) = ours.insert(name, at).and_then(|first| parsed.get(first)) {
                let first = first.place.number;
                let message =
                    format!("feature {first} has the same name; names must be unique, rename one");
                errors.add(feature.place.line, place, message);
            }
            let (Some(id), Some(&other)) = (feature.id, theirs.get(name)) else {
                continue;
            };
            if id != other {
                let message = format!(
                    "has the id {}, but its name belongs to feature {other}; \
                     leave out the id to mean that one, or rename it",
                    id.0
                );
                errors.add(feature.place.line, place, message);
            }
        }
        let known = parsed.iter().map(|feature| {
            feature
                .id
                .or_else(|| theirs.get(feature.spec.name.as_str()).copied())
        });
        let known = known.collect();
        Self {
            existing,
            ours,
            theirs,
            known,
        }
    }

    /// The number of each feature of the file.
    fn number(&self, parsed: &[BacklogFeature], errors: &mut BacklogErrors) -> Vec<FeatureId> {
        let mut first: BTreeMap<FeatureId, usize> = BTreeMap::new();
        for (feature, id) in parsed.iter().zip(&self.known) {
            let Some(id) = *id else { continue };
            let place = Some(&feature.place);
            if let Some(first) = first.insert(id, feature.place.number) {
                let message =
                    format!("feature {first} has the id {id} too; give each its own id, or none");
                errors.add(feature.place.line, place, message);
            }
            if self.existing.get(&id).is_some_and(String::is_empty) {
                let message = format!(
                    "{id} was removed, and numbers are not reused; use another id, or none"
                );
                errors.add(feature.place.line, place, message);
            }
        }
        let used = self.existing.last_key_value().map(|(id, _)| *id);
        let greatest = self.known.iter().flatten().copied().max().max(used);
        let mut next = greatest.map_or(1, |id| id.0.saturating_add(1));
        let mut ids = Vec::with_capacity(parsed.len());
        for (feature, id) in parsed.iter().zip(&self.known) {
            let id = id.unwrap_or(FeatureId(next));
            next = next.saturating_add(u32::from(id.0 == next));
            if id.0 > FeatureId::MAX {
                let most = FeatureId::MAX;
                let message =
                    format!("no number up to {most} is left for it; give it and others lower ids");
                errors.add(feature.place.line, Some(&feature.place), message);
            }
            ids.push(id);
        }
        ids
    }

    /// The feature that a reference means. `ids` and `places` are the features of the file.
    fn find(
        &self,
        reference: &Reference,
        ids: &[FeatureId],
        places: &BTreeMap<FeatureId, usize>,
    ) -> Option<FeatureId> {
        match reference {
            Reference::Id(id) => {
                let lives = || self.existing.get(id).is_some_and(|name| !name.is_empty());
                (places.contains_key(id) || lives()).then_some(*id)
            }
            Reference::Name(name) => match self.ours.get(name.as_str()) {
                Some(&at) => ids.get(at).copied(),
                // A feature that the file renames has lost its old name.
                None => {
                    let theirs = self.theirs.get(name.as_str()).copied();
                    theirs.filter(|id| !places.contains_key(id))
                }
            },
        }
    }

    /// Why a reference that was `found` is not valid here.
    fn explain(&self, reference: &Reference, found: Option<FeatureId>) -> String {
        if let Some(id) = found {
            return format!("depends on itself ({id}); remove this from `depends_on`");
        }
        let name = match reference {
            Reference::Id(id) if self.existing.contains_key(id) => {
                return format!(
                    "depends on {id}, which was removed; remove this from `depends_on`"
                );
            }
            Reference::Id(id) => {
                return format!(
                    "depends on {id}, which is not in the file or the backlog; \
                     correct the id or add the feature"
                );
            }
            Reference::Name(name) => name.as_str(),
        };
        let shown = quoted(name);
        if let Some(id) = self.theirs.get(name) {
            return format!(
                "depends on {shown}, which this file renames; use its new name or {id}"
            );
        }
        let lower = name.to_lowercase();
        let mut all = self.ours.keys().chain(self.theirs.keys());
        let hint = match all.find(|other| other.to_lowercase() == lower) {
            Some(other) => format!("did you mean {}?", quoted(other)),
            None => "correct the name, or add the feature".to_owned(),
        };
        format!("depends on {shown}, which is not in the file or the backlog; {hint}")
    }
}

/// Names a cycle within the file, if there is one.
fn cycle(
    ids: &[FeatureId],
    depends_on: &[Vec<FeatureId>],
    places: &BTreeMap<FeatureId, usize>,
) -> Option<String> {
    // More of a long cycle helps nobody, and a line should stay a line.
    const SHOWN: usize = 12;
    let within = |on: &Vec<FeatureId>| {
        on.iter()
            .filter_map(|id| u32::try_from(*places.get(id)?).ok())
            .collect()
    };
    let changes: Vec<(u32, Vec<u32>)> = (0..).zip(depends_on.iter().map(within)).collect();
    let path = Graph::default().cycle_with(&changes)?;
    let mut path: Vec<FeatureId> = path
        .iter()
        .filter_map(|&at| ids.get(at as usize).copied())
        .collect();
    // It begins with the feature that is first in the file, because people look for the lowest
    // number.
    path.pop();
    let lowest = (0..path.len()).min_by_key(|&at| path.get(at).copied())?;
    path.rotate_left(lowest);
    path.extend(path.first().copied());
    let mut text = String::from("dependency cycle: ");
    let last = path.len() - 1;
    for (at, id) in path.iter().enumerate() {
        if at == 0 {
            let _ = write!(text, "{id}");
        } else if at < SHOWN || at == last {
            let _ = write!(text, " -> {id}");
        } else if at == SHOWN {
            let _ = write!(text, " -> ({} more)", last - SHOWN);
        }
    }
    text.push_str("; remove one of these dependencies");
    Some(text)
}

/// An order of the file in which dependencies come first, always with the first possible feature
/// next.
fn in_order(depends_on: &[Vec<FeatureId>], places: &BTreeMap<FeatureId, usize>) -> Vec<usize> {
    let mut waits = vec![0usize; depends_on.len()];
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); depends_on.len()];
    for ((at, on), waits) in depends_on.iter().enumerate().zip(&mut waits) {
        for place in on.iter().filter_map(|id| places.get(id)) {
            if let Some(dependents) = dependents.get_mut(*place) {
                dependents.push(at);
                *waits += 1;
            }
        }
    }
    let free = waits.iter().enumerate().filter(|(_, waits)| **waits == 0);
    let mut free: BTreeSet<usize> = free.map(|(at, _)| at).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(at) = free.pop_first() {
        order.push(at);
        for &dependent in dependents.get(at).map_or(&[][..], Vec::as_slice) {
            if let Some(waits) = waits.get_mut(dependent) {
                *waits -= 1;
                if *waits == 0 {
                    free.insert(dependent);
                }
            }
        }
    }
    order
}
