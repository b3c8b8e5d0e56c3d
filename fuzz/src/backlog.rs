//! The backlog file, TOML or JSON as the first byte says, the features that it resolves to, and
//! what becomes of them in the log.

use std::collections::BTreeMap;

use crewlog::model::backlog::{BacklogErrors, Format, PROBLEMS_MAX, parse, resolve};
use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::encoding;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::{CommandId, Epoch, FeatureId, Timestamp};
use crewlog::model::state::State;
use crewlog::scheduler::core::Core;
use serde_json::json;

use super::take::Take;
use super::{fold, harmless, useful};

/// What a file comes to.
type Features = Vec<(FeatureId, FeatureSpec)>;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    let format = match take.byte() % 2 {
        0 => Format::Toml,
        _ => Format::Json,
    };
    let text = match encoding::decode(take.0) {
        Ok(text) => text,
        Err(error) => {
            useful(&error.to_string());
            useful(&error.remedy("backlog.toml"));
            let lines = take.0.split(|byte| *byte == b'\n').count();
            assert!(error.line() <= lines, "{error}");
            return;
        }
    };
    match read(text, format, &BTreeMap::new()) {
        Ok(features) => accepted(&features),
        Err(errors) => refused(text, &errors),
    }
}

fn read(
    text: &str,
    format: Format,
    existing: &BTreeMap<FeatureId, String>,
) -> Result<Features, BacklogErrors> {
    resolve(parse(text, format)?, existing)
}

fn refused(text: &str, errors: &BacklogErrors) {
    useful(&errors.to_string());
    harmless(&errors.to_string());
    assert!((1..=PROBLEMS_MAX).contains(&errors.problems.len()));
    let lines = text.matches('\n').count() + 1;
    for problem in &errors.problems {
        useful(&problem.message);
        assert!(problem.line <= lines, "line {} of {lines}", problem.line);
    }
}

fn accepted(features: &Features) {
    let mut before = std::collections::BTreeSet::new();
    for (id, spec) in features {
        assert!((1..=FeatureId::MAX).contains(&id.0) && before.insert(*id));
        assert!(
            spec.depends_on
                .iter()
                .all(|on| on != id && before.contains(on))
        );
        assert!(spec.depends_on.is_sorted_by(|one, other| one < other));
        assert!((1..=FeatureSpec::NAME_BYTES_MAX).contains(&spec.name.len()));
        assert!(spec.text_bytes() <= FeatureSpec::TEXT_BYTES_MAX);
    }
    let json = as_json(features);
    let none = BTreeMap::new();
    assert_eq!(
        read(&json, Format::Json, &none).as_ref(),
        Ok(features),
        "{json}"
    );
    let toml = as_toml(&json);
    assert_eq!(
        read(&toml, Format::Toml, &none).as_ref(),
        Ok(features),
        "{toml}"
    );
    let names = features.iter().map(|(id, spec)| (*id, spec.name.clone()));
    let again = read(&json, Format::Json, &names.collect());
    assert_eq!(again.as_ref(), Ok(features), "imported twice");
    imported(features);
}

fn as_json(features: &Features) -> String {
    let feature = |(id, spec): &(FeatureId, FeatureSpec)| {
        json!({
            "id": id, "category": spec.category, "name": spec.name,
            "description": spec.description, "steps": spec.steps, "checks": spec.checks,
            "depends_on": spec.depends_on, "priority": spec.priority,
        })
    };
    json!({ "features": features.iter().map(feature).collect::<Vec<_>>() }).to_string()
}

fn as_toml(json: &str) -> String {
    let value: toml::Value = serde_json::from_str(json).expect("our own JSON");
    toml::to_string(&value).expect("as TOML")
}

/// The log takes what the file's reader took, and takes it once.
fn imported(features: &Features) {
    let mut core = Core::new(State::default(), Epoch(1));
    for (id, changed) in [(1, !features.is_empty()), (2, false)] {
        let (features, update) = (features.clone(), id == 2);
        let command = Command::Person(PersonCommand::Import { features, update });
        let answer = core.submit(
            &crewlog::model::actor::Actor::Scheduler,
            CommandId(id),
            Timestamp(id as u64),
            &command,
        );
        let accepted = answer.unwrap_or_else(|rejection| panic!("import {id}: {rejection}"));
        assert_eq!(accepted.last >= accepted.first, changed, "import {id}");
    }
    assert_eq!(core.state().features().count(), features.len());
    for (id, spec) in features {
        assert_eq!(
            core.state().feature(*id).map(|feature| &feature.spec),
            Some(spec)
        );
    }
    let mut state = core.state().clone();
    state.settle();
    fold::stored(&state);
}
