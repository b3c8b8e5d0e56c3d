//! Git directories that Crewlog creates: the worker's, and the one inside an attempt's working
//! tree.
//!
//! Both borrow the main repository's objects and share nothing else with it: no refs, hooks, locks,
//! stash or index, and only a copy of its configuration. The worker's git also writes its objects
//! into the main repository, so that the scheduler finds a commit there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::blocking::blocking;
use super::gitdir::{self, LIST_BYTES_MAX, borrow_module, make, make_below, object_dirs};
use super::places::read_plain;
use super::repository::{ObjectFormat, Repository};
use super::settings::{ConfigText, Settings};
use super::{Author, Result};
use crate::model::ids::CommitId;

/// Attributes that override all others and switch every filter and conversion off.
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
            for (name, dir) in module_dirs.iter().flat_map(|dir| gitdir::modules(dir)) {
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
    /// Only the worker needs to write them. Not all of them need to exist.
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

/// How the worker's git treats contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filters {
    /// As the person has configured it.
    Run,
    /// Bytes stay as they are, and no program runs.
    Off,
}

impl Blueprint {
    /// Creates the worker's own git directory.
    pub(super) fn make_workers(&self, dir: &Path, filters: Filters) -> io::Result<()> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let (exclude, attributes) = (dir.join("users-exclude"), dir.join("users-attributes"));
        let mut config = ConfigText::default();
        if filters == Filters::Run {
            self.settings.for_worker(&mut config);
        }
        config.append(&self.extensions);
        // The directory of its own copies, whatever was configured before.
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

    /// Creates the git directory of an attempt's working tree, at `head`, with these refs (in the
    /// format of packed refs) and the index of its files.
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
            borrow_module(main, &dir.join(at))?;
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
