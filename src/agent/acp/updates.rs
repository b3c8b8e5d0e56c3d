//! Converts an ACP agent's `session/update` notifications to events. Without I/O, and lenient: an
//! unknown update becomes a raw event, and missing parts are left out.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::agent::driver::{AgentEvent, Role, microusd, one_line};
use crate::agent::errors::by_prose;
use crate::model::clip::clip_marked;
use crate::model::evidence::{SessionEnd, Usage};

/// Tool calls that are remembered, so that none is counted twice. Far beyond any step limit of a
/// session.
const TOOLS_MAX: usize = 100_000;

/// The state of a session according to its updates.
#[derive(Clone, Debug, Default)]
pub(super) struct Updates {
    /// Known tool calls, and whether they are over.
    tools: BTreeMap<String, bool>,
    cost_microusd: u64,
    last_text: String,
    /// codex-acp's report that its thread has failed, which its stop reason hides.
    system_error: bool,
}

impl Updates {
    /// Takes the parameters of one notification.
    pub(super) fn on_update(&mut self, params: &Value) -> Vec<AgentEvent> {
        let update = params.get("update").unwrap_or(&Value::Null);
        match text(update, "sessionUpdate").unwrap_or("") {
            "agent_message_chunk" => self.on_text(Role::Agent, update),
            "agent_thought_chunk" => self.on_text(Role::Thought, update),
            "user_message_chunk" => self.on_text(Role::User, update),
            "tool_call" | "tool_call_update" => self.on_tool(update),
            "usage_update" => self.on_usage(update),
            "session_info_update" => {
                self.on_info(update);
                Vec::new()
            }
            "plan" => plan(update).into_iter().collect(),
            "available_commands_update" | "config_option_update" | "current_mode_update" => {
                Vec::new()
            }
            _ => vec![AgentEvent::Raw {
                text: one_line(&update.to_string()),
            }],
        }
    }

    fn on_text(&mut self, role: Role, update: &Value) -> Vec<AgentEvent> {
        let Some(words) = update.pointer("/content/text").and_then(Value::as_str) else {
            return vec![AgentEvent::Raw {
                text: one_line(&update.to_string()),
            }];
        };
        let words = clip_marked(words, AgentEvent::TEXT_BYTES_MAX);
        if role == Role::Agent {
            self.last_text.clone_from(&words);
        }
        vec![AgentEvent::Text { role, text: words }]
    }

    /// Handles `tool_call` and `tool_call_update` alike: gemini sends an update for a call that it
    /// never announced.
    fn on_tool(&mut self, update: &Value) -> Vec<AgentEvent> {
        let Some(id) = text(update, "toolCallId") else {
            return vec![AgentEvent::Raw {
                text: one_line(&update.to_string()),
            }];
        };
        let id = clip_marked(id, AgentEvent::LINE_BYTES_MAX);
        let mut events = Vec::new();
        if !self.tools.contains_key(&id) {
            if self.tools.len() >= TOOLS_MAX {
                self.tools.pop_first();
            }
            self.tools.insert(id.clone(), false);
            events.push(AgentEvent::ToolStart {
                id: id.clone(),
                title: one_line(text(update, "title").unwrap_or(&id)),
                kind: one_line(text(update, "kind").unwrap_or("other")),
            });
        }
        let ok = match text(update, "status") {
            Some("completed") => true,
            Some("failed") => false,
            _ => return events,
        };
        if self.tools.insert(id.clone(), true) == Some(false) {
            let output = clip_marked(&output(update), AgentEvent::OUTPUT_BYTES_MAX);
            events.push(AgentEvent::ToolEnd { id, ok, output });
        }
        events
    }

    fn on_usage(&mut self, update: &Value) -> Vec<AgentEvent> {
        let amount = update.pointer("/cost/amount").and_then(Value::as_f64);
        let dollars = update.pointer("/cost/currency").and_then(Value::as_str) == Some("USD");
        let cost = amount.filter(|_| dollars).map_or(0, microusd);
        // The amount is the session's whole cost so far.
        if cost <= self.cost_microusd {
            return Vec::new();
        }
        self.cost_microusd = cost;
        vec![AgentEvent::Usage(self.usage(None))]
    }

    fn on_info(&mut self, update: &Value) {
        let status = update.pointer("/_meta/codex/threadStatus/type");
        if let Some(status) = status.and_then(Value::as_str) {
            self.system_error = status == "systemError";
        }
    }

    /// The usage, with the tokens of the prompt's response if it has any.
    pub(super) fn usage(&self, response: Option<&Value>) -> Usage {
        let (input_tokens, output_tokens) = response.map_or((0, 0), tokens);
        Usage {
            input_tokens,
            output_tokens,
            cost_microusd: self.cost_microusd,
        }
    }

    /// Interprets a prompt's response. codex-acp answers `end_turn` even if its thread failed, for
    /// example by a context overflow. It reports that before, in `session_info_update`, and the
    /// reason is the last text.
    pub(super) fn end_of(&self, response: &Value) -> (SessionEnd, String) {
        let stop = text(response, "stopReason").unwrap_or("");
        let said = one_line(&self.last_text);
        match stop {
            "end_turn" if self.system_error => {
                let end = by_prose(&self.last_text).unwrap_or(SessionEnd::Crashed);
                (end, format!("the agent failed and ended its turn: {said}"))
            }
            "end_turn" => (SessionEnd::Completed, "the agent ended its turn".to_owned()),
            "max_tokens" | "max_turn_requests" => (
                SessionEnd::TurnOrBudgetCap,
                format!("the agent reached its own limit ({stop})"),
            ),
            "refusal" => (
                SessionEnd::Refused,
                format!("the model refused the task: {said}"),
            ),
            "cancelled" => (
                SessionEnd::Cancelled,
                "the agent says that its turn was cancelled".to_owned(),
            ),
            other => (
                SessionEnd::Crashed,
                format!(
                    "the agent ended its turn in an unknown way: {}",
                    one_line(other)
                ),
            ),
        }
    }
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

/// Tokens in and out of a prompt's response: from its `usage`, or from gemini's `_meta.quota`.
fn tokens(response: &Value) -> (u64, u64) {
    let number = |object: &Value, key: &str| object.get(key).and_then(Value::as_u64).unwrap_or(0);
    if let Some(usage) = response.get("usage").filter(|usage| usage.is_object()) {
        let cached =
            number(usage, "cachedReadTokens").saturating_add(number(usage, "cachedWriteTokens"));
        let input = number(usage, "inputTokens").saturating_add(cached);
        return (input, number(usage, "outputTokens"));
    }
    let count = response.pointer("/_meta/quota/token_count");
    count.map_or((0, 0), |count| {
        (
            number(count, "input_tokens"),
            number(count, "output_tokens"),
        )
    })
}

/// The agent's plan, one line per entry.
fn plan(update: &Value) -> Option<AgentEvent> {
    let entries = update.get("entries")?.as_array()?;
    let entry = |entry: &Value| {
        let mark = match text(entry, "status") {
            Some("completed") => "x",
            Some("in_progress") => ">",
            _ => " ",
        };
        Some(format!("[{mark}] {}", text(entry, "content")?))
    };
    let lines: Vec<String> = entries.iter().filter_map(entry).collect();
    Some(AgentEvent::Plan {
        text: clip_marked(&lines.join("\n"), AgentEvent::OUTPUT_BYTES_MAX),
    })
}

/// The output of a tool call: texts, and names of changed files.
fn output(update: &Value) -> String {
    let content = update.get("content").and_then(Value::as_array);
    let part = |part: &Value| match text(part, "type") {
        Some("diff") => Some(format!("changed {}", text(part, "path")?)),
        _ => Some(unfenced(part.pointer("/content/text")?.as_str()?)),
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

/// Agents wrap output in fences.
fn unfenced(text: &str) -> String {
    let mut lines: Vec<&str> = text.trim().lines().collect();
    let is_fence = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("```"));
    if lines.len() > 1 && is_fence(lines.first()) && is_fence(lines.last()) {
        lines.pop();
        lines.remove(0);
        return lines.join("\n");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_tool_call_is_begun_and_ended_once_however_it_is_told() {
        let mut updates = Updates::default();
        let mut take = |update: Value| updates.on_update(&json!({ "update": update }));
        let early = take(
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "a", "status": "completed",
            "title": "Read x", "content": [{"type": "content", "content": {"type": "text", "text": "```\nout\n```"}}]}),
        );
        assert_eq!(early.len(), 2, "{early:?}");
        assert_eq!(
            early[1],
            AgentEvent::ToolEnd {
                id: "a".into(),
                ok: true,
                output: "out".into()
            }
        );
        let again =
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "a", "status": "failed"});
        assert_eq!(take(again), []);
        let call = take(
            json!({"sessionUpdate": "tool_call", "toolCallId": "b", "kind": "edit", "title": "t"}),
        );
        assert_eq!(
            call,
            [AgentEvent::ToolStart {
                id: "b".into(),
                title: "t".into(),
                kind: "edit".into()
            }]
        );
        let failed = take(
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "b", "status": "failed", "rawOutput": "no"}),
        );
        assert_eq!(
            failed,
            [AgentEvent::ToolEnd {
                id: "b".into(),
                ok: false,
                output: "no".into()
            }]
        );
    }

    #[test]
    fn stop_reasons_have_their_ends() {
        let end = |reason: &str| Updates::default().end_of(&json!({"stopReason": reason})).0;
        assert_eq!(end("end_turn"), SessionEnd::Completed);
        assert_eq!(end("max_tokens"), SessionEnd::TurnOrBudgetCap);
        assert_eq!(end("max_turn_requests"), SessionEnd::TurnOrBudgetCap);
        assert_eq!(end("refusal"), SessionEnd::Refused);
        assert_eq!(end("cancelled"), SessionEnd::Cancelled);
        assert_eq!(end("something_new"), SessionEnd::Crashed);
        assert_eq!(Updates::default().end_of(&json!([])).0, SessionEnd::Crashed);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let names = prop::sample::select(vec![
            "sessionUpdate",
            "toolCallId",
            "status",
            "content",
            "text",
            "cost",
            "amount",
            "currency",
            "usage",
            "stopReason",
            "tool_call",
            "tool_call_update",
            "completed",
            "agent_message_chunk",
            "usage_update",
            "USD",
            "_meta",
            "update",
            "rawOutput",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            names.clone().prop_map(Value::from),
            ".{0,600}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names.clone().prop_map(String::from), inner, 0..6)
                    .prop_map(|map| map.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_that_an_agent_says_upsets_us(values in prop::collection::vec(any_json(), 1..5)) {
            let mut updates = Updates::default();
            for value in &values {
                for event in updates.on_update(&json!({ "update": value })) {
                    if let AgentEvent::Raw { text } = event {
                        prop_assert!(text.len() <= AgentEvent::LINE_BYTES_MAX + 3);
                    }
                }
                updates.end_of(value);
                updates.usage(Some(value));
            }
        }
    }
}
