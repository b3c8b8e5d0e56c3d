//! An attempt's transcript as people read it: who said and did what, and when.
//!
//! The file is what went over the agent's pipes, a JSON object for every line. Lines that are
//! messages of the Agent Client Protocol are told in words; all others are shown as they are.

mod acp;

use serde::Deserialize;

/// Longest line of a transcript that is read. An agent's line has at most 1 MiB, and each of its
/// bytes takes at most six in JSON.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Texts are put together from pieces up to this length; then what there is is shown.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Who speaks, or what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the agent was told.
    Prompt,
    /// The agent, to its user.
    Agent,
    /// The agent, to itself.
    Thought,
    /// It uses a tool.
    Tool,
    /// What the tool put out.
    Output,
    /// What the tool put out when it failed.
    Failed,
    /// It asks whether it may.
    Ask,
    /// What it was told then.
    Answer,
    /// Its standard error.
    Complaint,
    /// The end of its turn, a failure of the protocol, and what else is worth a line.
    Note,
}

impl Kind {
    /// In at most seven letters.
    pub fn word(self) -> &'static str {
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

    /// True for texts that agents send in pieces of a word or two.
    fn comes_in_pieces(self) -> bool {
        matches!(self, Self::Agent | Self::Thought)
    }
}

/// One thing that was said or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Milliseconds since the session began.
    pub at_ms: u64,
    /// Who or what.
    pub kind: Kind,
    /// The words; may hold anything that an agent or a program wrote.
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
    /// A text whose next piece may follow.
    open: Option<Piece>,
}

impl Reader {
    /// What the next line of the file completes, in order.
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

    /// What is left when the file has ended.
    pub fn end(&mut self) -> Option<Piece> {
        self.open.take()
    }

    fn pieces(&mut self, line: &str) -> Vec<Piece> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let Ok(row) = serde_json::from_str::<Row>(line) else {
            // The last line of a session that was killed may be half a line.
            let text = "a line of the transcript that cannot be read".to_owned();
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
            // A program's lines are whole, so that each gets its end back.
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
