//! Where attempts work: outside of the repository, so that no tool that searches upwards from an
//! attempt finds a file of the person's.

use std::path::{Path, PathBuf};

use crate::cli::error::Error;

/// The directory below which each project has one for its attempts: the value of
/// `run.attempts_dir`, or that of the user's state.
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
        "the directory for attempts cannot be used",
        format!("run.attempts_dir = {configured:?} is a relative path"),
        "write an absolute path, or one that begins with ~/",
    ))
}

/// The home directory: `HOME`, or what the system knows of the user.
fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// The default. A relative `XDG_STATE_HOME` is none, by its specification.
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
        "HOME is not set, and the system knows no home directory of this user",
        "set HOME, or name a directory with `run.attempts_dir` in .crewlog/config.toml",
    )
}

/// Refuses a directory for attempts that lies below one of `places`, whatever links lead there.
pub fn refuse_below(attempts: &Path, places: &[&Path]) -> Result<(), Error> {
    let real = really(attempts);
    match places.iter().find(|place| real.starts_with(place)) {
        None => Ok(()),
        Some(place) => Err(Error::usage(
            "the directory for attempts cannot be used",
            format!(
                "{} lies inside of {}, where an attempt would find files that are not its own",
                attempts.display(),
                place.display()
            ),
            "name a directory outside of the repository with `run.attempts_dir` in .crewlog/config.toml",
        )),
    }
}

/// Where a path leads whose last parts may not exist yet.
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
