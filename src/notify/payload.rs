//! A notice as programs get it.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::model::ids::{AttemptId, FeatureId, Sequence};
use crate::model::views::{Notice, NoticeKind};

/// Where notices come from.
#[derive(Clone)]
pub struct Origin {
    /// Identifies the project: random, and the same for its whole life.
    pub project_id: String,
    /// Name of the project's directory.
    pub project: String,
    /// Path of that directory.
    pub root: PathBuf,
    /// Removes secrets from a text.
    pub mask: Arc<dyn Fn(&str) -> String + Send + Sync>,
}

/// What is told of a run's end besides its reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct End {
    /// The exit code of `scheduler run`.
    pub exit_code: u8,
    /// Number of features in the backlog.
    pub features: u32,
    /// Number of those that pass.
    pub passing: u32,
    /// Number of features that passed in this run.
    pub passed: u32,
    /// Number of things that wait for a person.
    pub needs: u32,
    /// Milliseconds that the run took.
    pub wall_ms: u64,
    /// Tokens that the run used.
    pub tokens: u64,
    /// Its cost in US dollars, as far as agents report it.
    pub cost_usd: f64,
}

/// The JSON object. Fields are never removed or given another meaning.
#[derive(Clone, Debug, Serialize)]
pub struct Payload {
    version: u32,
    /// The same for a notice that comes twice.
    id: String,
    pub(super) kind: NoticeKind,
    project: String,
    root: String,
    pub(super) title: String,
    pub(super) text: String,
    next: String,
    feature: Option<FeatureId>,
    name: String,
    attempt: Option<AttemptId>,
    pub(super) sequence: Sequence,
    /// Milliseconds since 1970.
    at: u64,
    /// When a provider's limit ends, in milliseconds since 1970.
    until: Option<u64>,
    /// Only of an end.
    end: Option<End>,
}

impl Payload {
    pub(super) fn of(notice: &Notice, origin: &Origin, end: Option<End>) -> Self {
        let mask = &origin.mask;
        let (id, event) = (&origin.project_id, notice.sequence);
        Self {
            version: 1,
            id: format!("{id}/{}/{}", event.0, notice.kind.as_str()),
            kind: notice.kind,
            project: origin.project.clone(),
            root: origin.root.to_string_lossy().into_owned(),
            title: mask(&notice.title),
            text: mask(&notice.text),
            next: notice.next.clone(),
            feature: notice.feature,
            name: mask(&notice.name),
            attempt: notice.attempt,
            sequence: notice.sequence,
            at: notice.at.0,
            until: notice.until.map(|until| until.0),
            end,
        }
    }

    /// As one line of JSON.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// As environment variables for scripts that do not read JSON.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let feature = self.feature.map(|feature| feature.0.to_string());
        let code = self.end.as_ref().map(|end| end.exit_code.to_string());
        vec![
            ("CREWLOG_NOTICE", self.kind.as_str().to_owned()),
            ("CREWLOG_PROJECT", self.project.clone()),
            ("CREWLOG_TITLE", self.title.clone()),
            ("CREWLOG_TEXT", self.text.clone()),
            ("CREWLOG_NEXT", self.next.clone()),
            ("CREWLOG_FEATURE", feature.unwrap_or_default()),
            ("CREWLOG_EXIT_CODE", code.unwrap_or_default()),
        ]
    }
}
