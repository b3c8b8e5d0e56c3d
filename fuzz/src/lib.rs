//! What the fuzz targets check, one file each. The targets in `fuzz_targets` and the test
//! `tests/fuzz_corpus.rs`, which replays the corpus, share these functions.
//!
//! A check gets any bytes and panics when a promise is broken: not only when the product panics,
//! but also when reading and writing are no inverses, or when an error does not say what to do.

pub mod acp;
pub mod backlog;
pub mod claims;
pub mod config;
pub mod events;
pub mod fold;
pub mod frames;
pub mod git;
pub mod portable;
pub mod snapshot;
pub mod spool;
pub mod system;
mod take;

/// A check of any bytes.
pub type Check = fn(&[u8]);

/// Every target and its check; a target's name is its corpus' directory, too.
pub const TARGETS: [(&str, Check); 12] = [
    ("acp", acp::check),
    ("backlog", backlog::check),
    ("claims", claims::check),
    ("config", config::check),
    ("events", events::check),
    ("fold", fold::check),
    ("frames", frames::check),
    ("git", git::check),
    ("portable", portable::check),
    ("snapshot", snapshot::check),
    ("spool", spool::check),
    ("system", system::check),
];

/// An error that a person can use: it says something, and nothing that moves a terminal's cursor.
pub fn useful(error: &str) {
    assert!(!error.trim().is_empty(), "an empty error");
    let hidden = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    assert!(!error.contains(hidden), "a terminal would obey: {error:?}");
    // A screen or two, however long the input is.
    assert!(error.len() < 64 * 1024, "{} bytes of error", error.len());
}
