//! What a plain command says about its session in the verdict file: that its provider limits it, and
//! what it used. Other drivers learn that from the agent's own stream.

use std::time::UNIX_EPOCH;

use super::values::{self, Value};
use super::{REASON_KEYS, VERDICT_BYTES_MAX, VERDICT_KEYS, plain};
use crate::model::evidence::Usage;
use crate::model::ids::Timestamp;

/// Words that mean that the provider limits or is overloaded.
const LIMITED_WORDS: [&str; 3] = ["limited", "ratelimited", "overloaded"];
/// The key of the time at which the limit ends.
const UNTIL_KEY: &str = "until";
/// The key of what the session used.
const USAGE_KEY: &str = "usage";
/// A number below this is in seconds since 1970, as most APIs give it; above, in milliseconds.
const SECONDS_MAX: f64 = 100_000_000_000.0;

/// What the program said about its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its provider limits it.
    pub limited: Option<Limited>,
    /// What it used in total; zeros if it did not say.
    pub usage: Usage,
}

/// A provider's limit, as the program tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// When it ends, if it said so in a form that can be read.
    pub until: Option<Timestamp>,
    /// The provider's words; may be empty.
    pub reason: String,
}

/// Whether this verdict is about the session and not about a feature.
pub(super) fn is_limited(word: &str) -> bool {
    LIMITED_WORDS.contains(&plain(word).as_str())
}

/// Whether this object only tells what was used.
pub(super) fn is_usage(key: &str) -> bool {
    plain(key) == USAGE_KEY
}

/// Reads what the file says about the session.
pub fn told(bytes: &[u8]) -> Told {
    let mut told = Told::default();
    if bytes.len() as u64 <= VERDICT_BYTES_MAX {
        for value in &values::find(values::text(bytes).trim()).values {
            told.read(value);
        }
    }
    told
}

impl Told {
    fn read(&mut self, value: &Value) {
        let entries = match value {
            Value::List(items) => return items.iter().for_each(|item| self.read(item)),
            Value::Object(entries) => entries,
            _ => return,
        };
        let first = |keys: &[&str]| {
            let of = |(name, _): &&(String, Value)| keys.contains(&plain(name).as_str());
            entries.iter().find(of).map(|(_, value)| value)
        };
        if let Some(Value::Object(usage)) = first(&[USAGE_KEY]) {
            self.usage = self.usage.plus(usage_in(usage));
        }
        let word = match first(&VERDICT_KEYS) {
            Some(Value::Text(word)) => word,
            _ => return,
        };
        if is_limited(word) {
            let reason = match first(&REASON_KEYS) {
                Some(Value::Text(reason)) => reason.trim().to_owned(),
                _ => String::new(),
            };
            let until = first(&[UNTIL_KEY]).and_then(time);
            self.limited = Some(Limited { until, reason });
        }
    }
}

/// Tokens and dollars under the usual names.
fn usage_in(entries: &[(String, Value)]) -> Usage {
    let number = |keys: &[&str]| {
        let of = |(name, _): &&(String, Value)| keys.contains(&plain(name).as_str());
        match entries.iter().find(of) {
            Some((_, Value::Number(number))) if (0.0..1e15).contains(number) => *number,
            _ => 0.0,
        }
    };
    let dollars = number(&["costusd", "totalcostusd", "usd", "cost"]);
    Usage {
        input_tokens: number(&["inputtokens", "prompttokens", "input"]) as u64,
        output_tokens: number(&["outputtokens", "completiontokens", "output"]) as u64,
        cost_microusd: (dollars.min(1e6) * 1e6).round() as u64,
    }
}

/// A time as RFC 3339, or as seconds or milliseconds since 1970.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) if (0.0..1e15).contains(number) => {
            let ms = match *number < SECONDS_MAX {
                true => number * 1_000.0,
                false => *number,
            };
            Some(Timestamp(ms as u64))
        }
        Value::Text(text) => {
            let time = humantime::parse_rfc3339_weak(text.trim()).ok()?;
            let since = time.duration_since(UNIX_EPOCH).ok()?;
            u64::try_from(since.as_millis()).ok().map(Timestamp)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::FeatureId;
    use crate::worker::verdict::parse;

    #[test]
    fn a_limit_is_read_with_its_time_in_any_usual_form() {
        let table = [
            (r#"{"verdict": "limited"}"#, None),
            (
                r#"{"verdict": "limited", "until": 1760000000}"#,
                Some(1_760_000_000_000),
            ),
            (
                r#"{"verdict": "rate-limited", "until": 1760000000000}"#,
                Some(1_760_000_000_000),
            ),
            (
                r#"[{"verdict": "Limited", "until": "2025-10-09T08:53:20Z", "reason": "429"}]"#,
                Some(1_760_000_000_000),
            ),
            (r#"{"verdict": "limited", "until": "tomorrow"}"#, None),
            (r#"{"verdict": "limited", "until": -5}"#, None),
        ];
        for (text, until) in table {
            let limited = told(text.as_bytes()).limited.expect(text);
            assert_eq!(limited.until, until.map(Timestamp), "{text}");
            let reading = parse(text.as_bytes(), &[FeatureId(5)]);
            assert_eq!((reading.claims, reading.note), (Vec::new(), None), "{text}");
        }
        assert_eq!(told(b"{\"verdict\": \"pass\"}"), Told::default());
        assert_eq!(told(&[b'['; 100_000]), Told::default());
    }

    #[test]
    fn usage_is_read_beside_a_verdict_and_alone() {
        let both = r#"{"feature": 5, "verdict": "pass", "usage": {"input_tokens": 1200, "output_tokens": 34, "cost_usd": 0.0125}}"#;
        let expected = Usage {
            input_tokens: 1_200,
            output_tokens: 34,
            cost_microusd: 12_500,
        };
        assert_eq!(told(both.as_bytes()).usage, expected);
        assert_eq!(parse(both.as_bytes(), &[FeatureId(5)]).claims.len(), 1);
        let alone = r#"{"usage": {"prompt_tokens": 7, "completion_tokens": 1e300, "usd": -3}}"#;
        let usage = told(alone.as_bytes()).usage;
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.cost_microusd),
            (7, 0, 0)
        );
        assert_eq!(parse(alone.as_bytes(), &[FeatureId(5)]).note, None);
    }
}
