//! The directory for attempts. It is outside the repository, so that a tool that searches upwards
//! from an attempt does not find the person's files.

use std::path::{Path, PathBuf};

use crate::cli::error::Error;

/// The directory in which each project has one for its attempts: `run.attempts_dir`, or a directory
/// in the user's state directory.
pub fn base(configured: &str) -> Result<PathBuf, Error> {
    if configured.is_empty() {
        return from_environment(
            std::env::var_os("XDG_STATE_HOME").map(PathBuf::from),
            home(),
        );
    }
    let path = match (configured.strip_prefix("~/"), home()) {
        (Some(below), Some(home)) => home.join(below),
        (Some(_), None) => return Err(homeless()),
        (None, _) => PathBuf::from(configured),
    };
    if path.is_absolute() {
        return Ok(path);
    }
    Err(Error::usage(
        "cannot use the directory for attempts",
        format!("run.attempts_dir = {configured:?} is a relative path"),
        "set an absolute path, or one that starts with ~/, in .crewlog/config.toml",
    ))
}

/// The home directory: `HOME`, or the entry in the user database.
fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// The default directory. By its specification, a relative `XDG_STATE_HOME` is ignored.
fn from_environment(state: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf, Error> {
    let state = state.filter(|state| state.is_absolute());
    let state = state.or_else(|| home.map(|home| home.join(".local/state")));
    state
        .map(|state| state.join("crewlog"))
        .ok_or_else(homeless)
}

fn homeless() -> Error {
    Error::usage(
        "cannot find a directory for attempts",
        "HOME is not set, and the user database has no home directory for this user",
        "set HOME, or set `run.attempts_dir` in .crewlog/config.toml",
    )
}

/// Fails if the directory for attempts, with symbolic links resolved, is in one of `places`.
pub fn refuse_below(attempts: &Path, places: &[&Path]) -> Result<(), Error> {
    let real = really(attempts);
    match places.iter().find(|place| real.starts_with(place)) {
        None => Ok(()),
        Some(place) => Err(Error::usage(
            "cannot use the directory for attempts",
            format!(
                "{} is inside {}, where attempts would find files that are not their own",
                attempts.display(),
                place.display()
            ),
            "set `run.attempts_dir` in .crewlog/config.toml to a directory outside the repository",
        )),
    }
}

/// Resolves a path's symbolic links; its last parts need not exist yet.
pub fn really(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return match rest.as_os_str().is_empty() {
                true => real,
                false => real.join(rest),
            };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_that_of_the_user() {
        let of = |state: Option<&str>, home: Option<&str>| {
            from_environment(state.map(PathBuf::from), home.map(PathBuf::from)).ok()
        };
        let table = [
            (Some("/state"), Some("/home/a"), Some("/state/crewlog")),
            (None, Some("/home/a"), Some("/home/a/.local/state/crewlog")),
            (
                Some("here"),
                Some("/home/a"),
                Some("/home/a/.local/state/crewlog"),
            ),
            (Some("/state"), None, Some("/state/crewlog")),
            (None, None, None),
        ];
        for (state, home, expected) in table {
            assert_eq!(
                of(state, home),
                expected.map(PathBuf::from),
                "{state:?} {home:?}"
            );
        }
    }

    #[test]
    fn what_lies_in_the_repository_is_refused_through_links_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let top = dir.path().canonicalize().expect("its path");
        let (tree, link) = (top.join("tree"), top.join("link"));
        std::fs::create_dir_all(tree.join("deep")).expect("directories");
        std::os::unix::fs::symlink(tree.join("deep"), &link).expect("a link");
        for (path, refused) in [
            (tree.join("new/er"), true),
            (tree.clone(), true),
            (link.join("new"), true),
            (top.join("tree-2/new"), false),
            (top.clone(), false),
        ] {
            let said = refuse_below(&path, &[&tree]);
            assert_eq!(said.is_err(), refused, "{path:?}");
        }
        assert!(base("relative/path").is_err());
    }
}
