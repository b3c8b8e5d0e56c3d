//! Commands in a few words.

use crewlog::model::command::{Command, PersonCommand};
use crewlog::model::event::RunOutcome;
use crewlog::model::evidence::FailureKind;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::FeatureId;
use crewlog::model::profile::ProfileName;
use crewlog::model::report::Report;
use crewlog::model::settings::Settings;

use crate::given::*;

pub fn import(features: &[(u32, FeatureSpec)], update: bool) -> Command {
    let features = features
        .iter()
        .map(|(number, spec)| (id(*number), spec.clone()));
    Command::Person(PersonCommand::Import {
        features: features.collect(),
        update,
    })
}

pub fn edited(number: u32, depends_on: &[u32], edit: impl Fn(&mut FeatureSpec)) -> FeatureSpec {
    let mut spec = spec(number, depends_on);
    edit(&mut spec);
    spec
}

pub fn skip(number: u32) -> Command {
    Command::Person(PersonCommand::Skip {
        feature: id(number),
        reason: "not now".to_owned(),
    })
}

pub fn remove(number: u32) -> Command {
    let feature = id(number);
    Command::Person(PersonCommand::Remove { feature })
}

pub fn retry(numbers: &[u32]) -> Command {
    let features = numbers.iter().copied().map(FeatureId).collect();
    Command::Person(PersonCommand::Retry { features })
}

pub fn answer(number: u32, words: &str) -> Command {
    Command::Person(PersonCommand::Answer {
        feature: id(number),
        answer: words.to_owned(),
    })
}

pub fn pause() -> Command {
    Command::Person(PersonCommand::Pause {
        reason: "lunch".to_owned(),
    })
}

pub fn resume() -> Command {
    Command::Person(PersonCommand::Resume)
}

pub fn rules(settings: Settings) -> Command {
    Command::Person(PersonCommand::change_to(&settings))
}

pub fn finishing(outcome: RunOutcome) -> Command {
    Command::FinishRun {
        outcome,
        reason: String::new(),
    }
}

/// The end that is planned, with two idle workers.
pub fn end(story: &mut Story) -> Option<(RunOutcome, String)> {
    let idle = [story.join(CODING), story.join(TESTING)];
    match story.plan(&idle).command? {
        Command::FinishRun { outcome, reason } => Some((outcome, reason)),
        command => panic!("not the end: {command:?}"),
    }
}

pub fn failing(features: &[u32], kind: FailureKind) -> Report {
    let failures = features.iter().map(|&number| (id(number), failure(kind)));
    Report::Failed {
        failures: failures.collect(),
        limited_until: None,
    }
}

/// The agent that a test of these features starts, if any.
pub fn agent_for(story: &Story, features: &[u32]) -> Option<ProfileName> {
    let features: Vec<_> = features.iter().copied().map(FeatureId).collect();
    story
        .state
        .starts_agent(TESTING, &features)
        .then(ProfileName::unnamed)
}
