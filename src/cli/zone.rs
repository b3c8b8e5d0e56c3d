//! Times for people, in the time zone of this machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use crate::model::ids::Timestamp;

/// The last second that RFC 3339 can write, which a wrong clock can exceed.
const SECONDS_MAX: u64 = 253_402_300_799;
/// No place on Earth is further from UTC.
const OFFSET_MAX: i64 = 24 * 3_600;

/// Whether times are local. Only the programs use the machine's zone; a library that is embedded or
/// tested writes UTC, so that its output does not depend on the machine.
static LOCAL: AtomicBool = AtomicBool::new(false);

/// Uses the machine's time zone from now on.
pub fn use_local() {
    LOCAL.store(true, Ordering::Relaxed);
}

/// A time by RFC 3339, local with its offset from UTC: `2026-11-22T16:04:05+01:00`; `Z` for UTC.
pub fn time(at: Timestamp) -> String {
    let offset = match LOCAL.load(Ordering::Relaxed) {
        true => offset_seconds(at),
        false => 0,
    };
    with_offset(at, offset)
}

/// The same in UTC, for programs.
pub fn utc(at: Timestamp) -> String {
    with_offset(at, 0)
}

fn with_offset(at: Timestamp, offset: i64) -> String {
    let seconds = (at.0 / 1_000).min(SECONDS_MAX);
    let local = seconds.saturating_add_signed(offset).min(SECONDS_MAX);
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(local));
    if offset == 0 {
        return text.to_string();
    }
    let text = text.to_string();
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    let text = text.trim_end_matches('Z');
    format!("{text}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Seconds to add to UTC for the machine's local time; 0 if it is not known.
fn offset_seconds(at: Timestamp) -> i64 {
    let Ok(seconds) = libc::time_t::try_from((at.0 / 1_000).min(SECONDS_MAX)) else {
        return 0;
    };
    // SAFETY: all-zero bytes are a valid `tm`, which is plain data and a pointer that may be null.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values that live during the call. The call reads TZ, which this
    // process never changes.
    let known = unsafe { libc::localtime_r(&seconds, &mut local) };
    let offset = local.tm_gmtoff;
    match known.is_null() || offset.abs() >= OFFSET_MAX {
        true => 0,
        // RFC 3339 has no seconds, which only historical offsets have.
        false => offset / 60 * 60,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_offset() {
        let at = Timestamp(1_795_359_845_999);
        let table = [
            (0, "2026-11-22T15:04:05Z"),
            (3_600, "2026-11-22T16:04:05+01:00"),
            (-12_600, "2026-11-22T11:34:05-03:30"),
            (50_400, "2026-11-23T05:04:05+14:00"),
        ];
        for (offset, text) in table {
            assert_eq!(with_offset(at, offset), text);
        }
        assert_eq!(
            with_offset(Timestamp(0), -3_600),
            "1970-01-01T00:00:00-01:00"
        );
        let late = with_offset(Timestamp(u64::MAX), 3_600);
        assert_eq!(late, "9999-12-31T23:59:59+01:00");
        assert_eq!(time(at), utc(at), "a library writes UTC");
    }
}
