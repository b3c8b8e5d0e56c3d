//! The person's git configuration, read once at the start of a run. The worker's git uses only this
//! copy, so nothing that an agent or anybody else writes into a configuration file later runs a
//! program or changes what is committed.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Sections that decide what a checkout writes and a commit contains, and how git reaches a remote
/// that has missing objects: filters download what they need (git-lfs), and partial clones too.
const SECTIONS: [&str; 13] = [
    "filter",
    "merge",
    "lfs",
    "submodule",
    "remote",
    "credential",
    "http",
    "url",
    "ssh",
    "protocol",
    "checkout",
    "pack",
    "branch",
];

/// The ones that an agent's own git gets as well: nothing that opens the network.
const AGENT_SECTIONS: [&str; 4] = ["filter", "merge", "lfs", "submodule"];

/// Keys of `core` that are about files and objects.
const CORE: [&str; 16] = [
    "autocrlf",
    "eol",
    "symlinks",
    "filemode",
    "ignorecase",
    "precomposeunicode",
    "protecthfs",
    "protectntfs",
    "longpaths",
    "bigfilethreshold",
    "compression",
    "loosecompression",
    "sharedrepository",
    "checkroundtripencoding",
    "deltabasecachelimit",
    "packedgitlimit",
];

/// Keys elsewhere that matter to a merge.
const OTHER: [&str; 4] = [
    "diff.renames",
    "diff.renamelimit",
    "core.sshcommand",
    "core.gitproxy",
];

/// One value of the configuration, in git's order of reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Value {
    /// `section.subsection.key`; section and key in lower case.
    key: String,
    /// `None` for a key without a value, which means true.
    value: Option<String>,
    /// Whether it is in the repository's own files.
    local: bool,
}

/// What the worker's git gets of the person's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    values: Vec<Value>,
    /// Content of `info/exclude`.
    pub(super) exclude: String,
    /// Content of `info/attributes`.
    pub(super) attributes: String,
    /// The file that `core.excludesFile` names.
    pub(super) users_exclude: String,
    /// The file that `core.attributesFile` names.
    pub(super) users_attributes: String,
}

impl Settings {
    /// Parses `config --list --show-scope -z`, without any patterns.
    pub(super) fn of(listed: &[u8]) -> Self {
        Self {
            values: parse(listed),
            ..Self::default()
        }
    }

    /// Writes them into a file, all or nothing; durable on return.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("new");
        super::places::remove_any(&fresh)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        let dir = path.parent().unwrap_or(Path::new("/"));
        fs::File::open(dir)?.sync_all()
    }

    /// Reads what [`write`](Self::write) has written; `None` if there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn last(&self, key: &str) -> Option<&str> {
        let found = self.values.iter().rev().find(|value| value.key == key);
        found?.value.as_deref()
    }

    /// The worker's configuration file, without what the repository itself adds.
    pub(super) fn for_worker(&self, config: &mut ConfigText) {
        let wanted = |value: &&Value| {
            let (section, name) = ends(&value.key);
            SECTIONS.contains(&section)
                || (section == "core"
                    && value.key.matches('.').count() == 1
                    && CORE.contains(&name))
                || OTHER.contains(&value.key.as_str())
        };
        self.add(config, wanted);
    }

    /// Contents of the configuration file of an agent's own repository. The agent's git finds the
    /// rest of the person's settings in the usual places.
    pub(super) fn for_agent(&self, config: &mut ConfigText) {
        let wanted = |value: &&Value| {
            let (section, name) = ends(&value.key);
            value.local
                && (AGENT_SECTIONS.contains(&section)
                    || (section == "core" && CORE.contains(&name))
                    || self.is_of_promisor(&value.key))
        };
        self.add(config, wanted);
    }

    /// Whether a key is about a remote that has the missing objects of a partial clone.
    fn is_of_promisor(&self, key: &str) -> bool {
        let remote = key.rsplit_once('.').map_or("", |(remote, _)| remote);
        key.starts_with("remote.") && self.last(&format!("{remote}.promisor")).is_some()
    }

    fn add(&self, config: &mut ConfigText, wanted: impl Fn(&&Value) -> bool) {
        for value in self.values.iter().filter(wanted) {
            config.set(&value.key, value.value.as_deref());
        }
    }

    /// Where git-lfs keeps its objects, if that is set.
    pub(super) fn lfs_storage(&self) -> Option<&str> {
        self.last("lfs.storage").filter(|path| !path.is_empty())
    }

    /// The remote of a partial clone.
    pub(super) fn partial_clone(&self) -> Option<&str> {
        self.last("extensions.partialclone")
    }

    /// The ssh command that never asks for a password.
    pub(super) fn ssh_command(&self) -> Option<String> {
        if self.last("ssh.variant").is_some_and(|it| it != "ssh") {
            // Other programs call the option something else.
            return None;
        }
        let ssh = self.last("core.sshcommand").unwrap_or("ssh");
        Some(format!("{ssh} -oBatchMode=yes"))
    }
}

/// First and last part of a key.
fn ends(key: &str) -> (&str, &str) {
    let section = key.split('.').next().unwrap_or_default();
    (section, key.rsplit('.').next().unwrap_or_default())
}

/// A configuration file as git reads it.
#[derive(Debug, Default)]
pub(super) struct ConfigText(String);

impl ConfigText {
    /// Adds a value; `None` is a key without one.
    pub(super) fn set(&mut self, key: &str, value: Option<&str>) {
        let Some((above, name)) = key.rsplit_once('.') else {
            return;
        };
        let header = match above.split_once('.') {
            None => format!("[{above}]"),
            // git has no way to write a line feed there, so none can have come from git.
            Some((_, sub)) if sub.contains(['\n', '\0']) => return,
            Some((section, sub)) => format!("[{section} {}]", quoted(sub)),
        };
        self.0.push_str(&header);
        self.0.push_str("\n\t");
        self.0.push_str(name);
        if let Some(value) = value {
            self.0.push_str(" = ");
            self.0.push_str(&quoted(value).replace('\n', "\\n"));
        }
        self.0.push('\n');
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Quotes as git reads them; the caller handles line feeds.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// Parses `config --list --show-scope -z`: alternately a scope, and a key with its value after a
/// line feed.
fn parse(stdout: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stdout);
    let mut fields = text.split('\0');
    let mut values = Vec::new();
    while let (Some(scope), Some(pair)) = (fields.next(), fields.next()) {
        let (key, value) = match pair.split_once('\n') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (pair, None),
        };
        values.push(Value {
            key: key.to_owned(),
            value,
            local: matches!(scope, "local" | "worktree"),
        });
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_git_reads_them() {
        let mut text = ConfigText::default();
        text.set("core.eol", Some("lf"));
        text.set(
            "filter.a \"b\"\\.c.clean",
            Some("sed 's/\\\\x/\"/'\n# no comment"),
        );
        text.set("core.bare", None);
        let expected = "[core]\n\teol = \"lf\"\n[filter \"a \\\"b\\\"\\\\.c\"]\n\tclean = \
             \"sed 's/\\\\\\\\x/\\\"/'\\n# no comment\"\n[core]\n\tbare\n";
        assert_eq!(String::from_utf8_lossy(text.bytes()), expected);
    }

    #[test]
    fn only_what_matters_is_taken_over() {
        let answer = "global\0core.pager\nless\0global\0filter.x.clean\nglobal\0\
             local\0filter.x.smudge\nlocal\0local\0core.hookspath\n/h\0\
             local\0core.eol\ncrlf\0local\0remote.o.url\nu\0local\0remote.o.promisor\ntrue\0\
             local\0remote.p.url\nv\0local\0alias.add\n!false\0local\0core.bare\0";
        let settings = Settings {
            values: parse(answer.as_bytes()),
            ..Settings::default()
        };
        let (mut worker, mut agent) = (ConfigText::default(), ConfigText::default());
        settings.for_worker(&mut worker);
        settings.for_agent(&mut agent);
        let keys = |text: &ConfigText| text.0.matches("\n\t").count();
        assert_eq!(
            (keys(&worker), keys(&agent)),
            (6, 4),
            "{worker:?} {agent:?}"
        );
        assert!(!worker.0.contains("pager") && !worker.0.contains("hooks"));
        assert!(!agent.0.contains("global") && !agent.0.contains("\"v\""));
    }
}
