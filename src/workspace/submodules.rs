//! Submodules: an attempt's repository finds the main one's submodules without a network. Work
//! inside a submodule is committed, or refused; a link to a commit that nobody has is never
//! committed.
//!
//! An agent writes the configuration of its submodules' repositories, which git reads when it looks
//! for changes in them. So their `.git` is moved away while our git adds the work, and the contents
//! are examined with a git directory of our own.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::blocking::blocking;
use super::blueprint::Filters;
use super::git::Call;
use super::gitdir::{self, MODULES_MAX, object_dirs};
use super::own_commits::{head_of, quoted};
use super::places::{exists, read_small, remove_any};
use super::worktree::Worktree;
use super::{Error, Result};
use crate::model::ids::CommitId;

/// A submodule of the attempt's working tree that is checked out.
#[derive(Debug)]
pub(super) struct Module {
    /// Its path in the working tree.
    path: PathBuf,
    /// The recorded commit.
    recorded: CommitId,
    /// Where its `.git` is moved to.
    hidden: PathBuf,
    /// Its git directory, which is the agent's.
    git_dir: PathBuf,
}

impl Worktree {
    /// The submodules that an index records.
    pub(super) async fn gitlinks(&mut self, index: &Path) -> Result<Vec<(PathBuf, CommitId)>> {
        let call = self.call("list the submodules", index)?;
        let call = call.args(["ls-files", "--stage", "-z"]);
        let mut found = Vec::new();
        let mut fields = super::parse::Fields::default();
        let mut each = |field: &[u8]| {
            // `MODE ID STAGE<tab>PATH`
            let Some(rest) = field.strip_prefix(b"160000 ") else {
                return;
            };
            let mut halves = rest.splitn(2, |byte| *byte == b'\t');
            let about = String::from_utf8_lossy(halves.next().unwrap_or_default());
            let id = about.split(' ').next().and_then(|id| id.parse().ok());
            let path = halves
                .next()
                .map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)));
            if let (Some(path), Some(id)) = (path, id)
                && found.len() < MODULES_MAX
            {
                found.push((path, id));
            }
        };
        let mut sink = |bytes: &[u8]| fields.feed(bytes, &mut each);
        let (code, stderr) = call.stream(&mut sink).await?;
        match code {
            0 => Ok(found),
            _ => Err(call.stream_failed(code, stderr)),
        }
    }

    /// Moves the `.git` of every checked-out submodule away.
    pub(super) async fn hide_modules(&mut self, index: &Path) -> Result<Vec<Module>> {
        let links = self.gitlinks(index).await?;
        let top = self.path().to_owned();
        let hidden = self.places.private.join("hidden");
        let doing = "set a submodule aside";
        remove_any(&hidden).map_err(Error::io(doing, &hidden))?;
        if links.is_empty() {
            return Ok(Vec::new());
        }
        blocking(doing, hidden, move |hidden| {
            fs::create_dir(hidden)?;
            let mut modules = Vec::new();
            for (path, recorded) in links {
                let link = top.join(&path).join(".git");
                if !super::restore::is_inside(&top, &path) || !exists(&link) {
                    continue;
                }
                let aside = hidden.join(modules.len().to_string());
                let git_dir = match read_small(&link) {
                    Some(text) => linked(&top.join(&path), &text),
                    None => aside.clone(),
                };
                fs::rename(&link, &aside)?;
                modules.push(Module {
                    path,
                    recorded,
                    hidden: aside,
                    git_dir,
                });
            }
            Ok(modules)
        })
        .await
    }

    /// Moves them back.
    pub(super) fn show_modules(&self, modules: &[Module]) -> Result<()> {
        modules.iter().try_for_each(|module| {
            let link = self.path().join(&module.path).join(".git");
            fs::rename(&module.hidden, &link).map_err(Error::io("put a submodule back", &link))
        })
    }

    /// Records the commits that the agent made in submodules, and copies them to the main
    /// repository.
    pub(super) async fn record_modules(&mut self, modules: &[Module], stage: &Path) -> Result<()> {
        for module in modules {
            let path = module.path.to_string_lossy().into_owned();
            let inside = module.git_dir.starts_with(self.path().join(".git/modules"))
                || module.git_dir == module.hidden;
            let head = head_of(&module.git_dir).filter(|_| inside);
            let Some(head) = head else {
                let why = "its repository does not belong to this working tree".to_owned();
                return Err(Error::Submodule { path, why });
            };
            let main = self.main_module(&module.path, stage).await?;
            self.refuse_uncommitted(module, &head, main.as_deref())
                .await?;
            if head == module.recorded {
                continue;
            }
            self.carry(&path, &head, main.as_deref(), &module.git_dir)
                .await?;
            let call = self.call("record a submodule", stage)?;
            let entry = [b"160000,", head.as_str().as_bytes(), b","].concat();
            let entry = [&entry, module.path.as_os_str().as_bytes()].concat();
            let entry = std::ffi::OsString::from(std::ffi::OsStr::from_bytes(&entry));
            let call = call
                .args(["update-index", "--add", "--cacheinfo"])
                .arg(entry);
            call.ok().await?;
        }
        Ok(())
    }

    /// Copies a commit to the main repository's submodule, before a link names it.
    pub(super) async fn carry(
        &self,
        path: &str,
        commit: &CommitId,
        main: Option<&Path>,
        theirs: &Path,
    ) -> Result<()> {
        let refuse = |why: String| Error::Submodule {
            path: path.to_owned(),
            why,
        };
        let Some(main) = main else {
            let why = "the main repository has no copy of this submodule to keep the commit";
            return Err(refuse(format!(
                "{why}. Run `git submodule update --init` in it, or add the submodule there first"
            )));
        };
        let name = format!("{commit}^{{commit}}");
        let call = self.module_call("find a submodule's commit", main);
        let found = call.args(["rev-parse", "--verify", "--quiet", &name]).run();
        match found.await?.code {
            0 => return Ok(()),
            1 => {}
            _ => {
                return Err(refuse(
                    "git cannot read the main repository's copy".to_owned(),
                ));
            }
        }
        let known = head_of(main).map(|head| format!("^{head}\n"));
        let packed = self
            .module_call("pack a submodule's commits", main)
            .env(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                quoted(&theirs.join("objects")),
            )
            .args(["pack-objects", "--revs", "--stdout", "-q"])
            .input(format!("{commit}\n{}", known.unwrap_or_default()))
            .whole_tree();
        let pack = super::own_commits::pack(packed).await?;
        let call = self.module_call("keep a submodule's commits", main);
        let call = call.args(["unpack-objects", "-q"]).input(pack).whole_tree();
        call.ok().await?;
        let kept = format!("refs/crewlog/kept/{}-{}", self.attempt.0, commit.short());
        let call = self.module_call("keep a submodule's commits", main);
        call.args(["update-ref", &kept, commit.as_str()])
            .ok()
            .await?;
        blocking("sync a submodule", main.to_owned(), |dir| {
            Ok(rustix::fs::syncfs(fs::File::open(dir)?)?)
        })
        .await
    }

    /// The main repository's git directory of the submodule at a path, if it has one. Its name
    /// comes from what is staged.
    pub(super) async fn main_module(
        &mut self,
        path: &Path,
        stage: &Path,
    ) -> Result<Option<PathBuf>> {
        let call = self.call("read .gitmodules", stage)?;
        let listed = call
            .args(["config", "-z", "--blob", ":.gitmodules"])
            .args(["--get-regexp", "^submodule\\..*\\.path$"])
            .run()
            .await?;
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let wanted = path.to_string_lossy();
        let mut pairs = text.split('\0').filter_map(|pair| pair.split_once('\n'));
        let found = pairs.find(|(_, at)| *at == wanted);
        let name = found.and_then(|(key, _)| key.strip_prefix("submodule.")?.strip_suffix(".path"));
        let Some(name) = name.map(Path::new) else {
            return Ok(None);
        };
        let known = self
            .blueprint
            .modules
            .iter()
            .find(|(below, _)| below == name);
        Ok(known.map(|(_, dir)| dir.clone()))
    }

    /// The git directory of a nested repository, which is the agent's.
    pub(super) fn git_dir_of(&self, path: &Path) -> PathBuf {
        let dir = self.path().join(path);
        match read_small(&dir.join(".git")) {
            Some(text) => linked(&dir, &text),
            None => dir.join(".git"),
        }
    }

    /// Uncommitted changes inside a submodule would be lost silently.
    async fn refuse_uncommitted(
        &self,
        module: &Module,
        head: &CommitId,
        main: Option<&Path>,
    ) -> Result<()> {
        let doing = "search for changes in a submodule";
        let git_dir = self.places.private.join("module");
        let mut objects = object_dirs(&module.git_dir.join("objects"));
        objects.extend(main.map(|main| main.join("objects")));
        let made = self
            .blueprint
            .make_workers(&git_dir, Filters::Run)
            .and_then(|()| {
                let list = gitdir::alternates_file(&objects);
                fs::write(git_dir.join("objects/info/alternates"), list)
            });
        made.map_err(Error::io(doing, &git_dir))?;
        let top = self.path().join(&module.path);
        let index = git_dir.join("index");
        let call = || {
            self.repository
                .own_call(doing, &git_dir)
                .env("GIT_OBJECT_DIRECTORY", git_dir.join("objects"))
                .env("GIT_INDEX_FILE", &index)
                .work_tree(&top)
        };
        call().args(["read-tree", head.as_str()]).ok().await?;
        // Its own submodules must be examined as well, which git would do with their own
        // configuration.
        let listed = call().args(["ls-files", "--stage", "-z"]).ok().await?;
        let nested = listed.stdout.split(|byte| *byte == 0);
        let mut nested = nested.filter(|field| field.starts_with(b"160000 "));
        if nested.any(|field| {
            let path = field
                .splitn(2, |byte| *byte == b'\t')
                .nth(1)
                .unwrap_or_default();
            exists(&top.join(std::ffi::OsStr::from_bytes(path)).join(".git"))
        }) {
            let why = "it contains checked-out submodules".to_owned();
            let path = module.path.to_string_lossy().into_owned();
            return Err(Error::Submodule { path, why });
        }
        let listing = ["ls-files", "--modified", "--deleted", "--others"];
        let listing = call().args(listing).args(["--exclude-standard", "-z"]);
        let changed = listing.ok().await?.stdout;
        let mut names = changed
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty());
        match names.next() {
            None => Ok(()),
            Some(name) => Err(Error::Submodule {
                path: module.path.to_string_lossy().into_owned(),
                why: format!(
                    "{:?} in it is not committed there. Commit or undo changes inside a submodule",
                    String::from_utf8_lossy(name)
                ),
            }),
        }
    }

    /// A call on the main repository's git directory of a submodule.
    fn module_call(&self, doing: &'static str, main: &Path) -> Call {
        self.repository
            .own_call(doing, main)
            .env("GIT_OBJECT_DIRECTORY", main.join("objects"))
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
    }
}

/// The target of a `.git` file, without any `..` in it.
fn linked(dir: &Path, text: &[u8]) -> PathBuf {
    let path = text.strip_prefix(b"gitdir: ").unwrap_or_default();
    let path = dir.join(std::ffi::OsStr::from_bytes(path.trim_ascii_end()));
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}
