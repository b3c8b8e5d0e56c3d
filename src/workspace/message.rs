//! Builds commit messages.

use crate::model::clip::{clip, clip_chars};
use crate::model::feature::garbles;
use crate::model::ids::{AttemptId, FeatureId};

/// A subject is one line in a log; longer ones are cut.
const SUBJECT_CHARS_MAX: usize = 120;

/// A body is read by people; longer text belongs in the transcript.
const BODY_BYTES_MAX: usize = 16 << 10;

/// A commit message: a subject, a body, and the trailers that link the commit to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitMessage {
    subject: String,
    body: String,
    features: Vec<FeatureId>,
    attempt: Option<AttemptId>,
}

impl CommitMessage {
    /// A message with this subject. Line breaks, control characters and marks that change the
    /// direction of writing become spaces.
    pub fn new(subject: &str) -> Self {
        let words: Vec<&str> = subject
            .split(|c: char| c.is_whitespace() || garbles(c))
            .filter(|word| !word.is_empty())
            .collect();
        let subject = clip_chars(&words.join(" "), SUBJECT_CHARS_MAX).to_owned();
        Self {
            subject,
            ..Self::default()
        }
    }

    /// Adds a text below the subject, cut at 16 KiB.
    #[must_use]
    pub fn body(mut self, text: &str) -> Self {
        let clean: String = text
            .chars()
            .filter(|c| !garbles(*c) || matches!(c, '\n' | '\t'))
            .collect();
        self.body = clip(&clean, BODY_BYTES_MAX).trim().to_owned();
        self
    }

    /// Adds a `Crewlog-Feature` trailer.
    #[must_use]
    pub fn feature(mut self, feature: FeatureId) -> Self {
        self.features.push(feature);
        self
    }

    /// Sets the `Crewlog-Attempt` trailer.
    #[must_use]
    pub fn attempt(mut self, attempt: AttemptId) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// The message as git stores it. The trailers are the last paragraph whatever the body
    /// contains, so that a body cannot pretend to be another attempt's.
    pub fn text(&self) -> String {
        let subject = match self.subject.as_str() {
            "" => "Untitled work",
            subject => subject,
        };
        let mut text = format!("{subject}\n");
        if !self.body.is_empty() {
            text.push_str(&format!("\n{}\n", self.body));
        }
        let features = self.features.iter();
        let mut trailers: Vec<String> = features
            .map(|feature| format!("Crewlog-Feature: {feature}\n"))
            .collect();
        trailers.extend(
            self.attempt
                .map(|attempt| format!("Crewlog-Attempt: {}\n", attempt.0)),
        );
        if !trailers.is_empty() {
            text.push('\n');
            text.push_str(&trailers.concat());
        }
        text
    }
}

/// The author of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The name; git strips what it cannot store.
    pub name: String,
    /// The mail address.
    pub email: String,
}

impl Default for Author {
    /// The author if the user's configuration names nobody.
    fn default() -> Self {
        Self {
            name: "Crewlog".to_owned(),
            email: "crewlog@localhost".to_owned(),
        }
    }
}
