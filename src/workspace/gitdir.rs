//! The parts of a git directory: its files, the objects that it borrows, and its submodules.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::places::{read_plain, read_small, remove_any};
use crate::model::ids::CommitId;

/// git follows alternates of alternates to this depth.
const ALTERNATES_DEPTH: u32 = 5;

/// A list of alternates, of shallow commits or of refs has some lines; in the largest repositories
/// some megabytes.
pub(super) const LIST_BYTES_MAX: u64 = 64 << 20;

/// A directory of objects, and everything that it borrows from.
pub(super) fn object_dirs(objects: &Path) -> Vec<PathBuf> {
    let mut found = vec![objects.to_owned()];
    let mut level = vec![objects.to_owned()];
    for _ in 0..ALTERNATES_DEPTH {
        let borrowed = level.iter().flat_map(|dir| alternates(dir));
        level = borrowed.filter(|dir| !found.contains(dir)).collect();
        found.extend(level.iter().cloned());
    }
    found
}

fn alternates(objects: &Path) -> Vec<PathBuf> {
    let list = read_plain(&objects.join("info/alternates"), LIST_BYTES_MAX);
    let list = list.unwrap_or_default();
    let lines = list.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    // A quoted path has a line feed in it; git reads it itself.
    let plain = lines.filter(|line| !line.starts_with(b"\""));
    plain
        .map(|line| objects.join(Path::new(std::ffi::OsStr::from_bytes(line))))
        .collect()
}

/// The text of a file of alternates.
pub(super) fn alternates_file(objects: &[PathBuf]) -> Vec<u8> {
    let mut text = Vec::new();
    for dir in objects {
        let path = dir.as_os_str().as_bytes();
        if path.contains(&b'\n') {
            text.push(b'"');
            for &byte in path {
                match byte {
                    b'\n' => text.extend(b"\\n"),
                    b'"' | b'\\' => text.extend([b'\\', byte]),
                    _ => text.push(byte),
                }
            }
            text.push(b'"');
        } else {
            text.extend(path);
        }
        text.push(b'\n');
    }
    text
}

/// Creates the directories of a path below `top`, which must exist: another process may be removing
/// an attempt at this moment, and a directory created in its place would have no notes that say
/// whose it is.
pub(super) fn make_below(top: &Path, below: &Path) -> io::Result<()> {
    let mut dir = top.to_owned();
    for part in below.components() {
        dir.push(part);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Contents of an empty git directory. Its parent directory must exist.
pub(super) fn make(dir: &Path, head: &str, config: &[u8], objects: &[PathBuf]) -> io::Result<()> {
    remove_any(dir)?;
    fs::create_dir(dir)?;
    for name in [
        "objects/info",
        "objects/pack",
        "refs/heads",
        "refs/tags",
        "info",
    ] {
        make_below(dir, name.as_ref())?;
    }
    fs::write(
        dir.join("objects/info/alternates"),
        alternates_file(objects),
    )?;
    fs::write(dir.join("config"), config)?;
    // Written last: without it, git does not recognise the directory.
    fs::write(dir.join("HEAD"), format!("{head}\n"))
}

/// The largest projects have a few hundred submodules.
pub(super) const MODULES_MAX: usize = 10_000;

/// Names of submodules may contain slashes, and submodules have submodules.
const DEPTH_MAX: u32 = 16;

/// A configuration or a list of refs.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The git directories of submodules below a `modules` directory, with their paths below it.
pub(super) fn modules(top: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    let mut unseen = vec![(PathBuf::new(), 0)];
    while let Some((below, depth)) = unseen.pop() {
        let dir = top.join(&below);
        let is_module = dir.join("HEAD").is_file() && dir.join("objects").is_dir();
        let inside = match is_module {
            true => below.join("modules"),
            false => below.clone(),
        };
        if is_module {
            found.push((below, dir));
        }
        if depth == DEPTH_MAX || found.len() == MODULES_MAX {
            continue;
        }
        for entry in fs::read_dir(top.join(&inside))
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                unseen.push((inside.join(entry.file_name()), depth + 1));
            }
        }
    }
    found
}

/// Creates the git directory of a submodule like the main repository's, with borrowed objects.
pub(super) fn borrow_module(main: &Path, dir: &Path) -> io::Result<()> {
    let config = read_plain(&main.join("config"), FILE_BYTES_MAX).unwrap_or_default();
    make(
        dir,
        "ref: refs/heads/none",
        &config,
        &object_dirs(&main.join("objects")),
    )?;
    for name in ["HEAD", "packed-refs", "shallow"] {
        if let Some(bytes) = read_plain(&main.join(name), FILE_BYTES_MAX) {
            fs::write(dir.join(name), bytes)?;
        }
    }
    let mut unseen = vec![PathBuf::from("refs")];
    let mut copied = 0;
    while let Some(below) = unseen.pop() {
        for entry in fs::read_dir(main.join(&below))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = below.join(entry.file_name());
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir {
                unseen.push(path);
            } else if let Some(bytes) =
                read_small(&main.join(&path)).filter(|_| copied < MODULES_MAX)
            {
                copied += 1;
                make_below(dir, &below)?;
                fs::write(dir.join(path), bytes)?;
            }
        }
    }
    Ok(())
}

/// Converts a list of `ID REF` lines into a file of packed refs as a clone would have them.
pub(super) fn packed_refs(listed: &str) -> Vec<u8> {
    let mut text = Vec::new();
    for line in listed.lines() {
        let Some((id, name)) = line.split_once(' ') else {
            continue;
        };
        if id.parse::<CommitId>().is_err() {
            continue;
        }
        let name = match name.strip_prefix("refs/heads/") {
            Some(branch) => format!("refs/remotes/origin/{branch}"),
            None => name.to_owned(),
        };
        text.extend(format!("{id} {name}\n").bytes());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processes may clean up after the same attempt; one comes too late.
    #[test]
    fn nothing_is_made_anew_where_an_attempt_was_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let gone = dir.path().join("a1/private");
        assert!(make(&gone.join("salvage"), "ref: x", b"", &[]).is_err());
        assert!(make_below(&gone, "tmp".as_ref()).is_err());
        assert!(!dir.path().join("a1").exists());
        fs::create_dir_all(&gone).expect("made");
        make(&gone.join("salvage"), "ref: x", b"", &[]).expect("made");
        make(&gone.join("salvage"), "ref: x", b"", &[]).expect("made anew");
        assert!(gone.join("salvage/objects/info/alternates").exists());
    }
}
