//! Values as people write them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds, written as `"90s"`, `"10m"` or `"1h 30m"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration(Duration::from_millis(self.0));
        write!(f, "{text}")
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl de::Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"90s\", \"10m\" or \"2h\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        let wrong = || {
            E::custom(format!(
                "{text:?} is no duration such as \"90s\", \"10m\" or \"2h\""
            ))
        };
        let duration = humantime::parse_duration(text).map_err(|_| wrong())?;
        u64::try_from(duration.as_millis())
            .map(Span)
            .map_err(|_| wrong())
    }
}

/// An amount of memory, written as `"8GiB"`, `"512MiB"`, `"75%"` of the machine's, or `"none"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Bytes; 0 is no limit.
    Bytes(u64),
    /// Of the machine's memory; 1 to 100.
    Percent(u8),
}

impl Memory {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

    /// Bytes on this machine; 0 is no limit, also where the machine does not say how much it has.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => machine_memory() / 100 * u64::from(percent),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::Bytes(0));
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.trim().parse().ok()?;
            return (1..=100)
                .contains(&percent)
                .then_some(Self::Percent(percent));
        }
        let (unit, factor) = Self::UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        let bytes = number.checked_mul(*factor)?;
        (bytes > 0).then_some(Self::Bytes(bytes))
    }
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(0) => f.write_str("none"),
            Self::Bytes(bytes) => {
                let whole = Self::UNITS.iter().find(|(_, factor)| bytes % factor == 0);
                let (unit, factor) = whole.unwrap_or(&("KiB", 1 << 10));
                write!(f, "{}{unit}", bytes / factor)
            }
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is no amount of memory such as \"8GiB\", \"512MiB\", \"75%\" or \"none\""
            ))
        })
    }
}

/// Millionths of a US dollar, written as dollars: `2.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dollars(pub u64);

impl Dollars {
    /// A budget beyond this is a slip of the keyboard.
    const MAX: f64 = 1e9;
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Exact up to nine billion dollars: a double holds integers up to 2^53.
        serializer.serialize_f64(self.0 as f64 / 1e6)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if !(0.0..=Self::MAX).contains(&dollars) {
            return Err(de::Error::custom(format!(
                "{dollars} is no sum of money from 0 to a billion dollars"
            )));
        }
        // In range, so that the cast neither saturates nor wraps.
        Ok(Self((dollars * 1e6).round() as u64))
    }
}
