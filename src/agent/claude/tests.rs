//! The arguments, and what no recording has.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::agent::fixtures::session;
use crate::agent::program::Reader;
use crate::model::evidence::SessionEnd;

fn arguments(settings: ClaudeSettings, args: &[&str], resume: Option<&str>) -> String {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let driver = ClaudeDriver::new("claude", args, settings).expect("a driver");
    let args = driver.arguments(&session(resume)).expect("arguments");
    let args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    args.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_session_needs_nobody_and_reads_no_settings_of_the_worktree() {
    let id = "11111111-1111-4111-8111-111111111111";
    let args = arguments(
        ClaudeSettings::default(),
        &["--effort", "{attempt}"],
        Some(id),
    );
    let expected = format!(
        "-p --output-format stream-json --verbose --setting-sources= --strict-mcp-config --add-dir /w \
         --permission-mode dontAsk --allowedTools {TOOLS} --resume {id} --effort 7"
    );
    assert_eq!(args, expected);
    let settings = ClaudeSettings {
        model: "opus".to_owned(),
        mode: Some("plan".to_owned()),
        permission: Permission::Deny,
    };
    let args = arguments(settings, &[], None);
    assert!(
        args.contains("--permission-mode plan --session-id "),
        "{args}"
    );
    assert!(args.ends_with("--model opus"), "{args}");
    assert!(!args.contains("--allowedTools"), "{args}");
}

#[test]
fn ids_are_uuids_of_version_4() {
    assert_eq!(new_id(0), "00000000-0000-4000-8000-000000000000");
    assert_eq!(new_id(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

/// The end and the reset time of a process whose output is these messages.
fn end(messages: &[serde_json::Value]) -> (SessionEnd, Option<u64>) {
    let lines = messages.iter().map(|message| format!("{message}\n"));
    let (_, result) = read(
        lines.collect::<String>().as_bytes(),
        Some(ProgramEnd::Exited(0)),
    );
    (result.end, result.limit_until_ms)
}

fn failed(status: Option<u16>, words: &str) -> serde_json::Value {
    json!({"type": "result", "subtype": "success", "is_error": true, "terminal_reason": "api_error",
        "api_error_status": status, "result": words})
}

#[test]
fn errors_of_the_provider_are_told_apart() {
    use SessionEnd::*;
    let table = [
        (failed(Some(500), "API Error: 500"), Overloaded),
        (failed(Some(529), "API Error: Overloaded"), Overloaded),
        (failed(Some(403), "API Error: forbidden"), AuthFailed),
        (
            failed(Some(400), "Your credit balance is too low"),
            QuotaExhausted,
        ),
        (
            failed(
                Some(429),
                "You exceeded your quota; check your billing details",
            ),
            QuotaExhausted,
        ),
        (failed(Some(400), "tools.0: unknown field"), Crashed),
        (failed(None, "API Error: Connection error."), Overloaded),
        (failed(None, "something new"), Overloaded),
        (
            json!({"type": "result", "is_error": true, "terminal_reason": "new"}),
            Crashed,
        ),
        (
            json!({"type": "result", "is_error": true, "subtype": "error_max_turns"}),
            TurnOrBudgetCap,
        ),
        (json!({"type": "result", "is_error": false}), Completed),
        (json!({"type": "system"}), NoTerminalEvent),
    ];
    for (message, expected) in table {
        assert_eq!(
            end(std::slice::from_ref(&message)),
            (expected, None),
            "{message}"
        );
    }
    let limit = json!({"type": "rate_limit_event",
        "rate_limit_info": {"status": "rejected", "resetsAt": 1_800_000_000}});
    let found = end(&[limit, failed(Some(429), "You've hit your 5-hour limit")]);
    assert_eq!(found, (Limited, Some(1_800_000_000_000)));
    let near = json!({"type": "rate_limit_event",
        "rate_limit_info": {"status": "allowed_warning", "resetsAt": 1_800_000_000}});
    let found = end(&[near, failed(Some(429), "slow down")]);
    assert_eq!(found, (Limited, None));
}

#[test]
fn a_turn_that_begins_after_a_result_needs_its_own() {
    let done = json!({"type": "result", "is_error": false, "terminal_reason": "completed"});
    let more =
        json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "more"}]}});
    assert_eq!(
        end(&[done.clone(), more.clone()]).0,
        SessionEnd::NoTerminalEvent
    );
    assert_eq!(end(&[done.clone(), more, done]).0, SessionEnd::Completed);
}

#[test]
fn tool_calls_are_told_in_a_line() {
    let call = |name: &str, input: serde_json::Value| {
        let init = json!({"type": "system", "subtype": "init", "cwd": "/w"});
        let call = json!({"type": "assistant", "message": {"content":
            [{"type": "tool_use", "id": "1", "name": name, "input": input}]}});
        let (events, _) = read(format!("{init}\n{call}").as_bytes(), None);
        match events.into_iter().nth(1) {
            Some(AgentEvent::ToolStart { title, kind, .. }) => format!("{kind}: {title}"),
            other => panic!("{other:?}"),
        }
    };
    let table = [
        (
            "Bash",
            json!({"command": "make\ntest", "description": "x"}),
            "execute: make",
        ),
        (
            "Write",
            json!({"file_path": "/w/src/a.rs", "content": "x"}),
            "edit: Write src/a.rs",
        ),
        (
            "Read",
            json!({"file_path": "/etc/hosts"}),
            "read: Read /etc/hosts",
        ),
        ("Grep", json!({"pattern": "x.*y"}), "search: Grep x.*y"),
        (
            "mcp__features__get",
            json!({"id": 1}),
            "other: features__get",
        ),
        ("New", json!(7), "other: New"),
    ];
    for (name, input, told) in table {
        assert_eq!(call(name, input), told);
    }
}

#[test]
fn silence_is_explained_by_what_was_said_before() {
    let mut conversation = Conversation::default();
    let mut say = |message: serde_json::Value| {
        let bytes = message.to_string().into_bytes();
        conversation.line(&crate::agent::lines::Line { bytes, cut: 0 });
        conversation.silence().map(|result| result.end)
    };
    let retry = |status: Option<u16>, error: &str| {
        json!({"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 1,
            "error_status": status, "error": error})
    };
    let text =
        json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "x"}]}});
    assert_eq!(say(text.clone()), None);
    assert_eq!(
        say(retry(Some(429), "rate_limit")),
        Some(SessionEnd::Limited)
    );
    assert_eq!(say(retry(None, "unknown")), Some(SessionEnd::Overloaded));
    assert_eq!(say(text), None);
    let done = json!({"type": "result", "is_error": false, "terminal_reason": "completed"});
    assert_eq!(say(done), Some(SessionEnd::Completed));
}

#[test]
fn a_session_that_is_not_there_is_no_failure_of_the_agent() {
    let message = json!({"type": "result", "subtype": "error_during_execution", "is_error": true,
        "errors": ["No conversation found with session ID: 1"]});
    let line = message.to_string();
    let (_, result) = read(line.as_bytes(), Some(ProgramEnd::Exited(1)));
    assert!(result.unknown_session, "{result:?}");
    let conversation = Conversation::default();
    let result = conversation.end(
        ProgramEnd::Exited(1),
        "No conversation found with session ID: 1",
    );
    assert!(result.unknown_session, "{result:?}");
    assert!(
        !conversation
            .end(ProgramEnd::Exited(1), "no")
            .unknown_session
    );
}

#[test]
fn what_keeps_a_process_from_starting_is_its_last_complaint() {
    let complaint = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/agent-recordings/claude-session-id-in-use.stderr.txt"
    ));
    let result = Conversation::default().end(ProgramEnd::Exited(1), complaint.trim());
    assert_eq!(result.end, SessionEnd::Crashed);
    assert!(result.reason.ends_with("is already in use."), "{result:?}");
}

proptest! {
    #[test]
    fn no_output_upsets_the_reader(output in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&output, Some(ProgramEnd::Exited(0)));
    }
}
