//! What agents and people write for a worker: verdict files, templates of prompts, and
//! placeholders in an agent's arguments. The first byte says how many features the job has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crewlog::agent::driver::{JobPaths, Session};
use crewlog::agent::process::Isolation;
use crewlog::agent::{SessionLimits, Transcript, placeholders};
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::{AttemptId, CommitId, FeatureId};
use crewlog::model::report::JobFeature;
use crewlog::model::settings::WorkerKind;
use crewlog::worker::job::JobView;
use crewlog::worker::prompt::Template;
use crewlog::worker::verdict::{self, Claim};
use tokio_util::sync::CancellationToken;

use super::take::Take;
use super::useful;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    let features: Vec<FeatureId> = (1..=u32::from(take.byte() % 4)).map(FeatureId).collect();
    claims(take.0, &features);
    if let Ok(text) = std::str::from_utf8(take.0) {
        template(text, &features);
        argument(text);
    }
}

fn claims(text: &[u8], features: &[FeatureId]) {
    let reading = verdict::parse(text, features);
    if let Some(note) = &reading.note {
        useful(note);
        assert!(note.len() < 4_096, "{note}");
    }
    let claims = reading.claims;
    assert!(claims.len() <= features.len());
    for (feature, claim) in &claims {
        assert!(features.contains(feature));
        assert_eq!(
            claims.iter().filter(|(other, _)| other == feature).count(),
            1
        );
        if let Claim::Fail(words) | Claim::Input(words) = claim {
            assert!(!words.is_empty() && words.trim() == words);
        }
    }
}

/// A text in a feature is never taken for a placeholder, and what is no placeholder stays.
fn template(text: &str, features: &[FeatureId]) {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return useful(&error.to_string()),
    };
    let feature = |id: &FeatureId| JobFeature {
        id: *id,
        spec: FeatureSpec {
            name: "{{base}}".to_owned(),
            ..FeatureSpec::default()
        },
        regressed: false,
        regression: None,
        previous_failures: Vec::new(),
        answers: Vec::new(),
    };
    let rendered = template.render(&JobView {
        kind: WorkerKind::Coding,
        attempt: AttemptId(7),
        attempt_number: 1,
        base: CommitId::default(),
        features: features.iter().map(feature).collect(),
        worktree: "/w".into(),
        job_file: "/j".into(),
        verdict_file: "/v".into(),
        ports: 0..1,
        outputs: Default::default(),
    });
    let named = text.matches("{{").count();
    assert_eq!(rendered == text, named == 0);
    let names = rendered.matches("{{base}}").count();
    assert_eq!(names % features.len().max(1), 0, "{rendered}");
}

/// Arguments that are accepted are filled in, and without a placeholder they stay as they are.
fn argument(text: &str) {
    let session = Session {
        prompt: String::new(),
        worktree: PathBuf::from("/w"),
        env: BTreeMap::new(),
        paths: JobPaths::default(),
        feature: 1,
        attempt: 7,
        token: String::new(),
        own_executable: PathBuf::new(),
        isolation: Isolation::Auto,
        cage: None,
        resume: None,
        limits: SessionLimits {
            idle_ms: 0,
            time_ms: 0,
            steps_max: 0,
            grace_ms: 0,
        },
        transcript: Transcript::none(),
        cancel: CancellationToken::new(),
    };
    let values = placeholders::Values::of(&session, "{worktree}");
    let checked = placeholders::check(&[text.to_owned()]);
    let filled = values.fill(text);
    assert_eq!(checked.is_ok(), filled.is_ok());
    match filled {
        Ok(filled) if !text.contains('{') => assert_eq!(filled, text),
        Ok(filled) => assert!(filled.len() + 2 * text.len() + 16 >= text.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
