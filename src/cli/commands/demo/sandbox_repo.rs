//! The demo's directory: a copy of the example that is a repository and a project.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::cli::error::Error;
use crate::cli::project::Project;
use crate::cli::runtime;
use crate::workspace::{Author, Repository};

/// Every file of the example: its path in the example's directory, and its bytes.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/example.rs"));

/// File in `.crewlog/demo/` that marks a completely set up demo, which a later call continues.
const READY: &str = "ready";

/// The copy of the example in which a demo runs.
pub struct SandboxRepo {
    /// The project at the copy's root.
    pub project: Project,
    /// Text of the example's backlog file.
    pub backlog: String,
    /// False for an earlier demo that this call continues.
    pub fresh: bool,
}

impl SandboxRepo {
    fn demo(project: &Project) -> PathBuf {
        project.root.join(".crewlog/demo")
    }

    /// Marks the demo as set up, backlog included: from now on, an interrupted demo can continue.
    pub fn mark_ready(&self) -> Result<(), Error> {
        let path = Self::demo(&self.project).join(READY);
        fs::write(&path, "").map_err(|error| failed(&path, &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::usage(
        "cannot set up the demo",
        format!("{}: {error}", path.display()),
        "choose another directory with --dir DIR",
    )
}

fn file(name: &str) -> &'static [u8] {
    let found = FILES.iter().find(|(known, _)| *known == name);
    found.map_or(b"", |(_, bytes)| bytes)
}

/// Copies the example into `dir` or a new temporary directory, or continues an earlier demo in `dir`.
pub fn prepare(dir: Option<&Path>) -> Result<SandboxRepo, Error> {
    let root = match dir {
        Some(dir) => dir.to_owned(),
        None => std::env::temp_dir().join(format!("crewlog-demo-{}", ulid::Ulid::generate())),
    };
    fs::create_dir_all(&root).map_err(|error| failed(&root, &error))?;
    let root = fs::canonicalize(&root).map_err(|error| failed(&root, &error))?;
    let project = Project::at(&root);
    let backlog = String::from_utf8_lossy(file("features.toml")).into_owned();
    let fresh = !SandboxRepo::demo(&project).join(READY).exists();
    if fresh {
        must_be_ours(&root, &project)?;
        lay_out(&project)?;
    }
    Ok(SandboxRepo {
        project,
        backlog,
        fresh,
    })
}

/// Fails unless the directory is empty or has an earlier demo that was not set up completely.
fn must_be_ours(root: &Path, project: &Project) -> Result<(), Error> {
    if SandboxRepo::demo(project).is_dir() {
        return Ok(());
    }
    let mut entries = fs::read_dir(root).map_err(|error| failed(root, &error))?;
    if entries.next().is_none() {
        return Ok(());
    }
    Err(Error::usage(
        "the demo needs its own directory",
        format!("{} is not empty and has no earlier demo", root.display()),
        "choose an empty or new directory with --dir DIR",
    ))
}

fn lay_out(project: &Project) -> Result<(), Error> {
    let demo = SandboxRepo::demo(project);
    write(
        &demo.join("README"),
        "A demo of Crewlog. Delete the whole directory when you are done.\n".as_bytes(),
    )?;
    write(&project.root.join(".crewlog/.gitignore"), b"*\n")?;
    for (name, bytes) in FILES {
        let name = Path::new(name);
        let mut parts = name.components();
        let sandbox = match parts
            .next()
            .map(Component::as_os_str)
            .and_then(|part| part.to_str())
        {
            Some("project") => project.root.join(parts.as_path()),
            Some("script") => demo.join(name),
            _ => continue,
        };
        write(&sandbox, bytes)?;
    }
    write(&project.config, config(&demo)?.as_bytes())?;
    if !project.root.join(".git").exists() {
        let author = Author {
            name: "Crewlog demo".to_owned(),
            email: "demo@crewlog.invalid".to_owned(),
        };
        let created = Repository::found(&project.root, &author, "A shoebox to begin with");
        runtime::start()?.block_on(created).map_err(|error| {
            Error::internal(
                "cannot set up the demo",
                error,
                "choose another directory with --dir DIR",
            )
        })?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, bytes)
    };
    written().map_err(|error| failed(path, &error))
}

/// The demo's config: limits that are shorter than for real agents, and this executable as the
/// agent, which follows the example's script.
fn config(demo: &Path) -> Result<String, Error> {
    let own = runtime::own_executable()?;
    let (own, script) = (own.to_string_lossy(), demo.join("script"));
    let script = script.to_string_lossy();
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    Ok(format!(
        "# The demo's config: short limits, and an agent that follows a script.\n\
         [run]\nbranch = \"demo\"\nmax_attempts = 4\nretry_backoff = \"300ms\"\nretry_backoff_max = \"1s\"\n\
         idle_limit = \"3s\"\ntime_limit = \"30s\"\ncheck_limit = \"15s\"\n\n\
         [agents.scripted]\ndriver = \"acp\"\nprogram = {}\nargs = [\"scripted-agent\", \"--script\", {}]\n",
        quoted(&own),
        quoted(&script),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_carried_whole() {
        assert!(!file("features.toml").is_empty());
        let below = |part: &str| {
            FILES
                .iter()
                .filter(|(name, _)| name.starts_with(part))
                .count()
        };
        assert!(below("project/") > 5);
        assert!(below("script/") > 12);
    }

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("mine"), "precious").expect("a file");
        let refused = prepare(Some(dir.path())).map(|sandbox| sandbox.fresh);
        assert!(refused.is_err_and(|error| error.why.contains("not empty")));
        assert_eq!(fs::read_dir(dir.path()).expect("it").count(), 1);
    }
}
