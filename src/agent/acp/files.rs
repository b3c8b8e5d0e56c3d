//! Files that an agent reads and writes through us: only in its worktree.
//!
//! The path is checked as text first. Then every directory on the way is opened from the one
//! before, without following any symbolic link, so that nothing that changes in the meantime leads
//! out.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fstat, mkdirat, openat};

/// Half of what a message may have, because JSON escapes make a text longer.
pub(super) const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A file may not be, or could not be, read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The path leads out of the worktree, or to something that is not the agent's.
    #[error("{path} is refused: {why}")]
    Refused {
        /// The path as the agent gave it.
        path: String,
        /// The rule that the request violates.
        why: &'static str,
    },
    /// The file does not exist.
    #[error("{path} does not exist")]
    Missing {
        /// The path as the agent gave it.
        path: String,
    },
    /// The system refused the operation.
    #[error("{path}: {source}")]
    System {
        /// The path as the agent gave it.
        path: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// The path below the worktree, if it is one. Without I/O.
pub(super) fn relative(roots: &[&Path], path: &Path) -> Result<PathBuf, FileError> {
    let refused = |why| FileError::Refused {
        path: path.display().to_string(),
        why,
    };
    if !path.is_absolute() {
        return Err(refused("paths must be absolute"));
    }
    let below = roots
        .iter()
        .find_map(|root| path.strip_prefix(root).ok())
        .ok_or_else(|| refused("it is not in the worktree"))?;
    let mut clean = PathBuf::new();
    for component in below.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return Err(refused("it leads out of the worktree")),
        }
    }
    match clean.components().next() {
        None => Err(refused("it is the worktree itself")),
        // It says where git's own files are. Our git gets their place from us, but the agent's git
        // commands do not.
        Some(Component::Normal(name)) if name.eq_ignore_ascii_case(".git") => {
            Err(refused("git's files are not the agent's"))
        }
        Some(_) => Ok(clean),
    }
}

/// Reads a text file; from line `line` (from 1) on, and at most `limit` lines, if given.
pub(super) fn read(
    worktree: &Path,
    path: &Path,
    line: Option<u32>,
    limit: Option<u32>,
) -> Result<String, FileError> {
    let mut file = open(worktree, path, OFlags::RDONLY, false)?;
    let system = |source| FileError::System {
        path: path.display().to_string(),
        source,
    };
    let mut bytes = Vec::new();
    let mut bounded = (&mut file).take(FILE_BYTES_MAX + 1);
    bounded.read_to_end(&mut bytes).map_err(system)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = "it is larger than 8 MiB";
        return Err(FileError::Refused {
            path: path.display().to_string(),
            why,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| FileError::Refused {
        path: path.display().to_string(),
        why: "it is no UTF-8 text",
    })?;
    if line.is_none() && limit.is_none() {
        return Ok(text);
    }
    let skip = line.unwrap_or(1).saturating_sub(1) as usize;
    let take = limit.map_or(usize::MAX, |limit| limit as usize);
    Ok(text.split_inclusive('\n').skip(skip).take(take).collect())
}

/// Writes a whole text file; creates missing directories. An existing file keeps its mode.
pub(super) fn write(worktree: &Path, path: &Path, text: &str) -> Result<(), FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let mut file = open(worktree, path, flags, true)?;
    // Only now, because opening must not truncate something that is not a plain file.
    file.set_len(0)
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(|source| FileError::System {
            path: path.display().to_string(),
            source,
        })
}

/// Opens a plain file below the worktree.
fn open(worktree: &Path, path: &Path, flags: OFlags, make: bool) -> Result<File, FileError> {
    // An agent may use the path that its worktree has after following symbolic links.
    let real = worktree.canonicalize().unwrap_or_default();
    let roots: Vec<&Path> = [worktree, &real]
        .into_iter()
        .filter(|root| root.is_absolute())
        .collect();
    let relative = relative(&roots, path)?;
    let system = |errno: rustix::io::Errno| match errno {
        rustix::io::Errno::NOENT => FileError::Missing {
            path: path.display().to_string(),
        },
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => FileError::Refused {
            path: path.display().to_string(),
            why: "a symbolic link or a plain file is on the way",
        },
        other => FileError::System {
            path: path.display().to_string(),
            source: other.into(),
        },
    };
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at: OwnedFd = openat(CWD, worktree, directory, Mode::empty()).map_err(system)?;
    let parents = relative.parent().into_iter().flat_map(Path::components);
    for name in parents {
        let name = name.as_os_str();
        if make {
            match mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(system(errno)),
            }
        }
        at = openat(&at, name, directory | OFlags::NOFOLLOW, Mode::empty()).map_err(system)?;
    }
    let name = relative.file_name().unwrap_or_default();
    // Without NONBLOCK, opening a named pipe would wait for its other end.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&at, name, flags, Mode::from_raw_mode(0o666)).map_err(system)?;
    let mode = fstat(&file).map_err(system)?.st_mode;
    if rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::RegularFile {
        Ok(File::from(file))
    } else {
        Err(FileError::Refused {
            path: path.display().to_string(),
            why: "it is no plain file",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn paths_are_judged_by_their_text() {
        let root = Path::new("/ws/wt");
        let judge = |path: &str| relative(&[root], Path::new(path)).ok();
        assert_eq!(judge("/ws/wt/a/./b.txt"), Some("a/b.txt".into()));
        assert_eq!(judge("/ws/wt/.github/x"), Some(".github/x".into()));
        for path in [
            "a",
            "../a",
            "/ws/wt",
            "/ws/wt/",
            "/ws/wtx/a",
            "/ws",
            "/etc/passwd",
            "/ws/wt/../x",
            "/ws/wt/a/../../x",
            "/ws/wt/a/../b",
            "/ws/wt/.git",
            "/ws/wt/.git/hooks/x",
            "/ws/wt/.GIT/config",
            "/ws/wt/./.git",
        ] {
            assert_eq!(judge(path), None, "{path}");
        }
    }

    #[test]
    fn files_are_read_and_written_in_the_worktree_only() {
        let directory = tempfile::tempdir().expect("directory");
        let (worktree, outside) = (directory.path().join("wt"), directory.path().join("out"));
        std::fs::create_dir_all(&worktree).expect("worktree");
        std::fs::create_dir_all(&outside).expect("outside");
        std::fs::write(outside.join("secret"), "secret").expect("secret");
        symlink(&outside, worktree.join("link")).expect("link");
        symlink(outside.join("secret"), worktree.join("file")).expect("link");
        rustix::fs::mknodat(
            CWD,
            worktree.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .expect("pipe");
        let at = |name: &str| worktree.join(name);
        for name in ["link/secret", "file", "link", "pipe", "link/new"] {
            let read = read(&worktree, &at(name), None, None);
            assert!(read.is_err(), "{name}: {read:?}");
            assert!(write(&worktree, &at(name), "x").is_err(), "{name}");
        }
        assert_eq!(
            std::fs::read_to_string(outside.join("secret")).expect("text"),
            "secret"
        );
        assert!(!outside.join("new").exists());

        write(&worktree, &at("a/b/c.txt"), "1\n2\n3\n4").expect("written");
        let lines = |line, limit| read(&worktree, &at("a/b/c.txt"), line, limit).expect("read");
        assert_eq!(lines(None, None), "1\n2\n3\n4");
        assert_eq!(lines(Some(2), Some(2)), "2\n3\n");
        assert_eq!(lines(Some(0), Some(1)), "1\n");
        assert_eq!(lines(Some(9), None), "");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(at("a/b/c.txt"), mode).expect("mode");
        write(&worktree, &at("a/b/c.txt"), "x").expect("written");
        assert_eq!(lines(None, None), "x", "the file was emptied first");
        let mode = std::fs::metadata(at("a/b/c.txt"))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755);
        assert!(matches!(
            read(&worktree, &at("none"), None, None),
            Err(FileError::Missing { .. })
        ));
        assert!(write(&worktree, &at("a/b/c.txt/d"), "x").is_err());
    }
}
