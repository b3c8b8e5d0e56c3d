//! The config as evidence: what a run was told, as text, and the files that its workers read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Config, read};
use crate::cli::error::Error;
use crate::cli::project::Project;
use crate::model::config::digest;
use crate::model::settings::WorkerKind;

/// In the data directory, the config and the prompt templates that the running scheduler's own
/// workers read: what lies in the project may change at any time, what a run was told may not.
const FROZEN: &str = "run-config";

/// Sections that say nothing to a worker: their values come with every job, or are the scheduler's.
const NOT_WORKERS: [&str; 3] = ["run.", "workers.", "log."];

/// Tables of variables. Their values may be secrets: only digests of them are recorded.
const VARIABLES: [&str; 3] = ["agent.env", "agent.testing.env", "environment.env"];

/// The templates' keys, and their names in the frozen directory.
const TEMPLATES: [(&str, WorkerKind); 2] = [
    ("prompts.coding", WorkerKind::Coding),
    ("prompts.testing", WorkerKind::Testing),
];

impl Config {
    /// All that is in force, one `key = value` a line, ascending, with digests of the prompt
    /// templates.
    pub fn evidence(&self, project: &Project) -> String {
        self.lines(project, |_| true)
    }

    /// The part of it that a worker acts on.
    pub fn worker_evidence(&self, project: &Project) -> String {
        self.lines(project, |key| {
            !NOT_WORKERS.iter().any(|section| key.starts_with(section))
        })
    }

    fn lines(&self, project: &Project, wanted: impl Fn(&str) -> bool) -> String {
        let mut lines: Vec<String> = Vec::new();
        for entry in self.entries() {
            let secret = |table: &str| entry.key.starts_with(table) && entry.value != "{}";
            let value = match VARIABLES.iter().any(|table| secret(table)) {
                true => digest(entry.value.as_bytes()),
                // The directory's name is no config, and changes with a move.
                false if entry.key == "run.branch" && !self.names_branch() => "\"\"".to_owned(),
                false => entry.value.replace('\n', "\\n").replace('\r', "\\r"),
            };
            if wanted(&entry.key) {
                lines.push(format!("{} = {value}\n", entry.key));
            }
        }
        for (key, kind) in TEMPLATES {
            // A template that cannot be read keeps workers from starting, who say why.
            let text = self.template(project, kind).map(fs::read);
            if let Some(Ok(text)) = text {
                lines.push(format!("{key}.text = {}\n", digest(&text)));
            }
        }
        lines.sort_unstable();
        lines.concat()
    }

    /// The project's own template for this kind of worker, if it has one.
    fn template(&self, project: &Project, kind: WorkerKind) -> Option<PathBuf> {
        let name = match kind {
            WorkerKind::Coding => &self.file.prompts.coding,
            WorkerKind::Testing => &self.file.prompts.testing,
        };
        if name.is_empty() {
            return None;
        }
        match &self.frozen {
            Some(frozen) => Some(frozen.join(kind.word())),
            None => Some(project.root.join(name)),
        }
    }

    /// Where this config's own templates lie, for a worker.
    pub(super) fn frozen_prompts(&self) -> Option<&Path> {
        self.frozen.as_deref()
    }

    /// Writes the config and the templates down for the workers of this run.
    ///
    /// # Errors
    /// The disk refuses.
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
                // Of one that cannot be read, workers say what is wrong with it.
                if let Some(Ok(text)) = self.template(project, kind).map(fs::read) {
                    fs::write(frozen.join(kind.word()), text)?;
                }
            }
            Ok(())
        };
        write().map_err(|error| {
            Error::internal(
                format!("cannot write {}", frozen.display()),
                error,
                "check the disk: is it full, or read-only?",
            )
        })?;
        Ok(frozen)
    }

    /// The config that a scheduler wrote down for its workers.
    pub fn load_frozen(project: &Project, frozen: &Path) -> Result<Self, Error> {
        let path = frozen.join("config.toml");
        let text = read(&path)?.unwrap_or_default();
        let branch = super::keys::branch_from_directory(&project.root);
        let mut config = Self::parse(&text, &path, branch)?;
        config.frozen = Some(frozen.to_owned());
        Ok(config)
    }
}
