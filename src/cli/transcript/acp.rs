//! Messages of the Agent Client Protocol as text. Unknown messages are left out; `--raw` shows all.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Kind;

/// Most tool calls whose titles are remembered; a session has few open at a time.
const TOOLS_MAX: usize = 1_000;

/// What later messages may refer to.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Titles of tool calls that were shown, by id.
    tools: BTreeMap<String, String>,
}

type Told = Vec<(Kind, String)>;

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

impl Conversation {
    /// The text of a line; `None` if it is not a message of the protocol.
    pub(super) fn message(&mut self, line: &str, from_agent: bool) -> Option<Told> {
        if !line.starts_with('{') {
            return None;
        }
        let message: Value = serde_json::from_str(line).ok()?;
        message.get("jsonrpc")?;
        let method = text(&message, "/method").unwrap_or_default();
        let told = match (from_agent, method) {
            (true, "session/update") => {
                let update = message.pointer("/params/update").unwrap_or(&Value::Null);
                self.update(update)
            }
            (true, "session/request_permission") => {
                let call = message.pointer("/params/toolCall").unwrap_or(&Value::Null);
                let title = text(call, "/title").map(str::to_owned);
                let title = title.or_else(|| self.tools.get(text(call, "/toolCallId")?).cloned());
                vec![(
                    Kind::Ask,
                    title.unwrap_or_else(|| "for permission".to_owned()),
                )]
            }
            (false, "session/prompt") => vec![(Kind::Prompt, prompt(&message))],
            (false, "session/cancel") => vec![(Kind::Note, "the session was cancelled".to_owned())],
            (true, "") => response(&message),
            (false, "") => permission(&message).into_iter().collect(),
            _ => Vec::new(),
        };
        Some(told)
    }

    fn update(&mut self, update: &Value) -> Told {
        let chunk = |kind: Kind| {
            let words = text(update, "/content/text");
            words
                .map(|words| (kind, words.to_owned()))
                .into_iter()
                .collect()
        };
        match text(update, "/sessionUpdate").unwrap_or_default() {
            "agent_message_chunk" => chunk(Kind::Agent),
            "agent_thought_chunk" => chunk(Kind::Thought),
            "tool_call" | "tool_call_update" => self.tool(update),
            "plan" => plan(update).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Shows a call once, even if only its end was announced, and its output when it ends.
    fn tool(&mut self, update: &Value) -> Told {
        let Some(id) = text(update, "/toolCallId") else {
            return Vec::new();
        };
        let mut told = Told::new();
        if !self.tools.contains_key(id) {
            if self.tools.len() >= TOOLS_MAX {
                self.tools.pop_first();
            }
            let title = text(update, "/title").unwrap_or(id);
            self.tools.insert(id.to_owned(), title.to_owned());
            told.push((Kind::Tool, title.to_owned()));
        }
        let kind = match text(update, "/status") {
            Some("completed") => Kind::Output,
            Some("failed") => Kind::Failed,
            _ => return told,
        };
        let output = output(update);
        if kind == Kind::Failed || !output.trim().is_empty() {
            told.push((kind, output));
        }
        told
    }
}

fn prompt(message: &Value) -> String {
    let parts = message.pointer("/params/prompt").and_then(Value::as_array);
    let texts = parts
        .into_iter()
        .flatten()
        .filter_map(|part| text(part, "/text"));
    texts.collect::<Vec<_>>().join("\n")
}

/// An agent's response: its name and version, why its turn ended, or an error.
fn response(message: &Value) -> Told {
    if let Some(error) = message.get("error") {
        let words = text(error, "/message").unwrap_or("no reason given");
        let data = error.get("data").filter(|data| !data.is_null());
        let data = data.map(|data| format!(" ({data})")).unwrap_or_default();
        return vec![(
            Kind::Note,
            format!("the agent answered with an error: {words}{data}"),
        )];
    }
    let result = message.get("result").unwrap_or(&Value::Null);
    if let Some(reason) = text(result, "/stopReason") {
        return vec![(Kind::Note, format!("the agent ended its turn: {reason}"))];
    }
    let Some(name) = text(result, "/agentInfo/name") else {
        return Vec::new();
    };
    let version = text(result, "/agentInfo/version").unwrap_or_default();
    let words = format!("the agent is {name} {version}");
    vec![(Kind::Note, words.trim_end().to_owned())]
}

/// Our answer to a request for permission.
fn permission(message: &Value) -> Option<(Kind, String)> {
    let outcome = message.pointer("/result/outcome")?;
    let words = text(outcome, "/optionId").or_else(|| text(outcome, "/outcome"))?;
    Some((Kind::Answer, words.to_owned()))
}

fn plan(update: &Value) -> Option<(Kind, String)> {
    let entries = update.get("entries")?.as_array()?;
    let entry = |entry: &Value| {
        let mark = match text(entry, "/status") {
            Some("completed") => "x",
            Some("in_progress") => ">",
            _ => " ",
        };
        Some(format!("[{mark}] {}", text(entry, "/content")?))
    };
    let lines: Vec<String> = entries.iter().filter_map(entry).collect();
    Some((Kind::Note, format!("plan:\n{}", lines.join("\n"))))
}

/// The output of a tool call: texts, and names of changed files.
fn output(update: &Value) -> String {
    let content = update.get("content").and_then(Value::as_array);
    let part = |part: &Value| match text(part, "/type") {
        Some("diff") => Some(format!("changed {}", text(part, "/path")?)),
        _ => text(part, "/content/text").map(str::to_owned),
    };
    let parts: Vec<String> = content.into_iter().flatten().filter_map(part).collect();
    if !parts.is_empty() {
        return parts.join("\n");
    }
    match update.get("rawOutput") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
