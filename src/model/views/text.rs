//! The view behind `scheduler show N`: a feature's text and its neighbours.

use serde::Serialize;

use crate::model::derived_status::{DerivedStatus, DerivedStatuses};
use crate::model::feature::FeatureSpec;
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::state::State;

/// A feature's text and status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureText {
    /// Number of the feature.
    pub feature: FeatureId,
    /// Its derived status.
    pub status: DerivedStatus,
    /// Its spec in the backlog.
    #[serde(flatten)]
    pub spec: FeatureSpec,
    /// Why it was skipped; empty if it was not, or without a reason.
    pub skipped: String,
    /// Features that it directly depends on.
    pub waits_for: Vec<Neighbour>,
    /// Features that directly depend on it.
    pub unblocks: Vec<Neighbour>,
}

/// A feature that this one depends on, or that depends on this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// Number of the feature.
    pub feature: FeatureId,
    /// Name of the feature.
    pub name: String,
    /// Its derived status.
    pub status: DerivedStatus,
}

/// The text of feature `id`; `None` if there is no such feature.
pub fn feature_text(state: &State, id: FeatureId, now: Timestamp) -> Option<FeatureText> {
    let feature = state.feature(id)?;
    let statuses = DerivedStatuses::of(state, now);
    let neighbour = |id: FeatureId| {
        let feature = state.feature(id)?;
        Some(Neighbour {
            feature: id,
            name: feature.spec.name.clone(),
            status: statuses.of_feature(feature),
        })
    };
    let waits_for = feature.spec.depends_on.iter().copied();
    let mut unblocks: Vec<Neighbour> = state.dependents(id).filter_map(neighbour).collect();
    unblocks.sort_by_key(|neighbour| neighbour.feature);
    Some(FeatureText {
        feature: id,
        status: statuses.of_feature(feature),
        skipped: feature.words.skipped.clone(),
        spec: feature.spec.clone(),
        waits_for: waits_for.filter_map(neighbour).collect(),
        unblocks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::views::fixtures::*;

    #[test]
    fn a_feature_is_shown_with_its_neighbours() {
        let mut log = Log::default();
        log.record(added(1, "one", &[]));
        log.record(added(2, "two", &[1]));
        log.record(added(3, "three", &[1, 2]));
        let text = feature_text(&log.state, FeatureId(2), Timestamp(0)).expect("it is there");
        let told = |neighbours: &[Neighbour]| -> Vec<(u32, DerivedStatus)> {
            neighbours
                .iter()
                .map(|it| (it.feature.0, it.status))
                .collect()
        };
        assert_eq!(
            (text.spec.name.as_str(), text.status),
            ("two", DerivedStatus::Blocked)
        );
        assert_eq!(told(&text.waits_for), [(1, DerivedStatus::Ready)]);
        assert_eq!(told(&text.unblocks), [(3, DerivedStatus::Blocked)]);
        assert_eq!(feature_text(&log.state, FeatureId(4), Timestamp(0)), None);
    }
}
