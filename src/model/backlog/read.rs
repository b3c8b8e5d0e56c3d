//! Parses TOML or JSON into one tree of values with their lines.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::BacklogErrors;
use super::suggest::unknown_key;

/// The keys under which a file may list its features.
const LISTS: [&str; 2] = ["feature", "features"];

/// An empty file is more likely a mistake than intended.
const NO_FEATURES: &str =
    "has no features; write [[feature]] tables, each with a name, or in JSON a list of objects";

/// A value of either format.
pub(super) enum Value {
    Text(String),
    Integer(i128),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    /// JSON's null, treated as a missing key.
    Null,
    /// A value of a kind that no key takes, with the kind's name.
    Other(&'static str),
}

/// A value and the line that it begins on; 0 if unknown.
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

impl Value {
    /// Its name in a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Null => "nothing",
            Self::Other(kind) => kind,
        }
    }
}

/// The features of a TOML file.
pub(super) fn toml(text: &str, errors: &mut BacklogErrors) -> Result<Vec<Node>, BacklogErrors> {
    let lines = Lines::of(text);
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(0, |span| lines.at(span.start));
        let message = error.message().trim_end_matches('\n').replace('\n', ", ");
        BacklogErrors::of_file(
            line,
            format!("is not valid TOML: {message}; correct this first"),
        )
    })?;
    list(from_table(document.into_inner(), &lines), errors)
}

/// The features of a JSON file.
pub(super) fn json(text: &str, errors: &mut BacklogErrors) -> Result<Vec<Node>, BacklogErrors> {
    let document: Value = serde_json::from_str(text).map_err(|error| {
        let message = format!("is not valid JSON: {error}; correct this first");
        BacklogErrors::of_file(error.line(), message)
    })?;
    let depth = if matches!(document, Value::List(_)) {
        1
    } else {
        2
    };
    let mut features = list(document, errors)?;
    let tables = features
        .iter_mut()
        .filter(|node| matches!(node.value, Value::Table(_)));
    for (node, line) in tables.zip(object_lines(text, depth)) {
        node.line = line;
    }
    Ok(features)
}

/// The list of features in a document.
fn list(document: Value, errors: &mut BacklogErrors) -> Result<Vec<Node>, BacklogErrors> {
    let entries = match document {
        Value::List(features) => {
            if features.is_empty() {
                errors.add(0, None, NO_FEATURES);
            }
            return Ok(features);
        }
        Value::Table(entries) => entries,
        other => {
            let kind = other.kind();
            let message = format!("is {kind}; write a list of features");
            return Err(BacklogErrors::of_file(0, message));
        }
    };
    let mut found: Option<Vec<Node>> = None;
    for (key, node) in entries {
        if !LISTS.contains(&key.as_str()) {
            errors.add(node.line, None, unknown_key(&key, &LISTS));
            continue;
        }
        match node.value {
            Value::List(_) if found.is_some() => {
                let message = "has two lists of features; use only `feature` or only `features`";
                errors.add(node.line, None, message);
            }
            Value::List(features) => found = Some(features),
            other => {
                let kind = other.kind();
                let message =
                    format!("`{key}` is {kind}; write a list of features ([[{key}]] in TOML)");
                errors.add(node.line, None, message);
            }
        }
    }
    if found.as_ref().is_none_or(Vec::is_empty) && errors.problems.is_empty() {
        errors.add(0, None, NO_FEATURES);
    }
    Ok(found.unwrap_or_default())
}

fn from_table(table: DeTable<'_>, lines: &Lines) -> Value {
    let mut entries: Vec<(usize, String, Node)> = table
        .into_iter()
        .map(|(key, value)| {
            let mut node = from_toml(value, lines);
            // A key is closer to what is meant than a value of several lines.
            node.line = lines.at(key.span().start);
            (key.span().start, key.into_inner().into_owned(), node)
        })
        .collect();
    entries.sort_by_key(|(at, _, _)| *at);
    Value::Table(
        entries
            .into_iter()
            .map(|(_, key, node)| (key, node))
            .collect(),
    )
}

fn from_toml(value: Spanned<DeValue<'_>>, lines: &Lines) -> Node {
    let line = lines.at(value.span().start);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => {
            let number = i128::from_str_radix(integer.as_str(), integer.radix());
            number.map_or(Value::Other("a number that is too large"), Value::Integer)
        }
        DeValue::Float(_) => Value::Other("a number that is not an integer"),
        DeValue::Boolean(_) => Value::Other("true or false"),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(array) => Value::List(
            array
                .into_iter()
                .map(|item| from_toml(item, lines))
                .collect(),
        ),
        DeValue::Table(table) => from_table(table, lines),
    };
    Node { line, value }
}

/// Where each line begins.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The line, from 1, of the byte at `at`.
    fn at(&self, at: usize) -> usize {
        self.0.partition_point(|&start| start <= at) + 1
    }
}

/// The lines of objects inside `depth` brackets. The text is valid JSON.
fn object_lines(text: &str, depth: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut line, mut open) = (1, 0usize);
    let (mut in_text, mut escaped) = (false, false);
    for byte in text.bytes() {
        line += usize::from(byte == b'\n');
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                if byte == b'{' && open == depth {
                    found.push(line);
                }
                open += 1;
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    found
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

/// Takes any JSON value. serde_json's own type would hide a repeated key.
struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other("a number that is not an integer"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other("true or false"))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = items.next_element()? {
            list.push(Node { line: 0, value });
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut table = Vec::new();
        while let Some((key, value)) = entries.next_entry()? {
            table.push((key, Node { line: 0, value }));
        }
        Ok(Value::Table(table))
    }
}
