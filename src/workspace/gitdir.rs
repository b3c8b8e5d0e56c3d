//! Git directories of our own making: the worker's, and the one inside an attempt's working tree.
//!
//! Both borrow the objects of the main repository and share nothing else with it: no refs, hooks,
//! locks, stash or index, and of its configuration only a copy. The worker's git also writes its
//! objects into the main repository, so that a commit is there for the scheduler.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::durable::blocking;
use super::places::{read_plain, remove_any};
use super::repository::{ObjectFormat, Repository};
use super::settings::{ConfigText, Settings};
use super::version::Version;
use super::{Author, Result, submodules};
use crate::model::ids::CommitId;

/// git follows alternates of alternates to this depth.
const ALTERNATES_DEPTH: u32 = 5;

/// A list of alternates, of shallow commits or of refs is some lines; in the largest repositories
/// some megabytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Attributes that outrank all others and switch every filter and conversion off.
const RAW: &str = "* -text !eol -ident !filter !working-tree-encoding !merge\n";

/// What the git directories of one repository's attempts have in common.
#[derive(Debug)]
pub(super) struct Blueprint {
    objects: Vec<PathBuf>,
    shallow: Option<Vec<u8>>,
    extensions: ConfigText,
    lfs_storage: PathBuf,
    /// Where the agent's git-lfs keeps objects, if not in its own git directory.
    agents_lfs: Option<PathBuf>,
    author: Author,
    settings: Settings,
    /// The main repository's git directories of submodules, by their names.
    pub(super) modules: Vec<(PathBuf, PathBuf)>,
}

impl Repository {
    pub(super) async fn blueprint(&self) -> Result<Blueprint> {
        let settings = self.settings().await?.clone();
        let common = self.common_dir().to_owned();
        let sha256 = self.format() == ObjectFormat::Sha256;
        let author = self.author().clone();
        let module_dirs = [self.git_dir(), common.clone()].map(|dir| dir.join("modules"));
        blocking("prepare a git directory", common, move |common| {
            let mut extensions = ConfigText::default();
            let partial = settings.partial_clone();
            let version = match sha256 || partial.is_some() {
                true => "1",
                false => "0",
            };
            extensions.set("core.repositoryformatversion", Some(version));
            extensions.set("core.bare", Some("false"));
            if sha256 {
                extensions.set("extensions.objectformat", Some("sha256"));
            }
            if let Some(remote) = partial {
                extensions.set("extensions.partialclone", Some(remote));
            }
            let set = settings.lfs_storage().map(|path| common.join(path));
            let mut modules: Vec<(PathBuf, PathBuf)> = Vec::new();
            for (name, dir) in module_dirs.iter().flat_map(|dir| submodules::modules(dir)) {
                if modules.iter().all(|(known, _)| *known != name) {
                    modules.push((name, dir));
                }
            }
            Ok(Blueprint {
                objects: object_dirs(&common.join("objects")),
                shallow: read_plain(&common.join("shallow"), LIST_BYTES_MAX),
                extensions,
                lfs_storage: set.clone().unwrap_or_else(|| common.join("lfs")),
                agents_lfs: set,
                author,
                settings,
                modules,
            })
        })
        .await
    }

    /// The directories outside of an attempt's own that its git reads: the main repository's
    /// objects and those that it borrows itself, git-lfs's objects, and the objects of submodules.
    /// Nobody needs to write them but the worker. Not all of them need to exist.
    ///
    /// # Errors
    /// git cannot read its configuration.
    pub async fn shared_read_paths(&self) -> Result<Vec<PathBuf>> {
        let blueprint = self.blueprint().await?;
        blocking(
            "list the objects to read",
            self.common_dir().to_owned(),
            move |_| {
                let mut paths = blueprint.objects;
                paths.push(blueprint.lfs_storage);
                for (_, module) in blueprint.modules {
                    paths.extend(object_dirs(&module.join("objects")));
                    paths.push(module.join("lfs"));
                }
                paths.dedup();
                Ok(paths)
            },
        )
        .await
    }
}

/// A directory of objects, and all that it borrows from.
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
    // A quoted one is of a repository whose path has a line feed in it; git reads it itself.
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

/// Makes the directories of a path below `top`, which must be there: somebody else may be removing an
/// attempt at this moment, and what is made anew at its place would have no notes, so that nobody could
/// ever tell whose it is.
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

/// What an empty git directory is made of. The directory around it must be there.
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
    // The last: without it, git takes the directory for none.
    fs::write(dir.join("HEAD"), format!("{head}\n"))
}

/// How the worker's git treats contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filters {
    /// As the person has configured it.
    Run,
    /// Bytes stay as they are, and no program runs.
    Off,
}

impl Blueprint {
    /// Makes the worker's own git directory.
    pub(super) fn make_workers(&self, dir: &Path, filters: Filters) -> io::Result<()> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let (exclude, attributes) = (dir.join("users-exclude"), dir.join("users-attributes"));
        let mut config = ConfigText::default();
        if filters == Filters::Run {
            self.settings.for_worker(&mut config);
        }
        config.append(&self.extensions);
        // Where its own copies are, whatever was said before.
        config.set("core.excludesfile", Some(&text(exclude.clone())));
        config.set("core.attributesfile", Some(&text(attributes.clone())));
        config.set("lfs.storage", Some(&text(self.lfs_storage.clone())));
        make(dir, "ref: refs/heads/none", config.bytes(), &self.objects)?;
        fs::write(exclude, &self.settings.users_exclude)?;
        fs::write(attributes, &self.settings.users_attributes)?;
        fs::write(dir.join("info/exclude"), &self.settings.exclude)?;
        let attributes = match filters {
            Filters::Run => &self.settings.attributes,
            Filters::Off => RAW,
        };
        fs::write(dir.join("info/attributes"), attributes)?;
        self.write_shallow(dir)
    }

    /// Makes the git directory of an attempt's working tree, at `head`, with these refs (as in a
    /// file of packed ones) and the index of its files.
    pub(super) fn make_agents(
        &self,
        dir: &Path,
        head: &CommitId,
        refs: &[u8],
        index: &Path,
    ) -> io::Result<()> {
        let mut config = ConfigText::default();
        self.settings.for_agent(&mut config);
        config.append(&self.extensions);
        config.set("core.logallrefupdates", Some("true"));
        config.set("user.name", Some(&self.author.name));
        config.set("user.email", Some(&self.author.email));
        if let Some(lfs) = &self.agents_lfs {
            config.set("lfs.storage", Some(&lfs.to_string_lossy()));
        }
        make(dir, head.as_str(), config.bytes(), &self.objects)?;
        if !refs.is_empty() {
            fs::write(dir.join("packed-refs"), refs)?;
        }
        fs::write(dir.join("info/exclude"), &self.settings.exclude)?;
        if !self.settings.attributes.is_empty() {
            fs::write(dir.join("info/attributes"), &self.settings.attributes)?;
        }
        fs::copy(index, dir.join("index"))?;
        for (name, main) in &self.modules {
            let at = Path::new("modules").join(name);
            make_below(dir, at.parent().unwrap_or(&at))?;
            submodules::borrow_module(main, &dir.join(at))?;
        }
        self.write_shallow(dir)
    }

    fn write_shallow(&self, dir: &Path) -> io::Result<()> {
        match &self.shallow {
            Some(shallow) => fs::write(dir.join("shallow"), shallow),
            None => Ok(()),
        }
    }

    pub(super) fn ssh_command(&self) -> Option<String> {
        self.settings.ssh_command()
    }
}

/// Variables that keep git away from every configuration file but that of its git directory.
pub(super) fn only_own_config(version: Version) -> Vec<(&'static str, &'static str)> {
    let mut set = vec![("GIT_CONFIG_NOSYSTEM", "1")];
    match version >= Version::CONFIG_GLOBAL {
        true => set.push(("GIT_CONFIG_GLOBAL", "/dev/null")),
        // Filters do not find the person's own files then; better than what an agent wrote there.
        false => set.extend([
            ("HOME", "/nonexistent"),
            ("XDG_CONFIG_HOME", "/nonexistent"),
        ]),
    }
    set
}

/// Turns a list of `ID REF` lines into a file of packed refs as a clone would have them.
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

    /// Of two that clean up after the same attempt, one comes too late.
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
