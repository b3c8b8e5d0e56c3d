//! Reads the verdict file: an agent's statement about its own work. It is a claim, never a proof.
//!
//! The file is read leniently wherever its meaning is certain. Otherwise nothing is guessed and
//! nothing is discarded: the readable claims count, and [`Reading::note`] says what could not be
//! read.

pub mod session;
mod values;

use crate::model::clip::clip_chars;
use crate::model::ids::FeatureId;
use values::Value;

/// A longer verdict file is not read: it has a sentence or two for each of fifty features.
pub const VERDICT_BYTES_MAX: u64 = 64 * 1024;

/// Characters of an unreadable verdict that a note quotes: enough to recognise it.
const QUOTED_CHARS: usize = 160;

/// An agent's claim about one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The feature works.
    Pass,
    /// It does not work, or could not be done, for this reason.
    Fail(String),
    /// A person must answer this first.
    Input(String),
}

/// The claims of one session, at most one for each feature.
pub type Claims = Vec<(FeatureId, Claim)>;

/// The result of reading a verdict file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The certain claims.
    pub claims: Claims,
    /// What could not be read, in a sentence for people and for the next attempt; it quotes the
    /// file's beginning.
    pub note: Option<String>,
}

impl Reading {
    /// Nothing could be read, and there is nothing to quote.
    pub fn unread(problem: &str) -> Self {
        Self {
            claims: Claims::new(),
            note: Some(format!(
                "the agent's verdict could not be read: the file {problem}"
            )),
        }
    }
}

impl Reading {
    /// The same with every text of the agent's passed through `words`.
    #[must_use]
    pub fn reworded(mut self, words: impl Fn(&str) -> String) -> Self {
        for (_, claim) in &mut self.claims {
            match claim {
                Claim::Fail(text) | Claim::Input(text) => *text = words(text),
                Claim::Pass => {}
            }
        }
        self.note = self.note.as_deref().map(words);
        self
    }
}

/// Keys with which agents mean the same thing, ours first. Case and `_`, `-` and spaces do not
/// matter.
const FEATURE_KEYS: [&str; 3] = ["feature", "featureid", "id"];
const VERDICT_KEYS: [&str; 4] = ["verdict", "status", "result", "outcome"];
const PASSED_KEYS: [&str; 4] = ["pass", "passed", "passes", "success"];
const REASON_KEYS: [&str; 7] = [
    "reason",
    "message",
    "explanation",
    "details",
    "detail",
    "error",
    "summary",
];
const QUESTION_KEYS: [&str; 2] = ["question", "input"];
/// Keys that may contain a list of verdicts.
const LIST_KEYS: [&str; 4] = ["verdicts", "features", "results", "feature"];

/// Words whose meaning is certain. `done` and `blocked` are not among them: a finished test may
/// have failed, and what is blocked may need a person or another feature.
const PASS_WORDS: [&str; 10] = [
    "pass",
    "passed",
    "passes",
    "passing",
    "ok",
    "okay",
    "success",
    "succeeded",
    "successful",
    "true",
];
const FAIL_WORDS: [&str; 8] = [
    "fail",
    "failed",
    "fails",
    "failing",
    "failure",
    "broken",
    "false",
    "unsuccessful",
];
const INPUT_WORDS: [&str; 8] = [
    "input",
    "question",
    "ask",
    "needsinput",
    "needinput",
    "inputneeded",
    "inputrequired",
    "needshumaninput",
];

/// Reads a verdict file about the features of one job. An empty file counts as none.
pub fn parse(bytes: &[u8], features: &[FeatureId]) -> Reading {
    if bytes.len() as u64 > VERDICT_BYTES_MAX {
        return Reading::unread(&format!("is longer than {VERDICT_BYTES_MAX} bytes"));
    }
    let text = values::text(bytes);
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
    if text.is_empty() {
        return Reading::default();
    }
    let mut reader = Reader {
        features,
        claims: Claims::new(),
        contradicted: Vec::new(),
        problems: Vec::new(),
        about_session: false,
    };
    let found = values::find(text);
    // A file of one bare word is about the only feature.
    let bare = found.values.is_empty().then(|| plain(text));
    if bare.as_deref().is_some_and(|word| meaning(word).is_some()) {
        reader.value(&Value::Text(text.to_owned()), true);
    }
    for value in &found.values {
        reader.value(value, found.whole);
    }
    reader.reading(text)
}

struct Reader<'a> {
    features: &'a [FeatureId],
    claims: Claims,
    /// Features about which the file contradicts itself.
    contradicted: Vec<FeatureId>,
    problems: Vec<String>,
    /// Something in it is about the session and not about a feature; see [`session`].
    about_session: bool,
}

impl Reader<'_> {
    fn reading(mut self, text: &str) -> Reading {
        let contradicted = std::mem::take(&mut self.contradicted);
        self.claims.retain(|(id, _)| !contradicted.contains(id));
        let said = !self.claims.is_empty() || self.about_session;
        if !said && self.problems.is_empty() && text != "[]" {
            self.problems
                .push("it contains no recognizable verdict".to_owned());
        }
        let note = (!self.problems.is_empty()).then(|| {
            let quoted = clip_chars(text, QUOTED_CHARS);
            let more = if quoted.len() < text.len() { "..." } else { "" };
            let problems = self.problems.join("; ");
            format!(
                "the agent's verdict could not be read: {problems}. It begins: {quoted:?}{more}"
            )
        });
        Reading {
            claims: self.claims,
            note,
        }
    }

    fn problem(&mut self, problem: String) {
        // One sentence for each of a job's features is the most that anybody reads.
        if self.problems.len() < 3 && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A value at the top level. In prose (`whole` is false) a value that is no verdict is prose.
    fn value(&mut self, value: &Value, whole: bool) {
        match value {
            Value::List(items) => items.iter().for_each(|item| self.value(item, whole)),
            Value::Object(entries) => self.object(entries, None, whole),
            Value::Text(word) if whole => self.entry(None, Some(word), "", ""),
            _ if whole => self.problem("it is neither an object nor a list of verdicts".to_owned()),
            _ => {}
        }
    }

    fn object(&mut self, entries: &[(String, Value)], feature: Option<FeatureId>, whole: bool) {
        let first = |keys: &[&str]| {
            let of = |key: &&str| entries.iter().find(|(name, _)| plain(name) == **key);
            keys.iter().find_map(of).map(|(_, value)| value)
        };
        let twice = |keys: &[&str]| {
            let mut values = entries
                .iter()
                .filter(|(name, _)| keys.contains(&plain(name).as_str()));
            let first = values.next();
            values.any(|(_, value)| first.is_some_and(|(_, it)| it != value))
        };
        let word = match first(&VERDICT_KEYS).or_else(|| first(&PASSED_KEYS)) {
            Some(Value::Text(word)) => word.as_str(),
            Some(Value::Bool(true)) => "pass",
            Some(Value::Bool(false)) => "fail",
            Some(Value::Object(_) | Value::List(_)) | None => {
                return self.container(entries, whole);
            }
            Some(_) => "",
        };
        if session::is_limited(word) {
            self.about_session = true;
            return;
        }
        if twice(&VERDICT_KEYS[..1]) || twice(&FEATURE_KEYS) {
            return self.problem("it has a key twice with different values".to_owned());
        }
        let said = |keys: &[&str]| match first(keys) {
            Some(Value::Text(text)) => text.trim().to_owned(),
            _ => String::new(),
        };
        let (reason, question) = (said(&REASON_KEYS), said(&QUESTION_KEYS));
        match (feature, first(&FEATURE_KEYS)) {
            (Some(id), _) => self.entry(Some(Some(id)), Some(word), &reason, &question),
            (None, None | Some(Value::Null)) => self.entry(None, Some(word), &reason, &question),
            (None, Some(value)) => self.entry(Some(number(value)), Some(word), &reason, &question),
        }
    }

    /// An object without a verdict of its own: a list under a name, or verdicts under numbers.
    fn container(&mut self, entries: &[(String, Value)], whole: bool) {
        let mut read = false;
        for (key, value) in entries {
            if session::is_usage(key) {
                self.about_session = true;
                read = true;
                continue;
            }
            let numbered = feature_number(key).filter(|id| self.features.contains(id));
            match (numbered, value) {
                (Some(id), Value::Object(inner)) => self.object(inner, Some(id), whole),
                (Some(id), Value::Text(word)) => self.entry(Some(Some(id)), Some(word), "", ""),
                (Some(id), Value::Bool(passed)) => {
                    let word = if *passed { "pass" } else { "fail" };
                    self.entry(Some(Some(id)), Some(word), "", "");
                }
                (None, Value::List(_) | Value::Object(_))
                    if LIST_KEYS.contains(&plain(key).as_str())
                        || VERDICT_KEYS.contains(&plain(key).as_str()) =>
                {
                    self.value(value, whole);
                }
                _ => continue,
            }
            read = true;
        }
        if !read && whole {
            self.problem("an object in it has no `verdict`".to_owned());
        }
    }

    /// One verdict. `named` is `None` if it names no feature, and `Some(None)` if the name is no
    /// number.
    fn entry(
        &mut self,
        named: Option<Option<FeatureId>>,
        word: Option<&str>,
        reason: &str,
        question: &str,
    ) {
        let id = match (named, self.features) {
            (Some(Some(id)), _) => id,
            (None, [only]) => *only,
            (None, _) => {
                return self.problem("it does not say which feature it is about".to_owned());
            }
            (Some(None), _) => {
                return self.problem("its feature is not a number".to_owned());
            }
        };
        if !self.features.contains(&id) {
            return self.problem(format!(
                "it is about feature {id}, which is not in this job"
            ));
        }
        let word = word.unwrap_or_default();
        let Some(meaning) = meaning(&plain(word)) else {
            let shown = clip_chars(word, 40);
            return self.problem(format!(
                "its verdict on feature {id} is {shown:?}, but must be pass, fail or input"
            ));
        };
        let claim = match meaning {
            Meaning::Pass => Claim::Pass,
            Meaning::Fail if reason.is_empty() => {
                Claim::Fail("the agent reported a failure without a reason".to_owned())
            }
            Meaning::Fail => Claim::Fail(reason.to_owned()),
            Meaning::Input if !question.is_empty() => Claim::Input(question.to_owned()),
            Meaning::Input if !reason.is_empty() => Claim::Input(reason.to_owned()),
            Meaning::Input => {
                return self.problem(format!(
                    "its verdict on feature {id} is input, but it has no question"
                ));
            }
        };
        match self.claims.iter().find(|(other, _)| *other == id) {
            None => self.claims.push((id, claim)),
            Some((_, earlier)) if *earlier == claim => {}
            Some(_) => {
                self.contradicted.push(id);
                self.problem(format!("it has different verdicts on feature {id}"));
            }
        }
    }
}

enum Meaning {
    Pass,
    Fail,
    Input,
}

fn meaning(plain: &str) -> Option<Meaning> {
    if PASS_WORDS.contains(&plain) {
        Some(Meaning::Pass)
    } else if FAIL_WORDS.contains(&plain) {
        Some(Meaning::Fail)
    } else if INPUT_WORDS.contains(&plain) {
        Some(Meaning::Input)
    } else {
        None
    }
}

/// A word without what does not matter: case, quotes, punctuation, spaces.
fn plain(word: &str) -> String {
    let letters = word.chars().filter(|letter| letter.is_alphanumeric());
    // Our keys and words are short; a longer one matches none.
    letters.flat_map(char::to_lowercase).take(40).collect()
}

/// `5`, `5.0`, `"5"`, `"#5"` and `"feature 5"`.
fn number(value: &Value) -> Option<FeatureId> {
    match value {
        Value::Number(number) if number.fract() == 0.0 => {
            let id = (1.0..=f64::from(FeatureId::MAX)).contains(number);
            id.then_some(FeatureId(*number as u32))
        }
        Value::Text(text) => feature_number(text),
        _ => None,
    }
}

fn feature_number(text: &str) -> Option<FeatureId> {
    let text = text.trim();
    let text = match text.get(..7) {
        Some(word) if word.eq_ignore_ascii_case("feature") => text.get(7..)?.trim_start(),
        _ => text,
    };
    let digits = text.strip_prefix('#').unwrap_or(text).trim();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(FeatureId)).flatten()
}

#[cfg(test)]
mod tests;
