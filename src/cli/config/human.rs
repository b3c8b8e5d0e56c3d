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
