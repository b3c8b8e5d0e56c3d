//! The marker that every process of an attempt carries in its environment.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::model::ids::AttemptId;

/// Common prefix of the markers of a project's attempts.
pub fn tree_prefix(project: &Path) -> String {
    let digest = Sha256::digest(project.as_os_str().as_bytes());
    let project: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{project}-")
}

/// Marks the processes of one attempt of one project: the scheduler ends the marked processes when
/// the attempt's worker is dead. It ends in a dot, so that no attempt's marker is a prefix of
/// another's.
pub fn tree_token(project: &Path, attempt: AttemptId) -> String {
    format!("{}{}.", tree_prefix(project), attempt.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_marker_begins_another() {
        let one = tree_token(Path::new("/a"), AttemptId(1));
        let twelve = tree_token(Path::new("/a"), AttemptId(12));
        assert!(!twelve.starts_with(&one));
        assert_ne!(one, tree_token(Path::new("/b"), AttemptId(1)));
    }
}
