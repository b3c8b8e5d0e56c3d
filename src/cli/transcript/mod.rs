//! An attempt's transcript as text: who said and did what, and when.
//!
//! The file has what went through the agent's pipes, one JSON object per line. Messages of the Agent
//! Client Protocol are shown as text; all other lines as they are.

mod acp;

use serde::Deserialize;

/// Longest line of a transcript that is read. An agent's line has at most 1 MiB, and JSON takes at most
/// six bytes for each of them.
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
    /// The agent asks for permission.
    Ask,
    /// The answer to a request for permission.
    Answer,
    /// The agent's standard error.
    Complaint,
    /// Anything else, such as the end of a turn or an error of the protocol.
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
            Self::Ask => "asks",
            Self::Answer => "answer",
            Self::Complaint => "stderr",
            Self::Note => "note",
        }
    }

    /// True for texts that agents send in pieces of a few words.
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

/// One line of the file.
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

/// Reads a transcript line by line.
#[derive(Debug, Default)]
pub struct Reader {
    acp: acp::Conversation,
    /// A text that the next piece may continue.
    open: Option<Piece>,
}

impl Reader {
    /// Takes the next line of the file and returns the pieces that it completes, in order.
    pub fn line(&mut self, line: &str) -> Vec<Piece> {
        let mut out = Vec::new();
        for piece in self.pieces(line) {
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

    fn pieces(&mut self, line: &str) -> Vec<Piece> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let Ok(row) = serde_json::from_str::<Row>(line) else {
            // The last line of a killed session may be incomplete.
            let text = "this line of the transcript cannot be read".to_owned();
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
        let from_agent = row.stream == "out";
        let told = match row.stream.as_str() {
            "err" => None,
            _ => self.acp.message(&row.line, from_agent),
        };
        let mut pieces: Vec<Piece> = match (told, row.stream.as_str()) {
            (Some(told), _) => told
                .into_iter()
                .map(|(kind, text)| piece(kind, text))
                .collect(),
            (None, "err") => vec![piece(Kind::Complaint, row.line)],
            (None, "in") => vec![piece(Kind::Prompt, row.line)],
            // A program's lines are whole, so each gets its line end back.
            (None, _) => vec![piece(Kind::Agent, row.line + "\n")],
        };
        if row.cut > 0 {
            let text = format!("{} more bytes of this line were not recorded", row.cut);
            pieces.push(piece(Kind::Note, text));
        }
        pieces
    }
}

#[cfg(test)]
mod tests;
