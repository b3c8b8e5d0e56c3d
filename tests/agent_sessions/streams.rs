//! Shell programs that write as Claude Code and Codex do, under their drivers.

use crewlog::agent::driver::{Driver, Role, Session};
use crewlog::agent::{AgentEvent, ClaudeDriver, ClaudeSettings, CodexDriver, CodexSettings};
use crewlog::model::evidence::{FailureKind, SessionEnd};
use tokio::sync::mpsc;

use crate::place::{Place, Played};

/// A program that remembers its arguments, prompt and environment, and then does this.
fn program(place: &Place, then: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let root = place.directory.path().display().to_string();
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > {root}/args\ncat > {root}/asked\nenv > {root}/env\n{then}\n"
    );
    let path = place.path("agent");
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path.display().to_string()
}

fn claude(place: &Place, then: &str) -> ClaudeDriver {
    let program = program(place, then);
    ClaudeDriver::new(program, vec!["--own".into()], ClaudeSettings::default()).expect("a driver")
}

fn codex(place: &Place, then: &str) -> CodexDriver {
    let program = program(place, then);
    CodexDriver::new(program, vec!["--own".into()], CodexSettings::default()).expect("a driver")
}

/// A recorded stream, as the program writes it.
fn recorded(name: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    format!("cat {root}/tests/fixtures/agent-recordings/{name}.jsonl")
}

async fn run(place: &Place, driver: &dyn Driver, session: Session) -> Played {
    let (sender, mut receiver) = mpsc::channel(1_000);
    let result = driver.run(session, sender).await;
    let mut events = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        events.push(event);
    }
    assert_eq!(result.left, 0, "{}", place.token);
    Played { result, events }
}

#[tokio::test]
async fn a_session_is_begun_with_the_prompt_on_standard_input() {
    let place = Place::new();
    let driver = claude(&place, &recorded("claude-happy"));
    let played = place.run(&driver).await;
    let result = &played.result;
    assert_eq!(
        (result.end, result.exit_code),
        (SessionEnd::Completed, Some(0))
    );
    assert_eq!(result.usage.cost_microusd, 27_750);
    assert!(
        played.said("implemented and verified"),
        "{:?}",
        played.events
    );
    assert!(played.has(
        |event| matches!(event, AgentEvent::Started { session_id, .. }
        if session_id == "fe1af71e-920c-42ed-93fd-fee42a95ede3")
    ));
    assert_eq!(place.text("asked"), "the prompt");
    let args = place.text("args");
    assert!(args.contains("--session-id\n"), "{args}");
    assert!(args.ends_with("--own\n"), "{args}");
    let env = place.text("env");
    assert!(env.contains("CLAUDE_CODE_MAX_RETRIES=1\n"), "{env}");
    // What a person sets wins.
    let mut session = place.session();
    session
        .env
        .insert("CLAUDE_CODE_MAX_RETRIES".into(), "7".into());
    session.resume = Some("an-id".to_owned());
    run(&place, &driver, session).await;
    assert!(place.text("env").contains("CLAUDE_CODE_MAX_RETRIES=7\n"));
    assert!(place.text("args").contains("--resume\nan-id\n"));

    let driver = codex(&place, &recorded("codex-happy"));
    let mut session = place.session();
    session.resume = Some("a-thread".to_owned());
    let played = run(&place, &driver, session).await;
    assert_eq!(played.result.end, SessionEnd::Completed);
    assert_eq!(place.text("asked"), "the prompt");
    let args = place.text("args");
    assert!(args.starts_with("exec\nresume\n--json\n"), "{args}");
    assert!(args.ends_with("--own\na-thread\n-\n"), "{args}");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_a_failure_whatever_the_exit_code() {
    let place = Place::new();
    let half = |name: &str| format!("{} | head -n 4", recorded(name));
    let drivers: [Box<dyn Driver>; 2] = [
        Box::new(claude(&place, &half("claude-happy"))),
        Box::new(codex(&place, &half("codex-happy"))),
    ];
    // The programs share a file: the last one written is Codex'.
    let played = place.run(drivers[1].as_ref()).await;
    assert_eq!(
        played.result.end,
        SessionEnd::NoTerminalEvent,
        "{:?}",
        played.result
    );
    claude(&place, &half("claude-happy"));
    let played = place.run(drivers[0].as_ref()).await;
    assert_eq!(
        played.result.end,
        SessionEnd::NoTerminalEvent,
        "{:?}",
        played.result
    );
    assert!(
        played.result.usage.input_tokens > 0,
        "what is known of it counts"
    );
    let died = claude(&place, "echo 'Error: cannot be used as root' >&2; exit 1");
    let result = place.run(&died).await.result;
    assert_eq!(
        (result.end, result.exit_code),
        (SessionEnd::Crashed, Some(1))
    );
    assert!(result.reason.contains("as root"), "{result:?}");
}

#[tokio::test]
async fn silence_after_a_refused_request_is_the_providers() {
    let mut place = Place::new();
    place.limits.idle_ms = 300;
    let driver = codex(
        &place,
        &format!("{}; exec sleep 60", recorded("codex-err429")),
    );
    let played = place.run(&driver).await;
    let result = &played.result;
    assert_eq!(
        (result.end, result.failure),
        (SessionEnd::Limited, None),
        "{result:?}"
    );
    assert!(
        result.reason.contains("429") && result.reason.contains("silent"),
        "{result:?}"
    );
    assert!(played.has(|event| matches!(event, AgentEvent::Limit { .. })));
    // Without a reason, it is only silence.
    let driver = codex(&place, "exec sleep 60");
    let result = place.run(&driver).await.result;
    assert_eq!(result.failure, Some(FailureKind::IdleLimit));
    // What has ended its turn has ended it, even if the program stays.
    let driver = claude(
        &place,
        &format!("{}; exec sleep 60", recorded("claude-happy")),
    );
    let result = place.run(&driver).await.result;
    assert_eq!(
        (result.end, result.failure),
        (SessionEnd::Completed, None),
        "{result:?}"
    );
}

#[tokio::test]
async fn tool_calls_are_limited() {
    let mut place = Place::new();
    place.limits.steps_max = 2;
    let driver = claude(&place, &recorded("claude-happy"));
    let result = place.run(&driver).await.result;
    assert_eq!(result.failure, Some(FailureKind::StepLimit), "{result:?}");
}

#[tokio::test]
async fn an_earlier_session_may_be_unknown() {
    let place = Place::new();
    let driver = claude(
        &place,
        "echo 'No conversation found with session ID: x' >&2; exit 1",
    );
    let mut session = place.session();
    session.resume = Some("x".to_owned());
    let result = run(&place, &driver, session).await.result;
    assert!(result.unknown_session, "{result:?}");
}

#[tokio::test]
async fn what_is_no_message_is_raw_and_complaints_are_told() {
    let place = Place::new();
    let driver = claude(
        &place,
        "echo 'a banner'; echo careful >&2; echo '[1]'; echo '{\"type\":\"new\"}'",
    );
    let played = place.run(&driver).await;
    let raw = |words: &str| {
        played.has(|event| matches!(event, AgentEvent::Raw { text } if text == words))
    };
    assert!(
        raw("a banner") && raw("[1]") && raw("{\"type\":\"new\"}"),
        "{:?}",
        played.events
    );
    assert!(
        played.has(|event| matches!(event, AgentEvent::Complaint { line } if line == "careful"))
    );
    let said = |event: &AgentEvent| {
        matches!(
            event,
            AgentEvent::Text {
                role: Role::Agent,
                ..
            }
        )
    };
    assert!(!played.has(said), "{:?}", played.events);
}
