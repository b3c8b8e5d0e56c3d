//! What the messages of one process of Claude Code come to: events, and the session's end. Without
//! I/O.

use std::collections::BTreeMap;

use serde_json::Value;

use super::message::{Answer, ApiError, Block, Message, TurnEnd};
use crate::agent::driver::{AgentEvent, Role, SessionResult, one_line};
use crate::agent::errors::{by_name, by_prose, by_status};
use crate::agent::lines::Line;
use crate::agent::process::ProgramEnd;
use crate::agent::program::{Reader, without_terminal_event};
use crate::model::clip::clip_marked;
use crate::model::evidence::{SessionEnd, Usage};

/// Tool calls that are remembered, so that none is counted twice. Far beyond any step limit of a
/// session.
const TOOLS_MAX: usize = 100_000;

/// The words of an agent that does not find the session of `--resume`.
const UNKNOWN_SESSION: &str = "No conversation found";

/// The state of a session according to its messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    /// The session's directory, which is left out of paths.
    cwd: String,
    /// Tool calls by id, and whether they are over.
    tools: BTreeMap<String, bool>,
    /// Tool calls whose denial was told.
    denied: Vec<String>,
    /// Sum of all answers, for a process that does not live to tell the whole.
    counted: Usage,
    /// The answer that was counted last.
    counted_id: String,
    /// When the provider accepts requests again, in seconds since 1970.
    resets_at_s: Option<u64>,
    /// A request is being repeated after this error.
    retrying: Option<ApiError>,
    /// There is an error in place of the last answer.
    error: Option<ApiError>,
    refused: bool,
    end: Option<Box<TurnEnd>>,
}

impl Reader for Conversation {
    /// A message may contain a whole file, twice in a diff.
    const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

    fn line(&mut self, line: &Line) -> Vec<AgentEvent> {
        let message = match line.cut {
            0 => Message::parse(&line.bytes),
            _ => None,
        };
        let raw = || {
            let text = one_line(&String::from_utf8_lossy(&line.bytes));
            (!text.is_empty()).then_some(AgentEvent::Raw { text })
        };
        match message {
            Some(Message::Unknown) | None => raw().into_iter().collect(),
            Some(message) => self.take(message),
        }
    }

    fn end(&self, program: ProgramEnd, complaint: &str) -> SessionResult {
        let result = match (&self.end, &self.error) {
            (Some(end), _) => self.ended(end),
            (None, Some(error)) => self.failed(classify(error), &error.words),
            (None, None) => without_terminal_event(program, complaint),
        };
        let unknown = [&result.reason, complaint]
            .iter()
            .any(|words| words.contains(UNKNOWN_SESSION));
        self.stopped(SessionResult {
            unknown_session: unknown && self.tools.is_empty() && self.counted.is_zero(),
            ..result
        })
    }

    fn silence(&self) -> Option<SessionResult> {
        let result = match (&self.end, &self.retrying) {
            (Some(end), _) => self.ended(end),
            (None, Some(error)) => self.failed(classify(error), &told(error)),
            (None, None) => return None,
        };
        Some(self.stopped(result))
    }

    fn stopped(&self, result: SessionResult) -> SessionResult {
        SessionResult {
            usage: self.usage(),
            ..result
        }
    }
}

impl Conversation {
    fn take(&mut self, message: Message) -> Vec<AgentEvent> {
        match message {
            Message::Init {
                session_id,
                model,
                version,
                cwd,
            } => {
                self.cwd = cwd;
                vec![AgentEvent::Started {
                    session_id: one_line(&session_id),
                    model: model.map(|model| one_line(&model)),
                    agent: one_line(&format!("Claude Code {version}")),
                }]
            }
            Message::Assistant(answer) => self.answer(answer),
            Message::Results(blocks) => {
                let results = blocks.into_iter().filter_map(|block| self.result(block));
                results.collect()
            }
            Message::Retry {
                attempt,
                attempts,
                error,
            } => {
                let reason = format!("{} (try {attempt} of {attempts})", told(&error));
                self.retrying = Some(error);
                vec![AgentEvent::Retry {
                    reason: one_line(&reason),
                }]
            }
            Message::Denied { id, tool, reason } => self.deny(id, &tool, &reason),
            Message::RateLimit {
                rejected: true,
                resets_at_s,
            } => {
                self.resets_at_s = resets_at_s.or(self.resets_at_s);
                vec![AgentEvent::Limit {
                    until_ms: self.limit_until_ms(),
                    kind: SessionEnd::Limited,
                }]
            }
            Message::Refusal => {
                self.refused = true;
                Vec::new()
            }
            Message::Result(end) => {
                let denials = end.denials.clone();
                self.end = Some(end);
                let denied = denials.into_iter();
                let mut events: Vec<_> = denied
                    .flat_map(|(id, tool)| self.deny(id, &tool, ""))
                    .collect();
                if !self.usage().is_zero() {
                    events.push(AgentEvent::Usage(self.usage()));
                }
                events
            }
            Message::RateLimit {
                rejected: false, ..
            }
            | Message::Other
            | Message::Unknown => Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer) -> Vec<AgentEvent> {
        // Something in the background has begun another turn.
        self.end = None;
        if let Some(error) = answer.error {
            self.error = Some(error);
            return Vec::new();
        }
        (self.error, self.retrying) = (None, None);
        let mut events = Vec::new();
        if answer.id != self.counted_id && !answer.usage.is_zero() {
            self.counted = self.counted.plus(answer.usage);
            self.counted_id = answer.id;
            events.push(AgentEvent::Usage(self.usage()));
        }
        for block in answer.blocks {
            let role = match answer.nested {
                true => Role::Thought,
                false => Role::Agent,
            };
            events.extend(match block {
                Block::Text(text) => Some(words(role, &text)),
                Block::Thought(text) => Some(words(Role::Thought, &text)),
                Block::ToolUse { id, name, input } => self.tool(id, &name, &input),
                Block::ToolResult { .. } => self.result(block),
                Block::Other => None,
            });
        }
        events
    }

    fn tool(&mut self, id: String, name: &str, input: &Value) -> Option<AgentEvent> {
        let id = clip_marked(&id, AgentEvent::LINE_BYTES_MAX);
        if self.tools.contains_key(&id) {
            return None;
        }
        if self.tools.len() >= TOOLS_MAX {
            self.tools.pop_first();
        }
        self.tools.insert(id.clone(), false);
        Some(AgentEvent::ToolStart {
            id,
            title: title(name, input, &self.cwd),
            kind: kind(name).to_owned(),
        })
    }

    fn result(&mut self, block: Block) -> Option<AgentEvent> {
        let Block::ToolResult { id, ok, output } = block else {
            return None;
        };
        let id = clip_marked(&id, AgentEvent::LINE_BYTES_MAX);
        let over = self.tools.get_mut(&id)?;
        if std::mem::replace(over, true) {
            return None;
        }
        Some(AgentEvent::ToolEnd {
            id,
            ok,
            output: clip_marked(&output, AgentEvent::OUTPUT_BYTES_MAX),
        })
    }

    fn deny(&mut self, id: String, tool: &str, reason: &str) -> Vec<AgentEvent> {
        if self.denied.contains(&id) {
            return Vec::new();
        }
        if self.denied.len() < TOOLS_MAX {
            self.denied.push(id);
        }
        let colon = if reason.is_empty() { "" } else { ": " };
        vec![AgentEvent::Denied {
            what: one_line(&format!("{tool}{colon}{reason}")),
        }]
    }

    /// What was used: the process' own sum if it has told it, else the sum of its answers, which
    /// tell no cost and not all of their output.
    fn usage(&self) -> Usage {
        self.end.as_ref().map_or(self.counted, |end| end.usage)
    }

    fn limit_until_ms(&self) -> Option<u64> {
        self.resets_at_s
            .map(|seconds| seconds.saturating_mul(1_000))
    }

    fn ended(&self, end: &TurnEnd) -> SessionResult {
        let words = &end.error.words;
        let kind = match end.terminal_reason.as_str() {
            "max_turns" | "budget_exhausted" => SessionEnd::TurnOrBudgetCap,
            "prompt_too_long" => SessionEnd::ContextOverflow,
            reason if reason.starts_with("aborted") => SessionEnd::Cancelled,
            _ if !end.is_error => SessionEnd::Completed,
            _ if end.stop_reason == "refusal" || self.refused => SessionEnd::Refused,
            _ if end.subtype == "error_max_turns" || end.subtype == "error_max_budget_usd" => {
                SessionEnd::TurnOrBudgetCap
            }
            reason => {
                let known = self.error.as_ref().and_then(known);
                match known.or_else(|| self::known(&end.error)) {
                    Some(known) => known,
                    // A bad request is bad the next time, too; anything else is the provider's.
                    None if reason == "api_error" && end.error.status.is_none() => {
                        SessionEnd::Overloaded
                    }
                    None => SessionEnd::Crashed,
                }
            }
        };
        match kind {
            SessionEnd::Completed => SessionResult::new(kind, "the agent ended its turn"),
            SessionEnd::Cancelled => SessionResult::new(
                kind,
                format!("the agent was interrupted ({})", end.terminal_reason),
            ),
            _ if words.is_empty() => {
                let reason = [&end.terminal_reason, &end.subtype];
                let reason = reason.into_iter().find(|reason| !reason.is_empty());
                self.failed(kind, reason.map_or("no reason given", String::as_str))
            }
            _ => self.failed(kind, words),
        }
    }

    fn failed(&self, end: SessionEnd, words: &str) -> SessionResult {
        let until = match end {
            SessionEnd::Limited | SessionEnd::Overloaded => self.limit_until_ms(),
            _ => None,
        };
        SessionResult {
            limit_until_ms: until,
            ..SessionResult::new(end, format!("the agent failed: {}", one_line(words)))
        }
    }
}

/// The end that an error causes, if the error is known.
fn known(error: &ApiError) -> Option<SessionEnd> {
    by_name(&error.name, &error.words)
        .or_else(|| by_status(error.status?, &error.words))
        .or_else(|| by_prose(&error.words))
}

/// The end that an error of a request causes. What is no answer of the provider is no fault of the
/// request.
fn classify(error: &ApiError) -> SessionEnd {
    known(error).unwrap_or(match error.status {
        Some(_) => SessionEnd::Crashed,
        None => SessionEnd::Overloaded,
    })
}

/// An error of a request in a few words.
fn told(error: &ApiError) -> String {
    let name = match error.name.as_str() {
        "" | "unknown" => "the connection to the provider failed",
        name => name,
    };
    match error.status {
        Some(status) => format!("{name} (HTTP {status})"),
        None => name.to_owned(),
    }
}

fn words(role: Role, text: &str) -> AgentEvent {
    AgentEvent::Text {
        role,
        text: clip_marked(text, AgentEvent::TEXT_BYTES_MAX) + "\n",
    }
}

/// The kind of a tool, in the words of the Agent Client Protocol.
fn kind(name: &str) -> &'static str {
    match name {
        "Read" | "NotebookRead" => "read",
        "Write" | "Edit" | "MultiEdit" | "NotebookEdit" => "edit",
        "Bash" | "BashOutput" | "KillShell" => "execute",
        "Glob" | "Grep" | "LS" | "ToolSearch" => "search",
        "WebFetch" | "WebSearch" => "fetch",
        _ => "other",
    }
}

/// A tool call as one line: a command as it is, or the tool's name and its most telling argument.
fn title(name: &str, input: &Value, cwd: &str) -> String {
    let argument = |key: &str| input.get(key).and_then(Value::as_str);
    if name == "Bash"
        && let Some(command) = argument("command")
    {
        return one_line(command);
    }
    let telling = [
        "file_path",
        "notebook_path",
        "pattern",
        "url",
        "query",
        "path",
        "description",
        "skill",
    ];
    let name = name.strip_prefix("mcp__").unwrap_or(name);
    match telling.iter().find_map(|key| argument(key)) {
        Some(argument) => {
            let below = argument.strip_prefix(cwd);
            let below = below.and_then(|rest| rest.strip_prefix('/'));
            one_line(&format!("{name} {}", below.unwrap_or(argument)))
        }
        None => one_line(name),
    }
}
