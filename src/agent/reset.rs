//! When a limit ends, as agents say it in prose: `try again at 3:05 PM`, `try again at Nov 28th, 2026
//! 3:05 PM`, `try again in 2 hours 5 minutes`, `try again in 11.05s`. Without I/O.

/// Further away, a time is misread: the longest limits are weekly.
const MS_MAX: u64 = 15 * 86_400_000;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// The moment of reading, and the time zone in which agents on this machine speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    /// Milliseconds since 1970.
    pub(super) ms: u64,
    /// Seconds that local time is ahead of UTC.
    pub(super) offset_s: i64,
}

impl Now {
    /// The machine's clock and time zone.
    pub(super) fn here() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let seconds = libc::time_t::try_from(now.as_secs()).unwrap_or(0);
        // SAFETY: all zeros are a valid `tm`, and both pointers are valid during the call.
        let local = unsafe {
            let mut local = std::mem::zeroed::<libc::tm>();
            libc::localtime_r(&raw const seconds, &raw mut local);
            local
        };
        Self {
            ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            offset_s: local.tm_gmtoff,
        }
    }
}

/// When it can be tried again, in milliseconds since 1970, if a text says so.
pub(super) fn until_ms(text: &str, now: Now) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let after = |words: &str| Some(lower.split_once(words)?.1.trim());
    let until = match (after("try again at "), after("try again in ")) {
        (Some(moment), _) => at(moment, now)?,
        (None, Some(duration)) => now.ms.checked_add(span(duration)?)?,
        (None, None) => return None,
    };
    (until > now.ms && until - now.ms <= MS_MAX).then_some(until)
}

/// `3:05 pm`, on the next day if it has passed, or `nov 28th, 2026 3:05 pm`. Agents leave out the
/// seconds, so the end of the minute is meant.
fn at(moment: &str, now: Now) -> Option<u64> {
    let words: Vec<&str> = moment.split_whitespace().take(5).collect();
    let local = i64::try_from(now.ms / 1_000).ok()? + now.offset_s;
    let today = local.div_euclid(86_400);
    let (day, clock) = match words.as_slice() {
        [month, day, year, clock @ ..] if day_of(month, day, year).is_some() => {
            (day_of(month, day, year)?, clock)
        }
        clock => (today, clock),
    };
    let minutes = minutes_of(clock)?;
    let mut until = day * 86_400 + (minutes + 1) * 60;
    if day == today && until <= local {
        until += 86_400;
    }
    u64::try_from(until - now.offset_s).ok()?.checked_mul(1_000)
}

/// Minutes since midnight of `["3:05", "pm."]`.
fn minutes_of(clock: &[&str]) -> Option<i64> {
    let (time, half) = (clock.first()?, clock.get(1)?);
    let (hour, minute) = time.split_once(':')?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    let half = half.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
    let noon = match half {
        "am" => 0,
        "pm" => 12,
        _ => return None,
    };
    let valid = (1..=12).contains(&hour) && (0..60).contains(&minute);
    valid.then_some((hour % 12 + noon) * 60 + minute)
}

/// Days since 1970 of `nov 28th, 2026`.
fn day_of(month: &str, day: &str, year: &str) -> Option<i64> {
    let month = MONTHS.iter().position(|name| month.starts_with(name))?;
    let digits = |text: &str| {
        let end = text.find(|letter: char| !letter.is_ascii_digit());
        text.get(..end.unwrap_or(text.len()))?.parse::<i64>().ok()
    };
    let (day, year) = (digits(day)?, digits(year)?);
    if !(1..=31).contains(&day) || !(1970..10_000).contains(&year) {
        return None;
    }
    // Howard Hinnant's `days_from_civil`: years begin in March, so that the leap day is their last.
    let month = i64::try_from(month).ok()? + 1;
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    Some(year / 400 * 146_097 + of_era - 719_468)
}

/// Milliseconds of `2 days 3 hours`, `1h2m` or `11.05s`; what follows is ignored.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked before"
)]
fn span(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0.0;
    let mut found = false;
    loop {
        let number_end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let (number, after) = rest.split_at(number_end.unwrap_or(rest.len()));
        let Ok(number) = number.parse::<f64>() else {
            break;
        };
        let after = after.trim_start();
        let unit_end = after.find(|letter: char| !letter.is_ascii_alphabetic());
        let (unit, after) = after.split_at(unit_end.unwrap_or(after.len()));
        total += number
            * match unit {
                "ms" | "milliseconds" => 1.0,
                "s" | "sec" | "second" | "seconds" => 1e3,
                "m" | "min" | "minute" | "minutes" => 6e4,
                "h" | "hour" | "hours" => 3.6e6,
                "d" | "day" | "days" => 8.64e7,
                _ => break,
            };
        found = true;
        rest = after.trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    (found && total < 1e12).then_some(total.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_local_zone() {
        // 2026-11-28 07:19:08 UTC.
        let ms = 1_795_850_348_000;
        let utc = Now { ms, offset_s: 0 };
        let minute = 60_000;
        let midnight = ms - (7 * 3_600 + 19 * 60 + 8) * 1_000;
        let at = |hour: u64, minutes: u64| midnight + (hour * 60 + minutes + 1) * minute;
        let day = 86_400_000;
        let table = [
            ("… or try again at 8:18 AM.", Some(at(8, 18))),
            ("Try again at 7:18 AM.", Some(at(7, 18) + day)),
            ("try again at 12:05 pm", Some(at(12, 5))),
            ("try again at 12:05 AM", Some(at(0, 5) + day)),
            (
                "try again at Dec 1st, 2026 3:05 PM.",
                Some(at(15, 5) + 3 * day),
            ),
            ("try again at Nov 1st, 2026 3:05 PM.", None),
            ("try again at Dec 1st, 2027 3:05 PM.", None),
            ("Please try again in 11.054s. Visit", Some(ms + 11_054)),
            (
                "Try again in 1 day 2 hours 5 minutes.",
                Some(ms + day + 125 * minute),
            ),
            ("try again in 2 hours and 1 minute", Some(ms + 121 * minute)),
            ("try again in 1h2m", Some(ms + 62 * minute)),
            ("try again later", None),
            ("try again at noon", None),
            ("try again at 25:00 AM", None),
            ("try again in a moment", None),
            ("try again in 9999999 days", None),
        ];
        for (text, until) in table {
            assert_eq!(until_ms(text, utc), until, "{text}");
        }
        let east = Now {
            ms,
            offset_s: 3_600,
        };
        let found = until_ms("try again at 9:18 AM", east);
        assert_eq!(found, Some(at(8, 18)));
    }

    #[test]
    fn dates_are_counted_from_1970() {
        assert_eq!(day_of("jan", "1st,", "1970"), Some(0));
        assert_eq!(day_of("feb", "29th,", "2024"), Some(19_782));
        assert_eq!(day_of("mar", "1st,", "2024"), Some(19_783));
        assert_eq!(day_of("smarch", "1st,", "2024"), None);
    }
}
