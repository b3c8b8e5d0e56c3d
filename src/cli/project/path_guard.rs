//! Notices when a project is moved or deleted while it is in use.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::Project;
use crate::cli::error::Error;

/// How often the paths are checked. A check costs a few system calls.
const EVERY: Duration = Duration::from_secs(1);

/// A project's directories, held open so that they can be found after a move.
pub struct PathGuard {
    places: Vec<(PathBuf, File)>,
}

impl Project {
    /// Opens the project's directories at their current paths.
    pub fn path_guard(&self) -> PathGuard {
        let open = |path: &PathBuf| Some((path.clone(), File::open(path).ok()?));
        let places = [&self.root, &self.data].into_iter().filter_map(open);
        PathGuard {
            places: places.collect(),
        }
    }
}

/// Whether a process named in the log belongs to this project and not to the original of a copy. A
/// project's workers hold its data directory open. A process that cannot be inspected counts as own.
pub fn is_own(project: &Project, pid: u32) -> bool {
    let same = |path: PathBuf| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let data = same(project.data.clone());
    let Ok(held) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return true;
    };
    !project.copied || held.flatten().any(|entry| same(entry.path()) == data)
}

impl PathGuard {
    /// Checks whether the project is still at its paths.
    ///
    /// # Errors
    /// If it was moved, deleted or replaced; the error has the new path, if there is one.
    pub fn check(&self) -> Result<(), Error> {
        for (path, held) in &self.places {
            let same = match (fs::metadata(path), held.metadata()) {
                (Ok(found), Ok(held)) => (found.dev(), found.ino()) == (held.dev(), held.ino()),
                (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
                // An I/O error does not mean that the path changed.
                (Ok(_), Err(_)) => true,
            };
            if !same {
                return Err(gone(path, held));
            }
        }
        Ok(())
    }

    /// Checks every second, together with `also`, and returns the first error.
    pub async fn lost(&self, also: impl Fn() -> Result<(), Error>) -> Error {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.check().and_then(|()| also()) {
                return error;
            }
        }
    }
}

fn gone(path: &std::path::Path, held: &File) -> Error {
    let deleted = held.metadata().is_ok_and(|meta| meta.nlink() == 0);
    let now = fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd()));
    match now.ok().filter(|now| !deleted && now.exists()) {
        Some(now) => Error::internal(
            "the project was moved while it was in use",
            format!("{} is now at {}", path.display(), now.display()),
            "start again there; nothing acknowledged is lost",
        ),
        None => Error::internal(
            "the project's directory was deleted while it was in use",
            format!("{} no longer exists or was replaced", path.display()),
            "restore it from a backup; nothing was acknowledged since then",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_and_a_deletion_are_told_apart() {
        let dir = tempfile::tempdir().expect("a directory");
        let top = dir.path().canonicalize().expect("its path");
        let (here, there) = (top.join("here"), top.join("there"));
        let project = Project::at(&here);
        fs::create_dir_all(&project.data).expect("directories");
        let path_guard = project.path_guard();
        path_guard.check().expect("all is well");
        fs::rename(&here, &there).expect("moved");
        let said = path_guard.check().expect_err("it was moved");
        assert!(said.why.contains(&there.display().to_string()), "{said}");
        // Another one in its place is another one.
        fs::create_dir_all(&project.data).expect("directories");
        assert!(path_guard.check().is_err());
        fs::remove_dir_all(&here).expect("removed");
        fs::rename(&there, &here).expect("moved back");
        path_guard.check().expect("as it was");
        fs::remove_dir_all(&project.data).expect("removed");
        let said = path_guard.check().expect_err("it was deleted");
        assert!(said.what.contains("deleted"), "{said}");
    }
}
