//! The backlog of a drill never runs dry while the killing goes on.

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

/// Fewer unmerged features than this, and more are imported.
const LOW: u32 = 18;

/// An import that has not been acknowledged yet keeps its name, so that it is carried out once,
/// however often it is repeated.
type Pending = (CommandId, Vec<(FeatureId, FeatureSpec)>);

/// Imports features, wave by wave.
pub struct Load {
    observer: Arc<Mutex<Observer>>,
    config: Config,
    pending: Option<Pending>,
    /// Features whose import was acknowledged; they are numbered from 1.
    pub acknowledged: u32,
    /// How often an import was repeated, because its answer did not come.
    pub repeated: u32,
}

impl Load {
    /// Nothing is imported yet.
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

    /// Whether an import waits for its answer.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Imports the next wave if it is time. A scheduler that dies meanwhile leaves it pending.
    ///
    /// # Errors
    /// The import is refused, which no kill may cause.
    pub async fn refill(&mut self, sandbox: &SandboxRepo) -> Result<(), Error> {
        if self.pending.is_none() && !self.low() {
            return Ok(());
        }
        // It stays pending until it is acknowledged, also when nobody waits for this any more.
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
