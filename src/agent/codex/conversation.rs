//! What the lines of `codex exec --json` come to: events, and the session's end. Without I/O, and
//! lenient: unknown messages are passed on as they are, and missing parts are left out.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::agent::driver::{AgentEvent, Role, SessionResult, one_line};
use crate::agent::errors::by_prose;
use crate::agent::lines::Line;
use crate::agent::process::ProgramEnd;
use crate::agent::program::{Reader, without_terminal_event};
use crate::agent::reset::{Now, until_ms};
use crate::model::clip::clip_marked;
use crate::model::evidence::{SessionEnd, Usage};

/// Tool calls that are remembered, so that none is counted twice. Far beyond any step limit of a
/// session.
const TOOLS_MAX: usize = 100_000;

/// How an error begins that is only a notice: the request is repeated.
const RECONNECTING: &str = "Reconnecting...";

/// The words of an agent that does not find the thread of `exec resume`.
const UNKNOWN_THREAD: [&str; 2] = ["no rollout found", "No saved session found"];

/// The state of a session according to its messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    /// The configured model: the stream does not name it.
    model: String,
    now: Now,
    started: bool,
    /// Tool calls by id, and whether they are over.
    tools: BTreeMap<String, bool>,
    usage: Usage,
    /// A request is being repeated for this reason.
    retrying: Option<String>,
    /// The last error that was more than a notice.
    error: Option<String>,
    end: Option<End>,
}

/// How the turn ended.
#[derive(Clone, Debug)]
enum End {
    Completed,
    Failed(String),
}

impl Reader for Conversation {
    /// An item may contain the whole output of a command.
    const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

    fn line(&mut self, line: &Line) -> Vec<AgentEvent> {
        let message = match line.cut {
            0 => serde_json::from_slice::<Value>(&line.bytes).ok(),
            _ => None,
        };
        let events = message
            .as_ref()
            .filter(|message| message.is_object())
            .and_then(|message| self.take(message));
        events.unwrap_or_else(|| {
            let text = one_line(&String::from_utf8_lossy(&line.bytes));
            let raw = (!text.is_empty()).then_some(AgentEvent::Raw { text });
            raw.into_iter().collect()
        })
    }

    fn end(&self, program: ProgramEnd, complaint: &str) -> SessionResult {
        let unknown = UNKNOWN_THREAD.iter().any(|words| complaint.contains(words));
        let result = match (&self.end, &self.error) {
            (Some(End::Completed), _) => completed(),
            (Some(End::Failed(words)), _) => self.failed(words),
            (None, Some(error)) => self.failed(error),
            (None, None) => without_terminal_event(program, complaint),
        };
        self.stopped(SessionResult {
            unknown_session: unknown && !self.started,
            ..result
        })
    }

    fn silence(&self) -> Option<SessionResult> {
        let result = match (&self.end, &self.retrying) {
            (Some(End::Completed), _) => completed(),
            (Some(End::Failed(words)), _) => self.failed(words),
            // What is repeated is a request to the provider.
            (None, Some(reason)) => match self.failed(reason) {
                crashed if crashed.end == SessionEnd::Crashed => SessionResult {
                    end: SessionEnd::Overloaded,
                    ..crashed
                },
                known => known,
            },
            (None, None) => return None,
        };
        Some(self.stopped(result))
    }

    fn stopped(&self, result: SessionResult) -> SessionResult {
        SessionResult {
            usage: self.usage,
            ..result
        }
    }
}

impl Conversation {
    /// Before the first line of a session with this model; empty if it is the agent's choice.
    pub(super) fn with(model: &str, now: Now) -> Self {
        Self {
            model: model.to_owned(),
            now,
            ..Self::default()
        }
    }

    /// The events of a message; `None` if it is unknown.
    fn take(&mut self, message: &Value) -> Option<Vec<AgentEvent>> {
        Some(match text(message, "/type") {
            "thread.started" => {
                self.started = true;
                vec![AgentEvent::Started {
                    session_id: one_line(text(message, "/thread_id")),
                    model: (!self.model.is_empty()).then(|| self.model.clone()),
                    agent: "Codex".to_owned(),
                }]
            }
            "turn.started" => Vec::new(),
            "turn.completed" => {
                self.usage = usage(message);
                self.end = Some(End::Completed);
                vec![AgentEvent::Usage(self.usage)]
            }
            "turn.failed" => {
                let words = text(message, "/error/message").to_owned();
                self.end = Some(End::Failed(words));
                Vec::new()
            }
            "error" => {
                let words = text(message, "/message");
                if words.starts_with(RECONNECTING) {
                    self.retrying = Some(words.to_owned());
                    let reason = one_line(words);
                    return Some(vec![AgentEvent::Retry { reason }]);
                }
                self.error = Some(words.to_owned());
                Vec::new()
            }
            "item.started" | "item.updated" | "item.completed" => {
                return self.item(text(message, "/type"), message.get("item")?);
            }
            _ => return None,
        })
    }

    /// Errors are prose.
    fn failed(&self, words: &str) -> SessionResult {
        let end = by_prose(words).unwrap_or(SessionEnd::Crashed);
        let until = (end == SessionEnd::Limited).then(|| until_ms(words, self.now));
        let words = match words.trim() {
            "" => "no reason given",
            words => words,
        };
        SessionResult {
            limit_until_ms: until.flatten(),
            ..SessionResult::new(end, format!("the agent failed: {}", one_line(words)))
        }
    }

    fn item(&mut self, at: &str, item: &Value) -> Option<Vec<AgentEvent>> {
        let kind = text(item, "/type");
        let over = at == "item.completed";
        if kind == "error" {
            // A notice of the program itself.
            let text = one_line(text(item, "/message"));
            return Some(vec![AgentEvent::Raw { text }]);
        }
        // The provider has answered.
        (self.retrying, self.error) = (None, None);
        let said = |role: Role| {
            let text = clip_marked(text(item, "/text"), AgentEvent::TEXT_BYTES_MAX) + "\n";
            let event = AgentEvent::Text { role, text };
            over.then_some(event).into_iter().collect()
        };
        match kind {
            "agent_message" => Some(said(Role::Agent)),
            "reasoning" => Some(said(Role::Thought)),
            "todo_list" => Some(vec![plan(item)]),
            _ if item.get("status").is_some() || kind == "web_search" => {
                Some(self.tool(kind, item, over))
            }
            _ => None,
        }
    }

    fn tool(&mut self, kind: &str, item: &Value, over: bool) -> Vec<AgentEvent> {
        let id = clip_marked(text(item, "/id"), AgentEvent::LINE_BYTES_MAX);
        let mut events = Vec::new();
        if !self.tools.contains_key(&id) {
            if self.tools.len() >= TOOLS_MAX {
                self.tools.pop_first();
            }
            self.tools.insert(id.clone(), false);
            events.push(AgentEvent::ToolStart {
                id: id.clone(),
                title: title(kind, item),
                kind: of_kind(kind).to_owned(),
            });
        }
        if !over || self.tools.insert(id.clone(), true) == Some(true) {
            return events;
        }
        let error = text(item, "/error/message");
        if error.contains("requires approval") {
            events.push(AgentEvent::Denied {
                what: one_line(&format!("{}: {error}", title(kind, item))),
            });
        }
        events.push(AgentEvent::ToolEnd {
            id,
            ok: is_ok(item),
            output: clip_marked(&output(item), AgentEvent::OUTPUT_BYTES_MAX),
        });
        events
    }
}

fn completed() -> SessionResult {
    SessionResult::new(SessionEnd::Completed, "the agent ended its turn")
}

fn is_ok(item: &Value) -> bool {
    let exited = item.get("exit_code").and_then(Value::as_i64);
    let status = item.get("status").and_then(Value::as_str);
    exited.is_none_or(|code| code == 0) && status.is_none_or(|status| status == "completed")
}

/// The kind of a tool, in the words of the Agent Client Protocol.
fn of_kind(kind: &str) -> &'static str {
    match kind {
        "command_execution" => "execute",
        "file_change" => "edit",
        "web_search" => "fetch",
        _ => "other",
    }
}

/// A tool call as one line.
fn title(kind: &str, item: &Value) -> String {
    match kind {
        "command_execution" => one_line(unwrapped(text(item, "/command"))),
        "file_change" => {
            let changes = item.get("changes").and_then(Value::as_array);
            let change = |change: &Value| {
                let paths = (text(change, "/kind"), text(change, "/path"));
                format!("{} {}", paths.0, paths.1).trim().to_owned()
            };
            let changes: Vec<String> = changes.into_iter().flatten().map(change).collect();
            one_line(&changes.join(", "))
        }
        "mcp_tool_call" => one_line(&format!(
            "{} {}",
            text(item, "/server"),
            text(item, "/tool")
        )),
        "web_search" => one_line(&format!("search {}", text(item, "/query"))),
        other => one_line(other),
    }
}

/// A command without the shell that Codex starts for it.
fn unwrapped(command: &str) -> &str {
    let inner = command
        .strip_prefix("/bin/bash -lc ")
        .or_else(|| command.strip_prefix("bash -lc "));
    let Some(inner) = inner else {
        return command;
    };
    let quoted = |quote: char| inner.strip_prefix(quote)?.strip_suffix(quote);
    quoted('\'').or_else(|| quoted('"')).unwrap_or(inner)
}

/// The output of a tool call.
fn output(item: &Value) -> String {
    if let Some(output) = item.get("aggregated_output").and_then(Value::as_str) {
        return output.to_owned();
    }
    let error = text(item, "/error/message");
    if !error.is_empty() {
        return error.to_owned();
    }
    let parts = item.pointer("/result/content").and_then(Value::as_array);
    let texts = parts.into_iter().flatten().map(|part| text(part, "/text"));
    texts.collect::<Vec<_>>().join("\n")
}

fn plan(item: &Value) -> AgentEvent {
    let entries = item.get("items").and_then(Value::as_array);
    let entry = |entry: &Value| {
        let done = entry.get("completed") == Some(&Value::Bool(true));
        let mark = if done { "x" } else { " " };
        format!("[{mark}] {}", text(entry, "/text"))
    };
    let lines: Vec<String> = entries.into_iter().flatten().map(entry).collect();
    AgentEvent::Plan {
        text: clip_marked(&lines.join("\n"), AgentEvent::OUTPUT_BYTES_MAX),
    }
}

/// The process' tokens; those from the cache and those of thoughts are included.
fn usage(message: &Value) -> Usage {
    let of = |pointer| message.pointer(pointer).and_then(Value::as_u64);
    Usage {
        input_tokens: of("/usage/input_tokens").unwrap_or(0),
        output_tokens: of("/usage/output_tokens").unwrap_or(0),
        cost_microusd: 0,
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}
