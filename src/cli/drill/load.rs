//! Keeps the backlog of a drill from running dry while it kills.

use std::sync::{Arc, Mutex, PoisonError};

use super::observer::Observer;
use super::sandbox_repo::{SandboxRepo, WAVE};
use crate::cli::config::Config;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::store;
use crate::model::command::PersonCommand;
use crate::model::feature::FeatureSpec;
use crate::model::ids::{CommandId, FeatureId};

/// More features are imported when fewer than this are unmerged.
const LOW: u32 = 18;

/// An import that is not acknowledged yet. It keeps its command id, so that it takes effect once even
/// if it is repeated.
type Pending = (CommandId, Vec<(FeatureId, FeatureSpec)>);

/// Imports features in waves.
pub struct Load {
    observer: Arc<Mutex<Observer>>,
    config: Config,
    pending: Option<Pending>,
    /// Number of features whose import was acknowledged; they are numbered from 1.
    pub acknowledged: u32,
    /// Imports that were repeated because no answer came.
    pub repeated: u32,
}

impl Load {
    /// A load that has not imported anything yet.
    pub fn new(sandbox: &SandboxRepo, observer: Arc<Mutex<Observer>>) -> Result<Self, Error> {
        Ok(Self {
            observer,
            config: Config::load(&sandbox.project)?,
            pending: None,
            acknowledged: 0,
            repeated: 0,
        })
    }

    fn low(&self) -> bool {
        let passed = self
            .observer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .passed;
        self.acknowledged.saturating_sub(passed) < LOW
    }

    /// Whether an import is waiting for its answer.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Imports the next wave if it is time. If the scheduler dies in between, the import stays
    /// pending.
    ///
    /// # Errors
    /// If the import is refused, which no kill may cause.
    pub async fn refill(&mut self, sandbox: &SandboxRepo) -> Result<(), Error> {
        if self.pending.is_none() && !self.low() {
            return Ok(());
        }
        // The import stays pending until it is acknowledged, even if this future is dropped.
        let (id, features) = match &self.pending {
            Some(pending) => {
                self.repeated += 1;
                pending.clone()
            }
            None => (store::new_command(), sandbox.wave(self.acknowledged + 1)?),
        };
        self.pending = Some((id, features.clone()));
        let command = PersonCommand::Import {
            features,
            update: false,
        };
        match store::submit_as(&sandbox.project, &self.config, id, command).await {
            Ok(_) => {
                self.acknowledged += WAVE;
                self.pending = None;
            }
            Err(error) if error.code == ExitCode::Usage => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }
}
