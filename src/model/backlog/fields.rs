//! The values of each key of a feature.

use std::collections::BTreeSet;

use super::read::{Node, Value};
use super::suggest::{quoted, unknown_key};
use super::{BacklogErrors, BacklogFeature, Place, Reference};
use crate::model::feature::{FeatureSpec, garbles};
use crate::model::ids::FeatureId;

/// Every key of a feature, the most usual first; the nearest of them is suggested for others.
const KEYS: [&str; 9] = [
    "name",
    "category",
    "description",
    "steps",
    "checks",
    "depends_on",
    "dependencies",
    "priority",
    "id",
];

/// Reads one feature. Reports problems to `errors` and reads the rest anyway.
pub(super) fn feature(number: usize, entry: &Node, errors: &mut BacklogErrors) -> BacklogFeature {
    let mut place = Place {
        number,
        name: String::new(),
        line: entry.line,
    };
    let Value::Table(entries) = &entry.value else {
        let kind = entry.value.kind();
        let message = format!("is {kind}; write a table with at least a name");
        errors.add(entry.line, Some(&place), message);
        return BacklogFeature::default();
    };
    let named = entries.iter().find(|(key, _)| key == "name");
    if let Some((
        _,
        Node {
            value: Value::Text(name),
            ..
        },
    )) = named
    {
        name.trim().clone_into(&mut place.name);
    }
    let mut reader = Reader {
        line: entry.line,
        place: &place,
        errors,
    };
    let mut feature = BacklogFeature::default();
    let mut seen = BTreeSet::new();
    for (key, node) in entries {
        // A list's items in JSON have no lines of their own.
        reader.line = if node.line == 0 {
            entry.line
        } else {
            node.line
        };
        if !seen.insert(key) {
            reader.problem(format!("the key {} is given twice; keep one", quoted(key)));
        } else if !matches!(node.value, Value::Null) {
            reader.key(key, &node.value, &mut feature);
        }
    }
    reader.line = entry.line;
    feature.spec.normalise_line_ends();
    reader.whole(entries, &feature);
    feature.place = place;
    feature
}

struct Reader<'a> {
    line: usize,
    place: &'a Place,
    errors: &'a mut BacklogErrors,
}

impl Reader<'_> {
    fn problem(&mut self, message: impl Into<String>) {
        self.errors.add(self.line, Some(self.place), message);
    }

    fn key(&mut self, key: &str, value: &Value, feature: &mut BacklogFeature) {
        match key {
            "id" => feature.id = self.id("`id`", value),
            "name" => feature.spec.name = self.title(key, value),
            "category" => feature.spec.category = self.title(key, value),
            "description" => feature.spec.description = self.text(key, value),
            "steps" => feature.spec.steps = self.texts(key, value),
            "checks" => feature.spec.checks = self.checks(value),
            "depends_on" | "dependencies" => feature.depends_on = self.references(key, value),
            "priority" => feature.spec.priority = self.priority(value),
            other => self.problem(unknown_key(other, &KEYS)),
        }
    }

    /// Checks that need all keys.
    fn whole(&mut self, entries: &[(String, Node)], feature: &BacklogFeature) {
        let has = |key: &str| entries.iter().any(|(other, _)| other == key);
        if !has("name") {
            self.problem("has no `name`; give it a short title");
        }
        if has("depends_on") && has("dependencies") {
            self.problem("has `depends_on` and `dependencies`, which mean the same; keep one");
        }
        let (bytes, limit) = (feature.spec.text_bytes(), FeatureSpec::TEXT_BYTES_MAX);
        if bytes > limit {
            self.problem(format!(
                "description, steps and checks have {bytes} bytes together, the limit is {limit}; \
                 split the feature, or put long texts into the repository"
            ));
        }
    }

    fn id(&mut self, what: &str, value: &Value) -> Option<FeatureId> {
        let most = FeatureId::MAX;
        let number = match value {
            Value::Integer(number) => u32::try_from(*number).ok(),
            other => {
                let kind = other.kind();
                self.problem(format!(
                    "{what} is {kind}; write an integer from 1 to {most}"
                ));
                return None;
            }
        };
        let id = number.filter(|number| (1..=most).contains(number));
        if id.is_none() {
            self.problem(format!(
                "{what} is out of range; write an integer from 1 to {most}"
            ));
        }
        id.map(FeatureId)
    }

    fn priority(&mut self, value: &Value) -> i32 {
        let Value::Integer(number) = value else {
            let kind = value.kind();
            self.problem(format!(
                "`priority` is {kind}; write an integer, a higher number goes first"
            ));
            return 0;
        };
        i32::try_from(*number).unwrap_or_else(|_| {
            let (least, most) = (i32::MIN, i32::MAX);
            self.problem(format!(
                "`priority` is out of range; write an integer from {least} to {most}"
            ));
            0
        })
    }

    fn text(&mut self, key: &str, value: &Value) -> String {
        match value {
            Value::Text(text) if text.contains('\0') => {
                self.problem(format!(
                    "`{key}` contains a NUL character, which no command or file accepts; remove it"
                ));
                String::new()
            }
            Value::Text(text) => text.clone(),
            other => {
                let kind = other.kind();
                self.problem(format!("`{key}` is {kind}; write text in quotes"));
                String::new()
            }
        }
    }

    /// A text that is shown on one line of a terminal.
    fn title(&mut self, key: &str, value: &Value) -> String {
        let text = match value {
            Value::Text(text) => text.trim().to_owned(),
            other => self.text(key, other),
        };
        let limit = FeatureSpec::NAME_BYTES_MAX;
        if text.chars().any(garbles) {
            self.problem(format!(
                "`{key}` contains a line break or another control character, which would garble a terminal; \
                 write it as one plain line"
            ));
        } else if text.len() > limit {
            let bytes = text.len();
            self.problem(format!(
                "`{key}` has {bytes} bytes, the limit is {limit}; shorten it, and put the rest into `description`"
            ));
        } else if key == "name" && text.is_empty() && matches!(value, Value::Text(_)) {
            self.problem("`name` is empty; give it a short title");
        } else if key == "name" && number_sign(&text).is_some() {
            self.problem(format!(
                "`name` {text:?} looks like a feature's number; use words"
            ));
        }
        text
    }

    fn texts(&mut self, key: &str, value: &Value) -> Vec<String> {
        let Value::List(items) = value else {
            let kind = value.kind();
            self.problem(format!(
                "`{key}` is {kind}; write a list of strings: {key} = [\"...\"]"
            ));
            return Vec::new();
        };
        let (count, limit) = (items.len(), FeatureSpec::ITEMS_MAX);
        if count > limit {
            self.problem(format!(
                "`{key}` has {count} items, the limit is {limit}; split the feature"
            ));
            return Vec::new();
        }
        let line = self.line;
        let mut texts = Vec::with_capacity(count);
        for (number, item) in (1..).zip(items) {
            self.line = if item.line == 0 { line } else { item.line };
            texts.push(self.text(&format!("{key}, item {number}"), &item.value));
        }
        self.line = line;
        texts
    }

    fn checks(&mut self, value: &Value) -> Vec<String> {
        let checks = match value {
            Value::Text(_) => vec![self.text("checks", value)],
            _ => self.texts("checks", value),
        };
        let empty = |check: &String| check.trim().is_empty();
        // A text that was refused is empty here, too, and is not reported twice.
        let written = match value {
            Value::Text(text) => empty(text),
            Value::List(items) => items
                .iter()
                .any(|item| matches!(&item.value, Value::Text(text) if empty(text))),
            _ => false,
        };
        if written {
            self.problem(
                "one of the `checks` is empty and would always pass; write a command, or remove it",
            );
        }
        checks
    }

    fn references(&mut self, key: &str, value: &Value) -> Vec<Reference> {
        let Value::List(items) = value else {
            let kind = value.kind();
            self.problem(format!(
                "`{key}` is {kind}; write a list of ids or names: {key} = [4, \"login form\"]"
            ));
            return Vec::new();
        };
        let (count, limit) = (items.len(), FeatureSpec::DEPENDENCIES_MAX);
        if count > limit {
            self.problem(format!(
                "`{key}` has {count} items, the limit is {limit}; depend on features that depend on these"
            ));
            return Vec::new();
        }
        let line = self.line;
        let mut references = Vec::with_capacity(count);
        for (number, item) in (1..).zip(items) {
            self.line = if item.line == 0 { line } else { item.line };
            let what = format!("`{key}`, item {number},");
            references.extend(self.reference(&what, &item.value));
        }
        self.line = line;
        references
    }

    fn reference(&mut self, what: &str, value: &Value) -> Option<Reference> {
        let Value::Text(text) = value else {
            return match value {
                Value::Integer(_) => self.id(what, value).map(Reference::Id),
                other => {
                    let kind = other.kind();
                    self.problem(format!("{what} is {kind}; write an id or a name"));
                    None
                }
            };
        };
        let text = text.trim();
        if let Some(number) = number_sign(text) {
            return self.id(what, &Value::Integer(number)).map(Reference::Id);
        }
        if text.is_empty() {
            self.problem(format!("{what} is empty; write an id or a name"));
            return None;
        }
        Some(Reference::Name(text.to_owned()))
    }
}

/// The number in `#118`.
fn number_sign(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('#')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(i128::MAX))
}
