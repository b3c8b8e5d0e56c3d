//! Classifies what agents and their providers call an error: by a name, an HTTP status, or words.
//! Without I/O.

use crate::model::evidence::SessionEnd;

/// Classifies by an error's name, whatever its case and separators; `message` is what came with it.
pub(super) fn by_name(name: &str, message: &str) -> Option<SessionEnd> {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let letters = letters.collect::<String>().to_ascii_lowercase();
    let end = match letters.as_str() {
        "authenticationfailed"
        | "authenticationerror"
        | "oauthorgnotallowed"
        | "providerautherror"
        | "unauthorized"
        | "permissiondenied"
        | "permissionerror" => SessionEnd::AuthFailed,
        "billingerror" | "creditbalancetoolow" | "quotaexceeded" | "insufficientquota" => {
            SessionEnd::QuotaExhausted
        }
        "ratelimit" | "ratelimiterror" | "usagelimitexceeded" | "usagelimitreached" => {
            SessionEnd::Limited
        }
        "overloaded"
        | "overloadederror"
        | "serveroverloaded"
        | "servererror"
        | "internalservererror"
        | "httpconnectionfailed"
        | "responsestreamconnectionfailed"
        | "responsestreamdisconnected"
        | "responsetoomanyfailedattempts" => SessionEnd::Overloaded,
        "contextwindowexceeded" | "contextoverflowerror" | "contextlengthexceeded" => {
            SessionEnd::ContextOverflow
        }
        "maxoutputtokens" | "messageoutputlengtherror" | "sessionbudgetexceeded" => {
            SessionEnd::TurnOrBudgetCap
        }
        "messageabortederror" => SessionEnd::Cancelled,
        // "APIError", "invalid_request", "unknown": the message says more.
        _ => return None,
    };
    Some(unless_unpaid(end, message))
}

/// Providers use one error for "slow down" and "pay first".
fn unless_unpaid(end: SessionEnd, message: &str) -> SessionEnd {
    match by_prose(message) {
        Some(SessionEnd::QuotaExhausted) if end == SessionEnd::Limited => {
            SessionEnd::QuotaExhausted
        }
        _ => end,
    }
}

/// Classifies by an HTTP status; `message` is what came with it.
pub(super) fn by_status(status: u16, message: &str) -> Option<SessionEnd> {
    match status {
        401 | 403 => Some(SessionEnd::AuthFailed),
        402 => Some(SessionEnd::QuotaExhausted),
        429 => Some(unless_unpaid(SessionEnd::Limited, message)),
        408 | 500..600 => Some(SessionEnd::Overloaded),
        413 => Some(SessionEnd::ContextOverflow),
        // A bad request: too long, unpaid, or wrong.
        _ => by_prose(message),
    }
}

/// What providers and agents say, in lower case; the most telling come first.
const WORDS: &[(SessionEnd, &[&str])] = &[
    (
        SessionEnd::ContextOverflow,
        &[
            "prompt is too long",
            "context window",
            "context length",
            "context_length_exceeded",
            "maximum context",
            "exceeds the maximum number of tokens",
        ],
    ),
    (
        SessionEnd::QuotaExhausted,
        &[
            "insufficient_quota",
            "credit balance",
            "billing",
            "out of credits",
            "payment required",
        ],
    ),
    (
        SessionEnd::Limited,
        &[
            "rate limit",
            "rate_limit",
            "too many requests",
            "usage limit",
            "resource_exhausted",
            "-hour limit",
            "weekly limit",
        ],
    ),
    (
        SessionEnd::AuthFailed,
        &[
            "x-api-key",
            "api key",
            "api_key",
            "authentication",
            "unauthenticated",
            "unauthorized",
            "not logged in",
            "please log in",
            "run /login",
        ],
    ),
    (
        SessionEnd::Overloaded,
        &[
            "overloaded",
            "service unavailable",
            "bad gateway",
            "internal server error",
            "stream disconnected",
            "connection refused",
            "connection reset",
            "connection error",
            "unable to connect",
            "econnrefused",
            "econnreset",
            "etimedout",
            "fetch failed",
            "failed to lookup address",
            "error sending request",
            "high demand",
            "at capacity",
        ],
    ),
];

/// Classifies by the words of a message. It is the last resort, and how agents are understood that
/// report errors as text of the model.
pub(super) fn by_prose(message: &str) -> Option<SessionEnd> {
    let status = status_in(message).and_then(|status| by_status(status, ""));
    let message = message.to_ascii_lowercase();
    let words = WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| message.contains(word)))
        .map(|(end, _)| *end);
    // "429 Too Many Requests: check your billing details" is about the bill.
    match (words, status) {
        (Some(SessionEnd::QuotaExhausted | SessionEnd::ContextOverflow), _) | (_, None) => words,
        _ => status,
    }
}

/// An HTTP status in prose: `unexpected status 401 Unauthorized`, `last status: 429`, `API Error:
/// 500`, `rejected (429)`. Other numbers are none.
fn status_in(message: &str) -> Option<u16> {
    let mut before = "";
    for word in message.split_whitespace() {
        let digits = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let named = ["status", "error", "http", "code"]
            .iter()
            .any(|name| before.trim_end_matches(':').eq_ignore_ascii_case(name));
        let alone = word.starts_with('(') && word.trim_end_matches(['.', ',', ':']).ends_with(')');
        if (named || alone)
            && let Ok(status) = digits.parse::<u16>()
            && (400..600).contains(&status)
        {
            return Some(status);
        }
        before = word;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_classified() {
        use SessionEnd::*;
        let table = [
            (
                "unexpected status 401 Unauthorized: invalid x-api-key, url: http://host/v1",
                Some(AuthFailed),
            ),
            (
                "exceeded retry limit, last status: 429 Too Many Requests",
                Some(Limited),
            ),
            (
                "We’re currently experiencing high demand, which may cause temporary errors.",
                Some(Overloaded),
            ),
            (
                "Codex ran out of room in the model's context window. Start a new thread",
                Some(ContextOverflow),
            ),
            (
                "Quota exceeded. Check your plan and billing details.",
                Some(QuotaExhausted),
            ),
            (
                "unexpected status 429 Too Many Requests: check your billing details",
                Some(QuotaExhausted),
            ),
            (
                "You've hit your usage limit. Try again later.",
                Some(Limited),
            ),
            (
                "You've hit your 5-hour limit · resets 11:35am (UTC)",
                Some(Limited),
            ),
            (
                "API Error: Request rejected (429) · slow down",
                Some(Limited),
            ),
            ("API Error: 500 {\"type\":\"error\"}", Some(Overloaded)),
            (
                "API Error: Repeated 529 Overloaded errors",
                Some(Overloaded),
            ),
            ("Not logged in · Please run /login", Some(AuthFailed)),
            (
                "Your credit balance is too low to access the API.",
                Some(QuotaExhausted),
            ),
            ("Unable to connect to API (ECONNREFUSED)", Some(Overloaded)),
            ("the status is 4290", None),
            ("3 tests failed, 429 passed", None),
            ("unexpected status 404 Not Found", None),
        ];
        for (message, end) in table {
            assert_eq!(by_prose(message), end, "{message}");
        }
    }
}
