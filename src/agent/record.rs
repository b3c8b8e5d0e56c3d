//! The record of a session: what happened in it, one typed entry per line, as the agent's driver
//! understood it. People and pages read it; the raw transcript beside it stays as proof.
//!
//! Entries are masked before they are written. A text that comes in pieces is written line by line,
//! so that a secret cut into pieces is found.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::driver::{AgentEvent, Role, SessionResult};
use super::mask::{Mask, Stream};
use super::transcript::{Reader, Transcript, open};
use crate::model::clip::clip_marked;
use crate::model::evidence::{SessionEnd, Usage};

/// Share of the transcript's limit that its record may have: entries are much shorter than what they
/// are made of.
const SHARE: u64 = 4;

/// One line of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Milliseconds since the session began.
    pub t: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened; see [`AgentEvent`]. Earlier entries keep their names and meanings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// The agent got this prompt.
    Prompt {
        /// The whole of it.
        text: String,
    },
    /// The agent is ready to work.
    Started {
        /// Its own name for the session; empty if it has none.
        session_id: String,
        /// The model, if it says so.
        model: Option<String>,
        /// Its name and version; empty if it does not say.
        agent: String,
    },
    /// The agent said this to its user. Entries in a row are one text.
    Text {
        /// One or more lines.
        text: String,
    },
    /// The agent said this to itself. Entries in a row are one text.
    Thought {
        /// One or more lines.
        text: String,
    },
    /// A tool call began.
    ToolStart {
        /// The agent's name for the call.
        id: String,
        /// One line for people.
        title: String,
        /// `read`, `edit`, `execute`, …; `other` if unknown.
        kind: String,
    },
    /// A tool call ended.
    ToolEnd {
        /// The agent's name for the call.
        id: String,
        /// Whether the agent calls it a success.
        ok: bool,
        /// The beginning of its output.
        output: String,
    },
    /// The agent was denied something.
    Denied {
        /// The request, in the agent's words.
        what: String,
    },
    /// The agent's plan, as it is now.
    Plan {
        /// One line per entry.
        text: String,
    },
    /// What was used so far, in all.
    Usage(Usage),
    /// The provider limits the agent.
    Limit {
        /// When it will be over, in milliseconds since 1970, if known.
        until_ms: Option<u64>,
        /// The kind of limit.
        kind: SessionEnd,
    },
    /// The agent repeats a request.
    Retry {
        /// The reason, as text for people.
        reason: String,
    },
    /// A line of the agent's standard error.
    Stderr {
        /// The line.
        line: String,
    },
    /// A line that the driver does not understand.
    Raw {
        /// Its beginning.
        text: String,
    },
    /// The session is over.
    End {
        /// How it ended.
        end: SessionEnd,
        /// The class of failure; `None` if it succeeded or was cancelled.
        failure: Option<String>,
        /// Why, as text for people.
        reason: String,
        /// The program's exit code, if it ended by itself.
        exit_code: Option<i32>,
        /// What was used in all.
        usage: Usage,
    },
    /// An entry of a later version.
    #[serde(other)]
    Unknown,
}

/// Who says the text that has not ended yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Agent,
    Thought,
}

/// Writes the record of one session.
#[derive(Debug)]
pub struct Record {
    file: Transcript,
    mask: Arc<Mask>,
    started: Instant,
    /// Most bytes of one text, so that a row fits into a small file.
    text_max: usize,
    open: Option<(Speaker, Stream)>,
}

/// Where the record beside a transcript is: both are names without an extension.
pub fn beside(transcript: &Path) -> PathBuf {
    let mut name = transcript.as_os_str().to_owned();
    name.push(".record");
    name.into()
}

impl Record {
    /// Starts the record beside the transcript `base` anew, without these secrets. `bytes_max` is
    /// the transcript's limit.
    ///
    /// # Errors
    /// The files cannot be created, or older ones of this name not be removed.
    pub fn create(base: &Path, bytes_max: u64, mask: Arc<Mask>) -> std::io::Result<Self> {
        let limit = (bytes_max / SHARE).max(Transcript::BYTES_MIN);
        let mut record = Self::to(Transcript::create(&beside(base), limit)?, mask);
        // A row is at most an eighth of the file, and JSON takes up to six bytes for one.
        record.text_max = usize::try_from(limit / 64).unwrap_or(usize::MAX);
        Ok(record)
    }

    /// A record that writes nothing.
    pub fn none() -> Self {
        Self::to(Transcript::none(), Arc::default())
    }

    fn to(file: Transcript, mask: Arc<Mask>) -> Self {
        Self {
            file,
            mask,
            started: Instant::now(),
            text_max: usize::MAX,
            open: None,
        }
    }

    /// Records the prompt.
    pub fn prompt(&mut self, text: &str) {
        let text = self.masked(text);
        self.write(Entry::Prompt { text });
    }

    /// Records an event.
    pub fn event(&mut self, event: &AgentEvent) {
        let entry = match event {
            AgentEvent::Text { role, text } => return self.say(*role, text),
            AgentEvent::Started {
                session_id,
                model,
                agent,
            } => Entry::Started {
                session_id: self.masked(session_id),
                model: model.as_ref().map(|model| self.masked(model)),
                agent: self.masked(agent),
            },
            AgentEvent::ToolStart { id, title, kind } => Entry::ToolStart {
                id: self.masked(id),
                title: self.masked(title),
                kind: self.masked(kind),
            },
            AgentEvent::ToolEnd { id, ok, output } => Entry::ToolEnd {
                id: self.masked(id),
                ok: *ok,
                output: self.masked(output),
            },
            AgentEvent::Denied { what } => Entry::Denied {
                what: self.masked(what),
            },
            AgentEvent::Plan { text } => Entry::Plan {
                text: self.masked(text),
            },
            AgentEvent::Usage(usage) => Entry::Usage(*usage),
            AgentEvent::Limit { until_ms, kind } => Entry::Limit {
                until_ms: *until_ms,
                kind: *kind,
            },
            AgentEvent::Retry { reason } => Entry::Retry {
                reason: self.masked(reason),
            },
            AgentEvent::Complaint { line } => Entry::Stderr {
                line: self.masked(line),
            },
            AgentEvent::Raw { text } => Entry::Raw {
                text: self.masked(text),
            },
        };
        self.write(entry);
    }

    /// Records how the session ended.
    pub fn end(&mut self, result: &SessionResult) {
        let entry = Entry::End {
            end: result.end,
            failure: result.failure_kind().map(|kind| kind.as_str().to_owned()),
            reason: self.masked(&result.reason),
            exit_code: result.exit_code,
            usage: result.usage,
        };
        self.write(entry);
    }

    fn say(&mut self, role: Role, text: &str) {
        let speaker = match role {
            Role::Agent => Speaker::Agent,
            Role::Thought => Speaker::Thought,
            // The prompt is there already.
            Role::User => return,
        };
        if self.open.as_ref().is_none_or(|(open, _)| *open != speaker) {
            self.end_text();
            self.open = Some((speaker, Stream::new(Arc::clone(&self.mask))));
        }
        if let Some((_, stream)) = &mut self.open {
            let lines = stream.push(text.as_bytes());
            self.lines(speaker, &lines);
        }
    }

    /// The agent has stopped in the middle of a line, and does something else.
    fn end_text(&mut self) {
        if let Some((speaker, mut stream)) = self.open.take() {
            let rest = stream.finish();
            self.lines(speaker, &rest);
        }
    }

    fn lines(&self, speaker: Speaker, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let text = clip_marked(&String::from_utf8_lossy(lines), self.text_max);
        self.row(match speaker {
            Speaker::Agent => Entry::Text { text },
            Speaker::Thought => Entry::Thought { text },
        });
    }

    fn masked(&self, text: &str) -> String {
        clip_marked(&self.mask.text(text), self.text_max)
    }

    fn write(&mut self, entry: Entry) {
        self.end_text();
        self.row(entry);
    }

    fn row(&self, entry: Entry) {
        let t = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.file.write(&Row { t, entry });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end_text();
    }
}

/// Opens the record beside the transcript `base`; `None` if there is none. Also returns the path of
/// its first file.
///
/// # Errors
/// The disk refuses.
pub fn read(base: &Path) -> std::io::Result<Option<(Reader, PathBuf)>> {
    open(&beside(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(base: &Path) -> Vec<Entry> {
        let (mut reader, _) = read(base).expect("readable").expect("it is there");
        let mut rows = Vec::new();
        while let Some(row) = reader.row(1 << 20).expect("a row") {
            let row: Row = serde_json::from_slice(&row).expect("an entry");
            rows.push(row.entry);
        }
        rows
    }

    fn text(role: Role, text: &str) -> AgentEvent {
        let text = text.to_owned();
        AgentEvent::Text { role, text }
    }

    #[test]
    fn texts_are_written_by_the_line_and_secrets_in_pieces_are_masked() {
        let directory = tempfile::tempdir().expect("a directory");
        let base = directory.path().join("12");
        let mask = Arc::new(Mask::new(["hunter2-hunter2"]));
        let mut record = Record::create(&base, 1 << 20, mask).expect("a record");
        record.prompt("Use hunter2-hunter2.");
        for piece in ["The key is hunt", "er2-hunt", "er2.\nMore", " of it"] {
            record.event(&text(Role::Agent, piece));
        }
        record.event(&text(Role::User, "Use hunter2-hunter2."));
        record.event(&text(Role::Thought, "hm"));
        record.event(&AgentEvent::ToolEnd {
            id: "1".to_owned(),
            ok: false,
            output: "a\nhunter2-hunter2\n".to_owned(),
        });
        record.event(&AgentEvent::Usage(Usage::default()));
        record.event(&text(Role::Agent, "done"));
        drop(record);
        let said = |text: &str| Entry::Text {
            text: text.to_owned(),
        };
        let expected = [
            Entry::Prompt {
                text: "Use [masked].".to_owned(),
            },
            said("The key is [masked].\n"),
            said("More of it"),
            Entry::Thought {
                text: "hm".to_owned(),
            },
            Entry::ToolEnd {
                id: "1".to_owned(),
                ok: false,
                output: "a\n[masked]\n".to_owned(),
            },
            Entry::Usage(Usage::default()),
            said("done"),
        ];
        assert_eq!(rows(&base), expected);
    }

    #[test]
    fn every_entry_is_read_as_it_was_written() {
        let entries = [
            r#"{"t":1,"event":"started","session_id":"s","model":null,"agent":"a 1"}"#,
            r#"{"t":2,"event":"tool_start","id":"1","title":"t","kind":"edit"}"#,
            r#"{"t":3,"event":"denied","what":"w"}"#,
            r#"{"t":4,"event":"plan","text":"[ ] x"}"#,
            r#"{"t":5,"event":"usage","input_tokens":1,"output_tokens":2,"cost_microusd":3}"#,
            r#"{"t":6,"event":"limit","until_ms":7,"kind":"limited"}"#,
            r#"{"t":7,"event":"retry","reason":"r"}"#,
            r#"{"t":8,"event":"stderr","line":"l"}"#,
            r#"{"t":9,"event":"raw","text":"x"}"#,
            r#"{"t":10,"event":"end","end":"crashed","failure":"agent_crashed","reason":"r","exit_code":1,"usage":{"input_tokens":0,"output_tokens":0,"cost_microusd":0}}"#,
        ];
        for entry in entries {
            let row: Row = serde_json::from_str(entry).expect(entry);
            assert_eq!(serde_json::to_string(&row).expect("JSON"), entry);
        }
        let later: Row = serde_json::from_str(r#"{"t":1,"event":"new","x":[1]}"#).expect("a row");
        assert_eq!(later.entry, Entry::Unknown);
    }

    #[test]
    fn a_record_is_bounded_and_keeps_its_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let base = directory.path().join("12");
        let mut record = Record::create(&base, 0, Arc::default()).expect("a record");
        let long = "\u{1}".repeat(1 << 20);
        for _ in 0..50 {
            record.prompt(&long);
        }
        let result = SessionResult::new(SessionEnd::Completed, "the end");
        record.end(&result);
        drop(record);
        let (mut reader, _) = read(&base).expect("readable").expect("it is there");
        let (mut last, mut bytes) = (Vec::new(), 0);
        while let Some(row) = reader.row(1 << 20).expect("a row") {
            bytes += row.len() as u64;
            last = row;
        }
        assert!(bytes <= Transcript::BYTES_MIN, "{bytes}");
        assert!(String::from_utf8_lossy(&last).contains("the end"));
    }
}
