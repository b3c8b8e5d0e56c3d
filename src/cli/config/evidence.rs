//! The config as evidence: the text that a run records, and the files that its workers read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Config, Entry, read};
use crate::cli::error::Error;
use crate::cli::project::Project;
use crate::model::config::digest;
use crate::model::settings::WorkerKind;

/// Directory in the data directory with the config and prompt templates for the scheduler's own
/// workers. The project's files may change at any time; the config of a run may not.
const FROZEN: &str = "run-config";

/// Sections that workers do not read: their values come with each job, or concern the scheduler.
const NOT_WORKERS: [&str; 4] = ["run.", "workers.", "log.", "notify."];

/// Keys whose values often contain a token, so only digests are recorded.
const SECRETS: [&str; 2] = ["notify.command", "notify.webhook"];

/// Keys of the prompt templates; a worker kind's name is the file name in the frozen directory.
const TEMPLATES: [(&str, WorkerKind); 2] = [
    ("prompts.coding", WorkerKind::Coding),
    ("prompts.testing", WorkerKind::Testing),
];

impl Entry {
    /// Whether its value may be a secret, so that only a digest is recorded: that of an environment
    /// variable, or of a key that often contains a token.
    fn is_secret(&self) -> bool {
        let variable = super::keys::is_free(&self.key) && self.value != "{}";
        let token = SECRETS.contains(&self.key.as_str()) && self.value != "\"\"";
        variable || token
    }

    /// The same, fit to be shown to anybody.
    #[must_use]
    pub fn hidden(self) -> Self {
        match self.is_secret() {
            true => Self {
                value: "\"(hidden)\"".to_owned(),
                ..self
            },
            false => self,
        }
    }
}

impl Config {
    /// All values in force, one `key = value` per line, sorted, with digests of the prompt templates.
    pub fn evidence(&self, project: &Project) -> String {
        self.lines(project, |_| true)
    }

    /// The part of [`Config::evidence`] that workers use.
    pub fn worker_evidence(&self, project: &Project) -> String {
        self.lines(project, |key| {
            !NOT_WORKERS.iter().any(|section| key.starts_with(section))
        })
    }

    fn lines(&self, project: &Project, wanted: impl Fn(&str) -> bool) -> String {
        let mut lines: Vec<String> = Vec::new();
        for entry in self.entries() {
            let value = match entry.is_secret() {
                true => digest(entry.value.as_bytes()),
                // The directory's name is not part of the config, and changes with a move.
                false if entry.key == "run.branch" && !self.names_branch() => "\"\"".to_owned(),
                false => entry.value.replace('\n', "\\n").replace('\r', "\\r"),
            };
            if wanted(&entry.key) {
                lines.push(format!("{} = {value}\n", entry.key));
            }
        }
        for (key, kind) in TEMPLATES {
            // If a template cannot be read, workers fail to start and report it.
            let text = self.template(project, kind).map(fs::read);
            if let Some(Ok(text)) = text {
                lines.push(format!("{key}.text = {}\n", digest(&text)));
            }
        }
        lines.sort_unstable();
        lines.concat()
    }

    /// Path of the project's own template for this kind of worker, if it has one.
    fn template(&self, project: &Project, kind: WorkerKind) -> Option<PathBuf> {
        let name = match kind {
            WorkerKind::Coding => &self.file.prompts.coding,
            WorkerKind::Testing => &self.file.prompts.testing,
        };
        if name.is_empty() {
            return None;
        }
        match &self.frozen {
            Some(frozen) => Some(frozen.join(kind.as_str())),
            None => Some(project.root.join(name)),
        }
    }

    /// Directory of the frozen templates; `None` for a config that was read from the project.
    pub(super) fn frozen_prompts(&self) -> Option<&Path> {
        self.frozen.as_deref()
    }

    /// Writes the config and the templates to the data directory for the workers of this run.
    ///
    /// # Errors
    /// On an I/O error.
    pub fn freeze(&self, project: &Project) -> Result<PathBuf, Error> {
        let frozen = project.data.join(FROZEN);
        let write = || -> io::Result<()> {
            match fs::remove_dir_all(&frozen) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::create_dir_all(&frozen)?;
            fs::write(frozen.join("config.toml"), &self.text)?;
            for (_, kind) in TEMPLATES {
                // If a template cannot be read, workers report it.
                if let Some(Ok(text)) = self.template(project, kind).map(fs::read) {
                    fs::write(frozen.join(kind.as_str()), text)?;
                }
            }
            Ok(())
        };
        write().map_err(|error| {
            Error::internal(
                format!("cannot write {}", frozen.display()),
                error,
                "make sure that the disk is not full or read-only",
            )
        })?;
        Ok(frozen)
    }

    /// Loads the config that [`Config::freeze`] wrote.
    pub fn load_frozen(project: &Project, frozen: &Path) -> Result<Self, Error> {
        let path = frozen.join("config.toml");
        let text = read(&path)?.unwrap_or_default();
        let branch = super::keys::branch_from_directory(&project.root);
        let mut config = Self::parse(&text, &path, branch)?;
        config.frozen = Some(frozen.to_owned());
        Ok(config)
    }
}
