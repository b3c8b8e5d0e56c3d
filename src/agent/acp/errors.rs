//! Classifies an agent's JSON-RPC error. Every agent reports errors in its own way; the checks go
//! from the most explicit field to the vaguest. Without I/O.

use serde_json::Value;

use crate::agent::errors::{by_name, by_prose, by_status};
use crate::model::evidence::SessionEnd;

/// ACP's "authentication required", which some agents use for any error of theirs.
const AUTH_REQUIRED: i64 = -32_000;
/// ACP's "request cancelled".
const REQUEST_CANCELLED: i64 = -32_800;

/// Classifies an error response to one of our requests.
pub(super) fn classify(code: i64, message: &str, data: Option<&Value>) -> SessionEnd {
    if code == REQUEST_CANCELLED {
        return SessionEnd::Cancelled;
    }
    // codex-acp has its own words in the data, and "Internal error" as the message.
    let inner = data.and_then(|data| data.get("message")?.as_str());
    let message = &format!("{message} {}", inner.unwrap_or(""));
    let named = data
        .and_then(name_in)
        .and_then(|name| by_name(&name, message));
    let status = http_status(code, data).and_then(|status| by_status(status, message));
    named
        .or(status)
        .or_else(|| by_prose(message))
        .or((code == AUTH_REQUIRED).then_some(SessionEnd::AuthFailed))
        .unwrap_or(SessionEnd::Crashed)
}

/// The error's name, if the agent gives one: claude-agent-acp in `errorKind`, opencode in
/// `errorName`, codex-acp in `codexErrorInfo`, a text or an object with one key.
fn name_in(data: &Value) -> Option<String> {
    let name = ["errorKind", "errorName", "codexErrorInfo"]
        .iter()
        .find_map(|key| match data.get(*key)? {
            Value::String(name) => Some(name.clone()),
            Value::Object(object) => object.keys().next().cloned(),
            _ => None,
        })?;
    Some(name)
}

/// An HTTP status: gemini's in the code itself, others' somewhere in the data.
fn http_status(code: i64, data: Option<&Value>) -> Option<u16> {
    let valid = |number: i64| {
        u16::try_from(number)
            .ok()
            .filter(|status| (400..600).contains(status))
    };
    valid(code).or_else(|| {
        let data = data?;
        let inner = data
            .get("codexErrorInfo")
            .and_then(Value::as_object)
            .and_then(|info| info.values().next());
        [Some(data), inner]
            .into_iter()
            .flatten()
            .find_map(|object| {
                ["status", "statusCode", "httpStatusCode", "httpStatus"]
                    .iter()
                    .find_map(|key| object.get(*key)?.as_i64().and_then(valid))
            })
    })
}

/// When a limit is over, in milliseconds since 1970, if the error says so.
pub(super) fn limit_until_ms(data: Option<&Value>) -> Option<u64> {
    let data = data?;
    let seconds = ["resetsAt", "resets_at"]
        .iter()
        .find_map(|key| data.get(*key)?.as_u64())?;
    // Agents differ in the unit; no time in milliseconds is as small as one in seconds.
    Some(if seconds < 100_000_000_000 {
        seconds * 1_000
    } else {
        seconds
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(table: &[(i64, &str, Value, SessionEnd)]) {
        for (code, message, data, expected) in table {
            let found = classify(*code, message, Some(data));
            assert_eq!(found, *expected, "{code} {message} {data}");
        }
    }

    #[test]
    fn errors_of_every_agent_are_classified() {
        use SessionEnd::*;
        let table = [
            // As recorded.
            (-32000, "Authentication required", json!(null), AuthFailed),
            (
                -32603,
                "Internal error: API Error: Request rejected (429)",
                json!({"errorKind": "rate_limit"}),
                Limited,
            ),
            (
                -32603,
                "Internal error: Prompt is too long",
                json!({"errorKind": "invalid_request"}),
                ContextOverflow,
            ),
            (
                -32603,
                "Internal error: invalid x-api-key",
                json!({"service": "session", "errorName": "APIError"}),
                AuthFailed,
            ),
            (
                401,
                "{\"error\":{\"code\":401,\"status\":\"UNAUTHENTICATED\"}}",
                json!(null),
                AuthFailed,
            ),
            // By name.
            (
                -32603,
                "x",
                json!({"errorKind": "billing_error"}),
                QuotaExhausted,
            ),
            (-32603, "x", json!({"errorKind": "overloaded"}), Overloaded),
            (
                -32603,
                "x",
                json!({"errorName": "ContextOverflowError"}),
                ContextOverflow,
            ),
            (
                -32603,
                "x",
                json!({"codexErrorInfo": "usageLimitExceeded"}),
                Limited,
            ),
            (
                -32603,
                "Internal error",
                json!({"message": "Quota exceeded. Check your plan and billing details.",
                    "codexErrorInfo": "usageLimitExceeded"}),
                QuotaExhausted,
            ),
            (
                -32603,
                "x",
                json!({"codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": 401}}}),
                Overloaded,
            ),
            (
                -32603,
                "x",
                json!({"codexErrorInfo": {"other": {"httpStatusCode": 401}}}),
                AuthFailed,
            ),
        ];
        check(&table);
    }

    #[test]
    fn without_a_name_the_status_the_words_or_the_code_decide() {
        use SessionEnd::*;
        let table = [
            (403, "x", json!(null), AuthFailed),
            (429, "slow down", json!(null), Limited),
            (429, "insufficient_quota", json!(null), QuotaExhausted),
            (500, "x", json!(null), Overloaded),
            (529, "x", json!(null), Overloaded),
            (-32603, "x", json!({"statusCode": 503}), Overloaded),
            // By code alone.
            (-32800, "x", json!(null), Cancelled),
            (-32000, "Server error", json!(null), AuthFailed),
            (
                -32000,
                "the context window is full",
                json!(null),
                ContextOverflow,
            ),
            (-32601, "Method not found", json!(null), Crashed),
            (-32603, "Internal error", json!([1, "x"]), Crashed),
            (400, "bad request", json!(null), Crashed),
        ];
        check(&table);
    }

    #[test]
    fn the_end_of_a_limit_is_read_in_either_unit() {
        let until = |data: Value| limit_until_ms(Some(&data));
        assert_eq!(
            until(json!({"resetsAt": 1_800_000_000})),
            Some(1_800_000_000_000)
        );
        assert_eq!(
            until(json!({"resetsAt": 1_800_000_000_000_u64})),
            Some(1_800_000_000_000)
        );
        assert_eq!(until(json!({"other": 1})), None);
    }
}
