//! Finds the JSON in what an agent wrote. Models wrap JSON in Markdown fences, in prose, in byte
//! order marks; they leave trailing commas and line breaks inside of strings. None of that changes
//! the meaning, so none of it stops the reader. Without I/O.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value that keeps every key of an object, even a repeated one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// What was found in a text.
pub(super) struct Found {
    /// The values at the top level, in order.
    pub(super) values: Vec<Value>,
    /// True if the text contains nothing else: one value, or several after each other.
    pub(super) whole: bool,
}

/// Values that are searched in prose. A verdict file has one for each feature of a job, at most
/// fifty.
const VALUES_MAX: usize = 100;

/// The text of a file in any encoding that programs write by default. UTF-16 is recognised by its
/// byte order mark; bytes that are not UTF-8 are replaced, because everything that matters to us is
/// ASCII.
pub(super) fn text(bytes: &[u8]) -> String {
    let wide = |unit: fn([u8; 2]) -> u16, rest: &[u8]| {
        let pairs = rest.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
        let units: Vec<u16> = pairs.map(unit).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        other => String::from_utf8_lossy(other).into_owned(),
    }
}

/// The values in a text, if it has any.
pub(super) fn find(text: &str) -> Found {
    let text = without_fence(text.trim());
    // Unchanged first: valid JSON must not be altered.
    for candidate in [text.to_owned(), repaired(text)] {
        if let Some(values) = sequence(&candidate) {
            return Found {
                values,
                whole: true,
            };
        }
    }
    let values = [text.to_owned(), repaired(text)]
        .iter()
        .map(|candidate| scattered(candidate))
        .max_by_key(Vec::len);
    Found {
        values: values.unwrap_or_default(),
        whole: false,
    }
}

/// The contents of the fences, if the text is only one fenced block.
fn without_fence(text: &str) -> &str {
    let inside = |fence: &str| {
        let body = text.strip_prefix(fence)?.strip_suffix(fence)?;
        // The first line may name a language.
        let (_, body) = body.split_once('\n')?;
        (!body.contains(fence)).then(|| body.trim())
    };
    inside("```").or_else(|| inside("~~~")).unwrap_or(text)
}

/// One value, or several after each other (JSON lines); `None` if anything else is there.
fn sequence(text: &str) -> Option<Vec<Value>> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    let values: Result<Vec<Value>, _> = values.collect();
    values.ok().filter(|values| !values.is_empty())
}

/// Outermost objects and lists in a text, as many as parse.
fn scattered(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = text;
    // The parser gives up after 128 levels, so no text makes this slow.
    while let Some(at) = rest.find(['{', '[']) {
        rest = rest.get(at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter();
        let value = values.next();
        let behind = match value {
            Some(Ok(value)) => {
                found.push(value);
                values.byte_offset().max(1)
            }
            _ => 1,
        };
        if found.len() >= VALUES_MAX {
            break;
        }
        rest = rest.get(behind..).unwrap_or_default();
    }
    found
}

/// The text without trailing commas, and with line breaks and other control characters in strings
/// escaped: two slips that leave no doubt about the meaning.
fn repaired(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_text, mut escaped) = (false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_text {
            match letter {
                control if control.is_ascii_control() && !escaped => {
                    out.push_str(&format!("\\u{:04x}", u32::from(control)));
                }
                letter => out.push(letter),
            }
            in_text = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        in_text = letter == '"';
        if letter != ',' {
            out.push(letter);
            continue;
        }
        let mut space = String::new();
        while let Some(blank) = letters.next_if(|next| next.is_whitespace()) {
            space.push(blank);
        }
        let ends = matches!(letters.peek(), None | Some('}' | ']'));
        out.push_str(if ends { "" } else { "," });
        out.push_str(&space);
    }
    out
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = items.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_repaired_and_texts_left_alone() {
        let table = [
            (r#"{"a":1,}"#, r#"{"a":1}"#),
            ("[1 , \n ]", "[1  \n ]"),
            (r#"{"a":"x,}"}"#, r#"{"a":"x,}"}"#),
            ("{\"a\":\"x\ny\"}", "{\"a\":\"x\\u000ay\"}"),
            (r#"{"a":"\",]"}"#, r#"{"a":"\",]"}"#),
            ("{},", "{}"),
        ];
        for (text, expected) in table {
            assert_eq!(repaired(text), expected, "{text}");
        }
    }

    #[test]
    fn no_text_makes_the_search_slow() {
        for text in [
            "[",
            "{",
            "[[1,",
            "{\"a\":[",
            "[\"",
            "```\n",
            "{\"a\":{\"a\":",
        ] {
            let many = text.repeat(65_536 / text.len());
            assert!(find(&many).values.len() <= VALUES_MAX);
        }
    }
}
