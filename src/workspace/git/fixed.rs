//! What every git call gets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Settings of every call, which override the user's and the repository's configuration.
pub(super) const SETTINGS: [&str; 20] = [
    // Nothing in the repository is executed.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    // Housekeeping is up to the user; in the background it would outlive us and hold locks.
    "gc.auto=0",
    "maintenance.auto=false",
    // Files that an agent has touched are recognised by the time of their last change, which it
    // cannot set.
    "core.trustctime=true",
    "core.checkStat=default",
    "core.ignoreStat=false",
    // No signature is verified, because that runs a program.
    "log.showSignature=false",
    // The private index is one file; and caches that trust directory times can be fooled.
    "core.splitIndex=false",
    "core.untrackedCache=false",
    // Written means written to the disk.
    "core.fsyncMethod=fsync",
    // An attempt works on, and is judged by, the whole tree.
    "core.sparseCheckout=false",
    "submodule.recurse=false",
    // These turn work into errors, or drop it silently.
    "core.safecrlf=false",
    "add.ignoreErrors=false",
    "commit.gpgSign=false",
    "i18n.commitEncoding=UTF-8",
    // Plain paths, no hints, no colours.
    "core.quotePath=false",
    "advice.detachedHead=false",
    "color.ui=false",
];

/// Makes git sync the objects and refs that it writes. By default it leaves loose objects and refs
/// to the operating system, and a power cut leaves empty files under objects' names. git then
/// believes that they exist, so the same work could never be committed again.
pub(super) const SYNC: &str = "core.fsync=committed";

/// The same for versions that do not know the other setting; later ones complain about it.
pub(super) const SYNC_BEFORE: &str = "core.fsyncObjectFiles=true";

/// The variables of every call: our own without git's, and those that turn questions off.
pub(super) fn environment() -> BTreeMap<OsString, OsString> {
    let own = std::env::vars_os();
    let mut env: BTreeMap<OsString, OsString> = own.filter(|(name, _)| passes(name)).collect();
    let ours = [
        ("LC_ALL", "C"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_EDITOR", "false"),
        ("GIT_PAGER", "cat"),
        // Nobody can answer a question; each of these is another way to ask one.
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", "false"),
        ("SSH_ASKPASS", "false"),
        ("SSH_ASKPASS_REQUIRE", "never"),
        ("GCM_INTERACTIVE", "never"),
        // A replacement ref made by an agent would show us other contents than a clone gets.
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_LITERAL_PATHSPECS", "1"),
    ];
    env.extend(ours.map(|(name, value)| (name.into(), value.into())));
    env
}

/// Whether git gets one of our variables. Git's own would redirect it, except those that say whom
/// to trust on the network.
fn passes(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    !name.starts_with(b"GIT_") || name.starts_with(b"GIT_SSL_")
}
