//! The drill's repository, with a scripted agent and a growing backlog.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::cli::error::Error;
use crate::cli::project::Project;
use crate::cli::runtime;
use crate::model::backlog::{self, Format};
use crate::model::feature::FeatureSpec;
use crate::model::ids::{CommitId, FeatureId};
use crate::workspace::{Author, Repository};

/// Name of the integration branch, without its prefix.
pub const BRANCH: &str = "drill";
/// The branch that stands for the user's; nothing may touch it.
pub const USERS: &str = "main";
/// Features per import: enough for every worker, but few enough that the run completes soon after
/// the last kill.
pub const WAVE: u32 = 12;
/// Number of parallel chains of dependent features.
const LANES: u32 = 4;

/// A drill's directory and project.
pub struct SandboxRepo {
    /// The repository's project.
    pub project: Project,
    /// Parent of the repository and of the attempts' directory.
    dir: PathBuf,
    scripts: PathBuf,
    seed: u64,
    /// Whether to remove the directory on drop: if the drill found no faults and the user did not name
    /// the directory.
    ours: bool,
}

impl Drop for SandboxRepo {
    fn drop(&mut self) {
        if self.ours {
            // A failure leaves files in the directory for temporary files.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::usage(
        "cannot set up the drill",
        format!("{}: {error}", path.display()),
        "choose another directory with --dir DIR",
    )
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let written = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    };
    written().map_err(|error| failed(path, &error))
}

impl SandboxRepo {
    /// Sets up the project in `dir`, which must be new or empty, or in a temporary directory that is
    /// removed on drop.
    ///
    /// # Errors
    /// If the directory is not empty or not writable, or git is missing.
    pub async fn prepare(dir: Option<&Path>, seed: u64) -> Result<Self, Error> {
        let fresh =
            || std::env::temp_dir().join(format!("crewlog-drill-{}", ulid::Ulid::generate()));
        let named = dir;
        let dir = empty(&named.map_or_else(fresh, Path::to_owned))?;
        let root = dir.join("repository");
        let project = Project::at(&root);
        let place = Self {
            dir,
            scripts: root.join(".crewlog/drill/script"),
            project,
            seed,
            ours: named.is_none(),
        };
        place.lay_out().await?;
        Ok(place)
    }

    async fn lay_out(&self) -> Result<(), Error> {
        let (root, scripts) = (&self.project.root, &self.scripts);
        write(&root.join(".crewlog/.gitignore"), "*\n")?;
        write(&root.join("README"), "Features of a drill.\n")?;
        write(&self.project.config, &config(&self.dir, scripts)?)?;
        let author = Author {
            name: "Crewlog drill".to_owned(),
            email: "drill@crewlog.invalid".to_owned(),
        };
        let founded = Repository::found(root, &author, "Before the drill").await;
        founded.map_err(|error| {
            Error::internal(
                "cannot set up the drill",
                error,
                "choose another directory with --dir DIR",
            )
        })
    }

    /// Keeps the directory, so that the user can look for the cause of a fault.
    pub fn keep(&mut self) {
        self.ours = false;
    }

    /// The next wave of features, from number `first` on. Writes their scripts.
    ///
    /// # Errors
    /// If a script cannot be written.
    pub fn wave(&self, first: u32) -> Result<Vec<(FeatureId, FeatureSpec)>, Error> {
        let mut text = String::new();
        for id in first..first + WAVE {
            write(
                &self.scripts.join(format!("{id}.toml")),
                &script(id, self.seed),
            )?;
            let on = id.checked_sub(LANES).filter(|on| *on > 0);
            let on = on.map(|on| on.to_string()).unwrap_or_default();
            text.push_str(&format!(
                "[[feature]]\nid = {id}\nname = \"Feature {id}\"\ndepends_on = [{on}]\n\
                 checks = ['grep -qx \"feature {id}\" f/{id}.txt']\n"
            ));
        }
        let broken = |error: backlog::BacklogErrors| {
            Error::internal(
                "the drill's backlog is invalid",
                error,
                "this is a bug in Crewlog; please report it",
            )
        };
        let parsed = backlog::parse(&text, Format::Toml).map_err(broken)?;
        let known = (1..first).map(|id| (FeatureId(id), format!("Feature {id}")));
        backlog::resolve(parsed, &known.collect()).map_err(broken)
    }
}

fn empty(dir: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    let mut entries = fs::read_dir(dir).map_err(|error| failed(dir, &error))?;
    match entries.next() {
        None => fs::canonicalize(dir).map_err(|error| failed(dir, &error)),
        Some(_) => Err(Error::usage(
            "the drill needs its own directory",
            format!("{} is not empty", dir.display()),
            "choose an empty or new directory with --dir DIR",
        )),
    }
}

/// A session that writes its file in two steps with pauses. Every third one leaves a detached process
/// behind, which must not outlive the session.
fn script(id: u32, seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed ^ u64::from(id) << 32);
    let (before, between) = (random.random_range(100..500), random.random_range(100..500));
    let child = match id % 3 {
        0 => "    { run = \"setsid sleep 600 >/dev/null 2>&1 & true\" },\n",
        _ => "",
    };
    format!(
        "[[attempt]]\nsteps = [\n{child}    {{ say = \"Feature {id}.\" }},\n    {{ pause_ms = {before} }},\n\
         \x20   {{ write = \"f/{id}.txt\", text = \"feat\" }},\n    {{ pause_ms = {between} }},\n\
         \x20   {{ write = \"f/{id}.txt\", text = \"feature {id}\\n\" }},\n\
         \x20   {{ usage = {{ input_tokens = 100, output_tokens = 10 }} }},\n]\n"
    )
}

/// Short waits, and many tries, because every killed agent costs one.
fn config(dir: &Path, scripts: &Path) -> Result<String, Error> {
    let own = runtime::own_executable()?;
    let quoted = |path: &Path| toml::Value::String(path.to_string_lossy().into_owned()).to_string();
    Ok(format!(
        "[run]\nbranch = \"{BRANCH}\"\nmax_attempts = 100\nretry_backoff = \"20ms\"\n\
         retry_backoff_max = \"200ms\"\nidle_limit = \"20s\"\ntime_limit = \"60s\"\n\
         attempts_dir = {}\n\n\
         [agents.scripted]\ndriver = \"acp\"\nprogram = {}\nargs = [\"scripted-agent\", \"--script\", {}]\n",
        quoted(&dir.join("attempts")),
        quoted(&own),
        quoted(scripts),
    ))
}

/// A failure of git in the drill's repository.
pub(super) fn of_git(error: crate::workspace::Error) -> Error {
    Error::internal(
        "cannot read the drill's repository",
        error,
        "run `git status` in the drill's directory",
    )
}

/// The commit of the user's branch.
pub async fn users_head(project: &Project) -> Result<CommitId, Error> {
    let repository = Repository::discover(&project.root).await.map_err(of_git)?;
    repository.users_head().await.map_err(of_git)
}
