//! The commits that an agent makes in its own repository. They are squashed, and kept for people
//! who want to see what it did.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::Result;
use super::error::Error;
use super::git::Call;
use super::places::{read_plain, read_small};
use super::worktree::Worktree;
use crate::model::ids::CommitId;

/// Largest pack of an agent's commits; larger ones are not kept.
const PACK_BYTES_MAX: usize = 64 << 20;

/// Refs that an agent's git has packed.
const PACKED_BYTES_MAX: u64 = 4 << 20;

/// A branch may be named by another ref, and that by another; git follows five.
const LINKS_MAX: u32 = 5;

impl Worktree {
    /// Only a help for people who look for what the agent did: the work is complete without it, so
    /// a failure must not lose the attempt.
    pub(super) async fn keep_agents_commits(&self) {
        let kept = match self.agents_commit() {
            None => return,
            Some(commit) => self.keep_agents(&commit).await,
        };
        if let Err(error) = kept {
            tracing::warn!(attempt = %self.attempt, %error, "cannot keep the agent's own commits");
        }
    }

    async fn keep_agents(&self, commit: &CommitId) -> Result<String> {
        let theirs = self.path().join(".git/objects");
        if theirs.is_dir() {
            let known = self.repository.find_commit(commit.as_str()).await?;
            if known.is_none() {
                let base = format!("{commit}\n^{}\n", self.notes.base);
                self.copy_objects(base).await?;
            }
        }
        let name = format!("{}-agent", self.attempt.0);
        self.repository.preserve_as(&name, commit).await
    }

    /// Copies what these revisions name from the agent's objects into the main repository's. git
    /// computes every object's name again, so nothing of the agent's can pass for something else.
    async fn copy_objects(&self, revisions: String) -> Result<()> {
        let theirs = self.path().join(".git/objects");
        let call = self
            .object_call("pack the agent's commits")
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&theirs))
            .args(["pack-objects", "--revs", "--stdout", "-q"])
            .input(revisions)
            .whole_tree();
        let pack = pack(call).await?;
        let call = self.object_call("keep the agent's commits");
        let call = call.args(["unpack-objects", "-q"]).input(pack).whole_tree();
        call.ok().await.map(drop)
    }

    /// The commit of the agent's own `HEAD`, if that is a commit of the agent's. Read without git,
    /// which would follow the agent's configuration.
    fn agents_commit(&self) -> Option<CommitId> {
        let git_dir = match &self.notes.admin {
            Some(admin) => self.repository.common_dir().join("worktrees").join(admin),
            None => self.path().join(".git"),
        };
        let id = head_of(&git_dir)?;
        let known = id == self.notes.base || Some(&id) == self.notes.commit.as_ref();
        (!known).then_some(id)
    }
}

/// The commit that the `HEAD` of a git directory is at.
pub(super) fn head_of(git_dir: &Path) -> Option<CommitId> {
    let mut name = "HEAD".to_owned();
    for _ in 0..LINKS_MAX {
        let text = match read_small(&git_dir.join(&name)) {
            Some(text) => String::from_utf8_lossy(&text).into_owned(),
            None => {
                let packed = read_plain(&git_dir.join("packed-refs"), PACKED_BYTES_MAX)?;
                let packed = String::from_utf8_lossy(&packed).into_owned();
                let mut pairs = packed.lines().filter_map(|line| line.split_once(' '));
                pairs.find(|(_, it)| *it == name)?.0.to_owned()
            }
        };
        let text = text.trim();
        if let Ok(id) = text.parse::<CommitId>() {
            return (!id.is_none()).then_some(id);
        }
        let next = text.strip_prefix("ref: ")?.trim();
        let inside = next.starts_with("refs/") && !next.split('/').any(|part| part == "..");
        name = inside.then(|| next.to_owned())?;
    }
    None
}

/// Runs a call that packs objects, and returns the pack.
pub(super) async fn pack(call: Call) -> Result<Vec<u8>> {
    let mut pack = Vec::new();
    let mut fits = true;
    let sink = &mut |bytes: &[u8]| {
        fits = fits && pack.len() + bytes.len() <= PACK_BYTES_MAX;
        if fits {
            pack.extend_from_slice(bytes);
        }
    };
    let (code, complaint) = call.stream(sink).await?;
    match (code, fits) {
        (0, true) => Ok(pack),
        (0, false) => Err(Error::OutputLimit {
            doing: call.doing,
            command: "pack-objects".to_owned(),
            bytes: PACK_BYTES_MAX,
        }),
        _ => Err(call.stream_failed(code, complaint)),
    }
}

/// A path in the form in which git reads it in a list of directories, which are separated by
/// colons.
pub(super) fn quoted(path: &Path) -> OsString {
    let mut quoted = vec![b'"'];
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}
