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
pub mod reader;
pub mod snapshot;
pub mod spool;
pub mod streams;
pub mod system;
mod take;
pub mod transcript;

/// Fifty problems of a backlog with a name in each are the longest.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// A check of any bytes.
pub type Check = fn(&[u8]);

/// Every target and its check; a target's name is its corpus' directory, too.
pub const TARGETS: [(&str, Check); 17] = [
    ("acp", acp::check),
    ("backlog", backlog::check),
    ("claims", claims::check),
    ("claude", streams::claude),
    ("codex", streams::codex),
    ("config", config::check),
    ("events", events::check),
    ("fold", fold::check),
    ("frames", frames::check),
    ("git", git::check),
    ("portable", portable::check),
    ("reader", reader::check),
    ("record", streams::record),
    ("snapshot", snapshot::check),
    ("spool", spool::check),
    ("system", system::check),
    ("transcript", transcript::check),
];

/// An error that a person can use: it says something, in a screen or two however long the input is.
pub fn useful(error: &str) {
    assert!(!error.trim().is_empty(), "an empty error");
    assert!(
        error.len() < ERROR_BYTES_MAX,
        "{} bytes of error",
        error.len()
    );
}

/// A text that a terminal shows and does not obey.
pub fn harmless(text: &str) {
    let hidden = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    assert!(!text.contains(hidden), "a terminal would obey: {text:?}");
    let turned = |letter| matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(turned), "a terminal would turn it: {text:?}");
}
