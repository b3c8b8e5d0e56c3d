//! What the tests of several drivers need.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::process::Isolation;
use super::{JobPaths, Session, SessionLimits, Transcript};

/// A session of which only the arguments matter; it continues an earlier one if `resume` says so.
pub fn session(resume: Option<&str>) -> Session {
    Session {
        prompt: "the prompt".to_owned(),
        worktree: PathBuf::from("/w"),
        env: BTreeMap::new(),
        paths: JobPaths::default(),
        feature: 5,
        attempt: 7,
        token: String::new(),
        own_executable: PathBuf::new(),
        isolation: Isolation::Auto,
        cage: None,
        resume: resume.map(str::to_owned),
        limits: SessionLimits {
            idle_ms: 0,
            time_ms: 0,
            steps_max: 0,
            grace_ms: 0,
        },
        transcript: Transcript::none(),
        cancel: CancellationToken::new(),
    }
}
