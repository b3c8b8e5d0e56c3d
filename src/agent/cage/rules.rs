//! The Landlock rules of a cage.
//!
//! A rule allows something for a path and everything below it, and cannot be revoked. With mounts,
//! hidden paths are covered, and reading is allowed everywhere. Without them, reading is allowed
//! beside every hidden path: on the siblings of each directory that leads to one. Such a directory
//! can be passed through but not listed.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::fs::{Mode, OFlags, open};

use super::{Access, Cage, Resolved, lists};

/// The newest version whose rights these rules know; older kernels enforce what they know.
const ABI_KNOWN: ABI = ABI::V7;

/// The rules. The program's process itself applies them.
pub(super) fn build(
    cage: &Cage,
    places: &[Resolved],
    mounted: bool,
) -> Result<RulesetCreated, String> {
    rules(cage, places, mounted).map_err(|error| format!("Landlock: {error}"))
}

fn rules(cage: &Cage, places: &[Resolved], mounted: bool) -> Result<RulesetCreated, RulesetError> {
    let all = AccessFs::from_all(ABI_KNOWN);
    let mut ruleset = Ruleset::default()
        .handle_access(all)?
        .scope(Scope::from_all(ABI_KNOWN))?
        .create()?
        .no_new_privs(true);
    let read = AccessFs::from_read(ABI_KNOWN);
    for path in readable(places, mounted) {
        ruleset = allow(ruleset, &path, read)?;
    }
    let write = all & !(AccessFs::MakeBlock | AccessFs::MakeChar);
    for path in writable(cage, places, mounted) {
        ruleset = allow(ruleset, &path, write)?;
    }
    for name in lists::DEVICES {
        let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        ruleset = allow(ruleset, &Path::new("/dev").join(name), device)?;
    }
    Ok(ruleset)
}

/// Allows `access` below `path`, as far as it makes sense there; a missing path has no rule.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(held) = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        return Ok(ruleset);
    };
    let access = match is_directory(&held) {
        true => access,
        false => access & AccessFs::from_file(ABI_KNOWN),
    };
    ruleset.add_rule(PathBeneath::new(held, access))
}

fn is_directory(held: &OwnedFd) -> bool {
    let stat = rustix::fs::fstat(held);
    stat.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// The writable paths.
fn writable(cage: &Cage, places: &[Resolved], mounted: bool) -> Vec<PathBuf> {
    let written = |place: &&Resolved| match place.access {
        Access::Write => true,
        Access::Cache => mounted,
        // Below an overlay this adds nothing.
        Access::SharedCache => true,
        Access::Hide | Access::Read => false,
    };
    let mut paths: Vec<PathBuf> = places
        .iter()
        .filter(written)
        .map(|place| place.path.clone())
        .collect();
    paths.push(cage.tmp.clone());
    // The kernel decides what each process may do with it.
    paths.push("/proc".into());
    if mounted {
        paths.extend(["/tmp", "/var/tmp", "/dev/shm", "/dev/pts"].map(PathBuf::from));
    } else {
        // Semaphores of Python and others are in /dev/shm; without mounts it is shared with
        // everybody.
        paths.extend(["/dev/pts", "/dev/ptmx", "/dev/shm"].map(PathBuf::from));
    }
    paths
}

/// The readable paths.
fn readable(places: &[Resolved], mounted: bool) -> Vec<PathBuf> {
    if mounted {
        return vec!["/".into()];
    }
    let mut hidden: Vec<PathBuf> = ["/tmp", "/var/tmp", "/dev"]
        .iter()
        .filter_map(|path| Path::new(path).canonicalize().ok())
        .collect();
    for place in places {
        match place.access {
            Access::Hide => hidden.push(place.path.clone()),
            // Equal paths are decided in `places`; a deeper one has its own rule.
            _ => hidden.retain(|path| *path != place.path),
        }
    }
    let mut paths = Vec::new();
    beside(Path::new("/"), &hidden, &mut paths);
    let shown = places.iter().filter(|place| place.access != Access::Hide);
    for place in shown {
        beside(&place.path, &hidden, &mut paths);
    }
    for name in ["pts", "ptmx", "shm"] {
        paths.push(Path::new("/dev").join(name));
    }
    paths
}

/// The paths that together are `path` without what is hidden below it.
fn beside(path: &Path, hidden: &[PathBuf], paths: &mut Vec<PathBuf>) {
    if hidden.iter().any(|hidden| hidden == path) {
        return;
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
        paths.push(path.to_owned());
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return;
    };
    for entry in entries.flatten() {
        // A link is followed to its target, which has rules of its own.
        if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            beside(&entry.path(), hidden, paths);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_left_out_and_its_siblings_are_not() {
        let root = tempfile::tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name);
        for name in [
            "home/.ssh",
            "home/code/project/.git",
            "home/code/other",
            "usr",
        ] {
            std::fs::create_dir_all(path(name)).expect("made");
        }
        std::fs::write(path("home/.profile"), "").expect("written");
        let hidden = [path("home/.ssh"), path("home/code/project")];
        let mut paths = Vec::new();
        beside(root.path(), &hidden, &mut paths);
        paths.sort();
        let expected = [path("home/.profile"), path("home/code/other"), path("usr")];
        assert_eq!(paths, expected);
    }
}
