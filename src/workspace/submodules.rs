//! Submodules: an attempt's repository finds the objects that the main one has of them.

use std::fs;
use std::path::{Path, PathBuf};

/// The largest projects have a few hundred submodules.
const MODULES_MAX: usize = 10_000;

/// Names of submodules may have slashes in them, and submodules have submodules.
const DEPTH_MAX: u32 = 16;

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
