//! The one door to sled: its panics are errors like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::Error;

/// Calls sled. Whatever it was doing when it panicked is not used again: a writer is poisoned by
/// any error, and an open that fails gives nothing away.
pub(super) fn engine<T>(
    what: &'static str,
    call: impl FnOnce() -> sled::Result<T>,
) -> Result<T, Error> {
    let why = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("it panicked: {}", text.unwrap_or("no message"))
        }
    };
    Err(Error::Engine { what, why })
}
