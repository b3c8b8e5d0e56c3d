//! The job as the worker wrote it, and the verdict as the worker reads it.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::ScriptError;

/// The part of `job.json` that matters here; the file may contain more.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Job {
    pub(super) kind: Kind,
    /// Number of the try, from 1.
    #[serde(default = "one")]
    pub(super) attempt_number: u32,
    pub(super) features: Vec<Feature>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Coding,
    Testing,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Feature {
    pub(super) id: u32,
    #[serde(default)]
    pub(super) regressed: bool,
    /// How often it has regressed so far, from 1; a job without it means the first time.
    #[serde(default = "one")]
    pub(super) regressions: u32,
}

fn one() -> u32 {
    1
}

impl Job {
    /// Reads the file that `CREWLOG_JOB` names.
    pub(super) fn read() -> Result<Self, ScriptError> {
        let path = variable("CREWLOG_JOB")?;
        let fail = |why: String| ScriptError::Job {
            path: path.clone(),
            why,
        };
        let bytes = std::fs::read(&path).map_err(|error| fail(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))
    }
}

/// The path in an environment variable that the worker sets.
fn variable(name: &'static str) -> Result<PathBuf, ScriptError> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value
        .map(PathBuf::from)
        .ok_or(ScriptError::Environment { name })
}

/// The verdicts of a session, one for each feature that has one.
#[derive(Debug)]
pub(super) struct Verdicts {
    single: bool,
    list: Vec<Value>,
}

impl Verdicts {
    pub(super) fn new(job: &Job) -> Self {
        Self {
            single: job.features.len() == 1,
            list: Vec::new(),
        }
    }

    pub(super) fn pass(&mut self, feature: u32) -> Result<(), ScriptError> {
        self.add(json!({ "feature": feature, "verdict": "pass" }))
    }

    pub(super) fn fail(&mut self, feature: u32, reason: &str) -> Result<(), ScriptError> {
        self.add(json!({ "feature": feature, "verdict": "fail", "reason": reason }))
    }

    pub(super) fn input(&mut self, feature: u32, question: &str) -> Result<(), ScriptError> {
        self.add(json!({ "feature": feature, "verdict": "input", "question": question }))
    }

    fn add(&mut self, verdict: Value) -> Result<(), ScriptError> {
        self.list
            .retain(|known| known.get("feature") != verdict.get("feature"));
        self.list.push(verdict);
        let path = variable("CREWLOG_VERDICT")?;
        let whole = match self.list.as_slice() {
            [verdict] if self.single => verdict.clone(),
            list => Value::Array(list.to_vec()),
        };
        replace(&path, &whole.to_string()).map_err(|source| ScriptError::File {
            what: "write the verdict",
            path,
            source,
        })
    }
}

/// Writes a file atomically.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    std::fs::write(&name, text)?;
    std::fs::rename(&name, path)
}
