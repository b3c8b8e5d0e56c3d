//! The lines of `claude -p --output-format stream-json --verbose`. Without I/O, and lenient: Claude
//! Code changes often, so missing parts are left out, and an unknown message is no error.

use serde_json::Value;

use crate::agent::driver::microusd;
use crate::model::evidence::Usage;

/// One line of the stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    /// The session's setup; not always the first message.
    Init {
        session_id: String,
        model: Option<String>,
        version: String,
        cwd: String,
    },
    /// A part of the model's answer, or an error in its place.
    Assistant(Answer),
    /// Results of tool calls.
    Results(Vec<Block>),
    /// A request to the provider failed and is repeated.
    Retry {
        attempt: u64,
        attempts: u64,
        error: ApiError,
    },
    /// A tool call was denied.
    Denied {
        id: String,
        tool: String,
        reason: String,
    },
    /// What the provider says about the account's limits.
    RateLimit {
        /// No request is accepted until then.
        rejected: bool,
        resets_at_s: Option<u64>,
    },
    /// The provider's safeguards stopped the answer for good.
    Refusal,
    /// A turn is over: the terminal event, unless something in the background starts another turn.
    Result(Box<TurnEnd>),
    /// Known, and of no interest here.
    Other,
    /// Anything else.
    Unknown,
}

/// Part of an answer: Claude Code writes one message for each block of its content.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// The blocks of one answer have the same id, and repeat its usage.
    pub id: String,
    /// A subagent answers.
    pub nested: bool,
    pub blocks: Vec<Block>,
    pub usage: Usage,
    /// Set if there is no answer, but an error.
    pub error: Option<ApiError>,
}

/// Part of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Block {
    Text(String),
    Thought(String),
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    ToolResult {
        id: String,
        ok: bool,
        output: String,
    },
    Other,
}

/// An error of the provider, as far as it is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ApiError {
    /// Claude Code's name: `rate_limit`, `authentication_failed`, `unknown`.
    pub name: String,
    /// HTTP status.
    pub status: Option<u16>,
    pub words: String,
}

/// The `result` message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TurnEnd {
    pub is_error: bool,
    /// `completed`, `max_turns`, `api_error`, …; empty in old versions.
    pub terminal_reason: String,
    /// Kind of message: `success`, even for errors of the provider, `error_max_turns`, ….
    pub subtype: String,
    /// The model's own reason to stop.
    pub stop_reason: String,
    pub error: ApiError,
    /// Tool calls that were denied, by id, with the tool's name.
    pub denials: Vec<(String, String)>,
    /// What the process has used so far, of all models and in all turns.
    pub usage: Usage,
}

impl Message {
    /// Reads a line; `None` if it is no JSON object.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let message: Value = serde_json::from_slice(line).ok()?;
        message.is_object().then(|| Self::of(&message))
    }

    fn of(message: &Value) -> Self {
        match text(message, "/type") {
            "system" => system(message),
            "assistant" => Self::Assistant(answer(message)),
            "user" => Self::Results(blocks(message)),
            "rate_limit_event" => Self::RateLimit {
                rejected: text(message, "/rate_limit_info/status") == "rejected",
                resets_at_s: number(message, "/rate_limit_info/resetsAt"),
            },
            "result" => Self::Result(Box::new(turn_end(message))),
            "stream_event" | "control_request" | "control_response" | "tool_progress" => {
                Self::Other
            }
            _ => Self::Unknown,
        }
    }
}

fn system(message: &Value) -> Message {
    match text(message, "/subtype") {
        "init" => Message::Init {
            session_id: text(message, "/session_id").to_owned(),
            model: Some(text(message, "/model").to_owned()).filter(|model| !model.is_empty()),
            version: text(message, "/claude_code_version").to_owned(),
            cwd: text(message, "/cwd").to_owned(),
        },
        "api_retry" => Message::Retry {
            attempt: number(message, "/attempt").unwrap_or(0),
            attempts: number(message, "/max_retries").unwrap_or(0),
            error: ApiError {
                name: text(message, "/error").to_owned(),
                status: status(message, "/error_status"),
                words: String::new(),
            },
        },
        "permission_denied" => Message::Denied {
            id: text(message, "/tool_use_id").to_owned(),
            tool: text(message, "/tool_name").to_owned(),
            reason: text(message, "/message").to_owned(),
        },
        "model_refusal_no_fallback" => Message::Refusal,
        "ui_invalidate" | "status" | "compact_boundary" | "hook_started" | "hook_progress"
        | "hook_response" => Message::Other,
        _ => Message::Unknown,
    }
}

fn answer(message: &Value) -> Answer {
    let is_error = message.get("error").is_some_and(|error| !error.is_null())
        || message.get("is_api_error_message") == Some(&Value::Bool(true));
    let blocks = blocks(message);
    let words = blocks.iter().filter_map(|block| match block {
        Block::Text(words) => Some(words.as_str()),
        _ => None,
    });
    let error = is_error.then(|| ApiError {
        name: text(message, "/error").to_owned(),
        status: status(message, "/api_error_status"),
        words: words.collect::<Vec<_>>().join("\n"),
    });
    Answer {
        id: text(message, "/message/id").to_owned(),
        nested: message
            .get("parent_tool_use_id")
            .is_some_and(Value::is_string),
        usage: usage(message.pointer("/message/usage")),
        blocks,
        error,
    }
}

fn blocks(message: &Value) -> Vec<Block> {
    let Some(content) = message.pointer("/message/content") else {
        return Vec::new();
    };
    if let Value::String(text) = content {
        return vec![Block::Text(text.clone())];
    }
    content
        .as_array()
        .into_iter()
        .flatten()
        .map(|block| match text(block, "/type") {
            "text" => Block::Text(text(block, "/text").to_owned()),
            "thinking" => Block::Thought(text(block, "/thinking").to_owned()),
            "tool_use" | "server_tool_use" => Block::ToolUse {
                id: text(block, "/id").to_owned(),
                name: text(block, "/name").to_owned(),
                input: block.get("input").cloned().unwrap_or_default(),
            },
            kind if kind.ends_with("tool_result") => Block::ToolResult {
                id: text(block, "/tool_use_id").to_owned(),
                ok: block.get("is_error") != Some(&Value::Bool(true)),
                output: output(block.get("content").unwrap_or(&Value::Null)),
            },
            _ => Block::Other,
        })
        .collect()
}

/// The output of a tool: a text, or a list of parts.
fn output(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().map(|part| match text(part, "/type") {
                "text" => text(part, "/text").to_owned(),
                other => format!("[{other}]"),
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn turn_end(message: &Value) -> TurnEnd {
    let denials = message.get("permission_denials").and_then(Value::as_array);
    let denial = |denial: &Value| {
        let id = text(denial, "/tool_use_id").to_owned();
        (id, text(denial, "/tool_name").to_owned())
    };
    let errors = message.get("errors").and_then(Value::as_array);
    let errors = errors.into_iter().flatten().filter_map(Value::as_str);
    let words = match text(message, "/result") {
        "" => errors.collect::<Vec<_>>().join("\n"),
        result => result.to_owned(),
    };
    let names = ["/api_error", "/api_error_type"];
    let name = names.iter().map(|name| text(message, name));
    TurnEnd {
        is_error: message.get("is_error") == Some(&Value::Bool(true)),
        terminal_reason: text(message, "/terminal_reason").to_owned(),
        subtype: text(message, "/subtype").to_owned(),
        stop_reason: text(message, "/stop_reason").to_owned(),
        error: ApiError {
            name: name
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or("")
                .to_owned(),
            status: status(message, "/api_error_status"),
            words,
        },
        denials: denials.into_iter().flatten().map(denial).collect(),
        usage: Usage {
            cost_microusd: microusd(
                message
                    .get("total_cost_usd")
                    .and_then(Value::as_f64)
                    .unwrap_or(0.0),
            ),
            ..all_models(message)
        },
    }
}

/// Tokens of the process: `usage` is the last turn's, and leaves out subagents.
fn all_models(message: &Value) -> Usage {
    let models = message.get("modelUsage").and_then(Value::as_object);
    let of = |model: &Value, key: &str| model.get(key).and_then(Value::as_u64).unwrap_or(0);
    let sum = models.into_iter().flatten().map(|(_, model)| Usage {
        input_tokens: of(model, "inputTokens")
            .saturating_add(of(model, "cacheReadInputTokens"))
            .saturating_add(of(model, "cacheCreationInputTokens")),
        output_tokens: of(model, "outputTokens"),
        cost_microusd: 0,
    });
    let sum = sum.fold(Usage::default(), Usage::plus);
    match sum.is_zero() {
        true => usage(message.get("usage")),
        false => sum,
    }
}

/// Tokens of one answer or turn.
fn usage(usage: Option<&Value>) -> Usage {
    let of = |key: &str| {
        usage
            .and_then(|usage| usage.get(key)?.as_u64())
            .unwrap_or(0)
    };
    Usage {
        input_tokens: of("input_tokens")
            .saturating_add(of("cache_read_input_tokens"))
            .saturating_add(of("cache_creation_input_tokens")),
        output_tokens: of("output_tokens"),
        cost_microusd: 0,
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer)?.as_u64()
}

fn status(value: &Value, pointer: &str) -> Option<u16> {
    number(value, pointer).and_then(|status| u16::try_from(status).ok())
}
