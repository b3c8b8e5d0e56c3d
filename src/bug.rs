//! Reports a state that cannot happen.
//!
//! `bug!("...")` marks a place that no outside input can reach: the rules and the code that applies
//! them disagree. In every test, in the simulation and in a debug build it panics, so that the test
//! or the seed fails. A release logs it, counts it, and continues in the safe way that follows in
//! the code.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reports a bug of Crewlog itself; formats like `format!`.
macro_rules! bug {
    ($($text:tt)+) => {
        $crate::bug::report(format_args!($($text)+))
    };
}

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Logs and counts a bug for `bug!`, or panics in a debug build.
#[expect(
    clippy::assertions_on_constants,
    reason = "what is constant differs between a release and all other builds"
)]
pub(crate) fn report(what: fmt::Arguments<'_>) {
    assert!(!cfg!(any(test, debug_assertions)), "bug: {what}");
    COUNT.fetch_add(1, Ordering::Relaxed);
    tracing::error!("this is a bug in Crewlog, please report it: {what}");
}

/// How many bugs this process has reported.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bug_fails_a_test() {
        let told = std::panic::catch_unwind(|| bug!("{} and {}", 1, 2));
        let panic = told.expect_err("it panics");
        let text = panic.downcast_ref::<String>().map(String::as_str);
        assert_eq!(text, Some("bug: 1 and 2"));
        assert_eq!(super::count(), 0, "only a release counts");
    }
}
