//! Builds a cage from an attempt's paths, the lists and the config.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::entries::Known;
use super::{Access, Cage, Limits, Network, Place, lists, private};

/// Longer configs are hidden unread.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The inputs of a cage.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The program's environment; `HOME`, `PATH` and the tools' own variables are read.
    pub env: BTreeMap<OsString, OsString>,
    /// The agent's program and arguments; empty for a check or a hook.
    pub command: Vec<OsString>,
    /// What belongs to the run and the person: checkout, git directory, data, other attempts.
    pub hidden: Vec<PathBuf>,
    /// What the attempt reads of it, such as the objects that its repository borrows.
    pub readable: Vec<PathBuf>,
    /// The attempt's own directories.
    pub writable: Vec<PathBuf>,
    /// What is in these directories but not the attempt's.
    pub private: Vec<PathBuf>,
    /// The config's additions, with `~/` for the home directory.
    pub read: Vec<&'a str>,
    /// Like `read`, for paths to make writable.
    pub write: Vec<&'a str>,
    /// Like `read`, for paths to hide.
    pub hide: Vec<&'a str>,
    /// Becomes [`Cage::tmp`] of the built cage.
    pub tmp: PathBuf,
    /// Becomes [`Cage::scratch`] of the built cage.
    pub scratch: PathBuf,
    /// Becomes [`Cage::network`] of the built cage.
    pub network: Network,
    /// Becomes [`Cage::limits`] of the built cage.
    pub limits: Limits,
}

/// The cage that `request` describes. Looks at the disk, and creates the agent's own directories
/// that are missing ([`lists::PROFILES`]), and the attempt's private caches.
pub fn build(request: &Request<'_>) -> Cage {
    let mut builder = Builder {
        request,
        home: home(&request.env),
        places: Vec::new(),
    };
    let caches = request.scratch.join("caches");
    let (env, private) = private::caches(&request.env, builder.home.as_deref(), &caches);
    builder.hide_secrets();
    let project = request.hidden.iter().map(|path| (path, Access::Hide));
    builder.extend(project);
    builder.show_tools();
    builder.open_caches();
    let attempt = [
        (&request.readable, Access::Read),
        (&request.writable, Access::Write),
        (&request.private, Access::Hide),
    ];
    for (paths, access) in attempt {
        builder.extend(paths.iter().map(|path| (path, access)));
    }
    builder.open_profile();
    let config = [
        (&request.hide, Access::Hide),
        (&request.read, Access::Read),
        (&request.write, Access::Write),
    ];
    for (paths, access) in config {
        for path in paths {
            let path = expand(path, builder.home.as_deref());
            builder
                .places
                .extend(path.map(|path| Place::new(path, access)));
        }
    }
    builder
        .places
        .push(Place::new(&request.scratch, Access::Hide));
    if private {
        builder.places.push(Place::new(caches, Access::Write));
    }
    Cage {
        env,
        places: builder.places,
        tmp: request.tmp.clone(),
        scratch: request.scratch.clone(),
        network: request.network,
        limits: request.limits,
    }
}

/// A path of the config: absolute, or below the home directory. `None` for any other.
pub fn expand(path: &str, home: Option<&Path>) -> Option<PathBuf> {
    match path.strip_prefix("~/") {
        Some(below) => Some(home?.join(below)),
        None if path == "~" => home.map(Path::to_owned),
        None => path.starts_with('/').then(|| PathBuf::from(path)),
    }
}

/// What an addition of the config exposes, if that is more than it seems.
pub fn gives_away(
    path: &str,
    access: Access,
    home: Option<&Path>,
    project: &Path,
) -> Option<String> {
    let expanded = expand(path, home)?;
    let real = expanded.canonicalize().unwrap_or(expanded);
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    if real.parent().is_none() {
        return Some(format!("{path} is the whole machine"));
    }
    if ["docker.sock", "podman.sock", "containerd.sock", "crio.sock"].contains(&&*name) {
        return Some(format!(
            "{path}: a process that can reach this socket can start a container as root and write any file"
        ));
    }
    if home.is_some_and(|home| home.starts_with(&real)) {
        return Some(match access {
            Access::Write => {
                format!("{path} holds the shell's start-up files: an agent can plant a program")
            }
            _ => format!("{path} holds the home directory"),
        });
    }
    if project.starts_with(&real) {
        return Some(format!(
            "{path} holds the project: agents see and may change your checkout"
        ));
    }
    let secret = lists::HIDDEN.iter().find(|known| {
        let hidden = match known.path.starts_with('/') {
            true => Some(PathBuf::from(known.path)),
            false => home.map(|home| home.join(known.path)),
        };
        hidden.is_some_and(|hidden| real.starts_with(&hidden) && access != Access::Hide)
    });
    secret.map(|known| {
        format!(
            "agents can read {path}, which is hidden by default: {}",
            known.why
        )
    })
}

/// The home directory that an environment names.
pub fn home(env: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    let home = PathBuf::from(env.get(OsStr::new("HOME"))?);
    // Without `..` and links, so that it compares with the hidden paths.
    let home = home.canonicalize().ok().filter(|_| home.is_absolute())?;
    home.is_dir().then_some(home)
}

/// The home directory of this process's user in the user database.
fn user_home() -> Option<PathBuf> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let home = home_of(&users, rustix::process::getuid().as_raw())?;
    // As for `HOME`.
    let home = home.canonicalize().ok()?;
    (home.is_dir() && home != Path::new("/")).then_some(home)
}

/// The home directory of a user in the text of `/etc/passwd`.
fn home_of(users: &str, uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let home = *fields.get(5)?;
        (fields.get(2) == Some(&uid.as_str()) && home.starts_with('/')).then(|| home.into())
    })
}

struct Builder<'r> {
    request: &'r Request<'r>,
    home: Option<PathBuf>,
    places: Vec<Place>,
}

impl Builder<'_> {
    fn extend<'p>(&mut self, places: impl Iterator<Item = (&'p PathBuf, Access)>) {
        let places = places.map(|(path, access)| Place::new(path, access));
        self.places.extend(places);
    }

    /// The place of a path of the lists, for this user.
    fn locate(&self, known: &Known) -> Option<PathBuf> {
        if let Some(moved) = self.variable(known.variable) {
            return Some(moved);
        }
        match known.path.starts_with('/') {
            true => Some(known.path.into()),
            false => Some(self.home.as_ref()?.join(known.path)),
        }
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        let value = self.request.env.get(OsStr::new(name))?;
        let path = PathBuf::from(value);
        path.is_absolute().then_some(path)
    }

    /// Hides secrets where a variable says they are, and in their default places: below `HOME` and
    /// below the home directory of the user database, which may differ.
    fn hide_secrets(&mut self) {
        let homes: BTreeSet<PathBuf> = self.home.clone().into_iter().chain(user_home()).collect();
        let below = |path: &'static str| homes.iter().map(move |home| home.join(path));
        let mut hidden: Vec<PathBuf> = Vec::new();
        for known in lists::HIDDEN {
            hidden.extend(self.variable(known.variable));
            match known.path.starts_with('/') {
                true => hidden.push(known.path.into()),
                false => hidden.extend(below(known.path)),
            }
        }
        for (path, words, _) in lists::HIDDEN_IF {
            hidden.extend(below(path).filter(|path| holds(path, words)));
        }
        for profile in lists::PROFILES {
            hidden.extend(profile.paths().flat_map(below));
        }
        let hidden = hidden.into_iter();
        self.places
            .extend(hidden.map(|path| Place::new(path, Access::Hide)));
    }

    /// Makes readable again what programs consist of.
    fn show_tools(&mut self) {
        // A home directory below /tmp is a home directory, too.
        if let Some(home) = self.home.clone()
            && !self
                .request
                .hidden
                .iter()
                .any(|hidden| home.starts_with(hidden))
        {
            self.show(&home);
        }
        for known in lists::READABLE {
            if let Some(path) = self.locate(known) {
                self.show(&path);
            }
        }
        let path = self.request.env.get(OsStr::new("PATH")).cloned();
        for directory in std::env::split_paths(&path.unwrap_or_default()) {
            if !self.is_of_project(&directory) {
                self.show(&directory);
            }
        }
        for word in &self.request.command {
            let word = Path::new(word);
            if word.is_absolute() && !self.holds_project(word) {
                self.show(word);
            }
        }
    }

    /// Makes a path readable where it is hidden.
    fn show(&mut self, path: &Path) {
        if self.access(path) == Some(Access::Hide) {
            self.places.push(Place::new(path, Access::Read));
        }
    }

    /// What was decided for a path so far. `/tmp` and `/dev` are hidden implicitly.
    fn access(&self, path: &Path) -> Option<Access> {
        let path = path.canonicalize().ok()?;
        let mut nearest: Option<(usize, Access)> = None;
        let own = ["/tmp", "/var/tmp", "/dev"].map(|path| Place::new(path, Access::Hide));
        for place in own.iter().chain(&self.places) {
            let Ok(place_path) = place.path.canonicalize() else {
                continue;
            };
            let depth = place_path.components().count();
            if path.starts_with(&place_path) && nearest.is_none_or(|(other, _)| depth >= other) {
                nearest = Some((depth, place.access));
            }
        }
        nearest.map(|(_, access)| access)
    }

    fn is_of_project(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else {
            return true;
        };
        let holds_home = self
            .home
            .as_ref()
            .is_some_and(|home| home.starts_with(&path));
        let within = |hidden: &PathBuf| path.starts_with(hidden) && !holds_home;
        // If the project is the home directory, it contains every tool.
        let home = |hidden: &&PathBuf| self.home.as_ref() != Some(*hidden);
        holds_home || self.request.hidden.iter().filter(home).any(within)
    }

    fn holds_project(&self, path: &Path) -> bool {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let home = self
            .home
            .as_ref()
            .is_some_and(|home| home.starts_with(&path));
        home || self
            .request
            .hidden
            .iter()
            .any(|hidden| hidden.starts_with(&path))
    }

    fn open_caches(&mut self) {
        for known in lists::CACHES {
            let path = self.locate(known).filter(|path| !self.holds_project(path));
            self.places
                .extend(path.map(|path| Place::new(path, Access::Cache)));
        }
        for known in lists::SHARED_CACHES {
            let path = self.locate(known);
            self.places
                .extend(path.map(|path| Place::new(path, Access::SharedCache)));
        }
        // Secrets in a cache stay hidden: they are deeper, and were added before.
    }

    /// The directories of this agent.
    fn open_profile(&mut self) {
        let Some(home) = self.home.clone() else {
            return;
        };
        let words: Vec<String> = self
            .request
            .command
            .iter()
            .filter_map(|word| Path::new(word).file_name()?.to_str().map(str::to_owned))
            .collect();
        let named = |names: &[&str]| {
            words.iter().any(|word| {
                // `npx some-agent@1.2`, `agent.js`
                let plain = word.split('@').next().unwrap_or(word);
                let plain = plain.trim_end_matches(".js");
                names.contains(&plain)
            })
        };
        for profile in lists::PROFILES.iter().filter(|one| named(one.programs)) {
            for path in profile.made {
                // If it cannot be created, the agent reports it itself.
                let _ = std::fs::create_dir_all(home.join(path));
            }
            for path in profile.paths() {
                self.places.push(Place::new(home.join(path), Access::Write));
            }
        }
    }
}

/// Whether a config contains one of these words. An unreadable one counts as containing them.
fn holds(path: &Path, words: &[&str]) -> bool {
    let Ok(meta) = std::fs::metadata(path) else {
        return false;
    };
    if !meta.is_file() || meta.len() > CONFIG_BYTES_MAX {
        return true;
    }
    let Ok(bytes) = std::fs::read(path) else {
        return true;
    };
    let text = String::from_utf8_lossy(&bytes);
    words.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_both_home_directories() {
        let users = "root:x:0:0:root:/root:/bin/sh\nann:x:7:7::/home/ann:/bin/sh\nbad:x:8\n";
        assert_eq!(home_of(users, 7), Some("/home/ann".into()));
        assert_eq!(home_of(users, 8), None);
        assert_eq!(home_of(users, 9), None);
        let home = tempfile::tempdir().expect("a directory");
        let home = home.path().canonicalize().expect("its path");
        let env = [("HOME".into(), home.clone().into())];
        let request = Request {
            env: env.into(),
            ..Request::default()
        };
        let mut builder = Builder {
            request: &request,
            home: super::home(&request.env),
            places: Vec::new(),
        };
        builder.hide_secrets();
        let own = user_home().map(|own| own.join(".ssh"));
        let expected = [home.join(".ssh"), home.join(".gnupg")];
        for path in expected.into_iter().chain(own) {
            let place = Place::new(&path, Access::Hide);
            assert!(builder.places.contains(&place), "{path:?}");
        }
    }
}
