//! An attempt's session as text: who said and did what, and when.
//!
//! It is read from the session's record. A session of an older version has none; then the lines of
//! its transcript are shown as they are.

use serde::Deserialize;

use crate::agent::record::{self, Entry};

/// Longest line that is read. An entry is shorter; a transcript's line has at most 1 MiB, and JSON
/// takes at most six bytes for each of them.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Pieces of a text are joined up to this length.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Kind of a piece: who speaks, or what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The agent's prompt.
    Prompt,
    /// Text from the agent to its user.
    Agent,
    /// The agent's thoughts.
    Thought,
    /// The agent calls a tool.
    Tool,
    /// Output of a tool.
    Output,
    /// Output of a failed tool.
    Failed,
    /// The agent was denied something.
    Denied,
    /// The agent's plan.
    Plan,
    /// The provider limits the agent, or the agent repeats a request.
    Limit,
    /// The agent's standard error.
    Complaint,
    /// The end of the session.
    End,
    /// Anything else.
    Note,
}

impl Kind {
    /// Name of the kind, at most seven letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Agent => "agent",
            Self::Thought => "thinks",
            Self::Tool => "tool",
            Self::Output => "output",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Plan => "plan",
            Self::Limit => "limit",
            Self::Complaint => "stderr",
            Self::End => "end",
            Self::Note => "note",
        }
    }

    /// True for texts that are recorded line by line.
    fn comes_in_pieces(self) -> bool {
        matches!(self, Self::Agent | Self::Thought)
    }
}

/// One thing that was said or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Milliseconds since the session started.
    pub at_ms: u64,
    /// Who speaks, or what happens.
    pub kind: Kind,
    /// The text, not cleaned: it may contain anything that an agent or program wrote.
    pub text: String,
}

/// A line of a transcript, and of what its reader says about it.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    t: u64,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    line: String,
    #[serde(default)]
    cut: u64,
    note: Option<String>,
}

/// Reads a record, or a transcript without one, line by line.
#[derive(Debug, Default)]
pub struct Reader {
    /// A text that the next piece may continue.
    open: Option<Piece>,
}

impl Reader {
    /// Takes the next line of the file and returns the pieces that it completes, in order.
    pub fn line(&mut self, line: &str) -> Vec<Piece> {
        let mut out = Vec::new();
        for piece in pieces(line) {
            match &mut self.open {
                Some(open)
                    if open.kind == piece.kind
                        && open.text.len() + piece.text.len() <= TEXT_BYTES_MAX =>
                {
                    open.text.push_str(&piece.text);
                    continue;
                }
                open => out.extend(open.take()),
            }
            match piece.kind.comes_in_pieces() {
                true => self.open = Some(piece),
                false => out.push(piece),
            }
        }
        out
    }

    /// The unfinished piece at the end of the file.
    pub fn end(&mut self) -> Option<Piece> {
        self.open.take()
    }
}

fn pieces(line: &str) -> Vec<Piece> {
    if line.trim().is_empty() {
        return Vec::new();
    }
    if let Ok(row) = serde_json::from_str::<record::Row>(line) {
        let piece = entry(row.entry).map(|(kind, text)| Piece {
            at_ms: row.t,
            kind,
            text,
        });
        return piece.into_iter().collect();
    }
    let Ok(row) = serde_json::from_str::<Row>(line) else {
        // The last line of a killed session may be incomplete.
        let text = "this line of the record cannot be read".to_owned();
        return vec![Piece {
            at_ms: 0,
            kind: Kind::Note,
            text,
        }];
    };
    let piece = |kind: Kind, text: String| Piece {
        at_ms: row.t,
        kind,
        text,
    };
    if let Some(note) = row.note {
        return vec![piece(Kind::Note, note)];
    }
    let mut pieces = vec![match row.stream.as_str() {
        "err" => piece(Kind::Complaint, row.line),
        "in" => piece(Kind::Prompt, row.line),
        // A line is whole, so it gets its end back.
        _ => piece(Kind::Agent, row.line + "\n"),
    }];
    if row.cut > 0 {
        let text = format!("{} more bytes of this line were not recorded", row.cut);
        pieces.push(piece(Kind::Note, text));
    }
    pieces
}

/// An entry as text; `None` if it says nothing to people.
fn entry(entry: Entry) -> Option<(Kind, String)> {
    Some(match entry {
        Entry::Prompt { text } => (Kind::Prompt, text),
        Entry::Started {
            session_id,
            model,
            agent,
        } => {
            let agent = match agent.as_str() {
                "" => "the agent".to_owned(),
                agent => agent.to_owned(),
            };
            let model = model.map(|model| format!(", model {model}"));
            let session = match session_id.as_str() {
                "" => String::new(),
                id => format!(", session {id}"),
            };
            let words = format!("{agent} is working{}{session}", model.unwrap_or_default());
            (Kind::Note, words)
        }
        Entry::Text { text } => (Kind::Agent, text),
        Entry::Thought { text } => (Kind::Thought, text),
        Entry::ToolStart { title, .. } => (Kind::Tool, title),
        Entry::ToolEnd {
            ok: true, output, ..
        } if output.trim().is_empty() => return None,
        Entry::ToolEnd {
            ok: true, output, ..
        } => (Kind::Output, output),
        Entry::ToolEnd {
            ok: false, output, ..
        } => (Kind::Failed, output),
        Entry::Denied { what } => (Kind::Denied, what),
        Entry::Plan { text } => (Kind::Plan, text),
        Entry::Limit { .. } => (Kind::Limit, "the provider limits the agent".to_owned()),
        Entry::Retry { reason } => (Kind::Limit, format!("the agent tries again: {reason}")),
        Entry::Stderr { line } => (Kind::Complaint, line),
        Entry::End { reason, .. } => (Kind::End, reason),
        // Messages of an agent's own protocol say nothing to people; the transcript has them.
        Entry::Raw { text } if text.starts_with('{') => return None,
        Entry::Raw { text } => (Kind::Note, text),
        Entry::Usage(_) | Entry::Unknown => return None,
    })
}

#[cfg(test)]
mod tests;
