//! The arguments, and what no recording has.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::agent::fixtures::session;
use crate::agent::program::Reader;
use crate::model::evidence::SessionEnd;

fn arguments(settings: CodexSettings, args: &[&str], session: &Session) -> String {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let driver = CodexDriver::new("codex", args, settings).expect("a driver");
    let args = driver.arguments(session).expect("arguments");
    let args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    args.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_prompt_comes_last_and_there_is_one_sandbox() {
    let args = arguments(
        CodexSettings::default(),
        &["--x", "{feature}"],
        &session(None),
    );
    let expected = format!(
        r#"exec --json --skip-git-repo-check -c sandbox_mode="workspace-write" -c sandbox_workspace_write.network_access=true -c approval_policy="never" -c shell_environment_policy.exclude={SECRETS} --x 5 -"#
    );
    assert_eq!(args, expected);
    let settings = CodexSettings {
        model: "gpt".to_owned(),
        ..CodexSettings::default()
    };
    let mut caged = session(Some("thread"));
    caged.cage = Some(crate::agent::cage::Cage::default());
    let args = arguments(settings.clone(), &["--x"], &caged);
    assert!(args.starts_with("exec resume --json "), "{args}");
    assert!(args.contains(" --model gpt "), "{args}");
    assert!(
        args.contains("sandbox_mode=\"danger-full-access\""),
        "{args}"
    );
    assert!(args.ends_with(" --x thread -"), "{args}");
    let denied = CodexSettings {
        permission: Permission::Deny,
        ..settings.clone()
    };
    let args = arguments(denied, &[], &caged);
    assert!(args.contains("sandbox_mode=\"read-only\""), "{args}");
    let chosen = CodexSettings {
        sandbox: Some("workspace-write".to_owned()),
        ..settings
    };
    let args = arguments(chosen, &[], &caged);
    assert!(args.contains("sandbox_mode=\"workspace-write\""), "{args}");
}

fn read_all(messages: &[Value]) -> (Vec<AgentEvent>, SessionResult) {
    let lines = messages.iter().map(|message| format!("{message}\n"));
    read(
        lines.collect::<String>().as_bytes(),
        Some(ProgramEnd::Exited(1)),
    )
}

#[test]
fn items_are_tool_calls_texts_and_plans() {
    let (events, result) = read_all(&[
        json!({"type": "item.completed", "item": {"id": "a", "type": "file_change", "status": "completed",
            "changes": [{"path": "/w/a.rs", "kind": "update"}, {"path": "/w/b.rs", "kind": "add"}]}}),
        json!({"type": "item.started", "item": {"id": "b", "type": "command_execution", "status": "in_progress",
            "command": "bash -lc 'make test'", "exit_code": null, "aggregated_output": ""}}),
        json!({"type": "item.completed", "item": {"id": "b", "type": "command_execution", "status": "failed",
            "command": "bash -lc 'make test'", "exit_code": 2, "aggregated_output": "1 failed"}}),
        json!({"type": "item.updated", "item": {"id": "c", "type": "todo_list",
            "items": [{"text": "one", "completed": true}, {"text": "two", "completed": false}]}}),
        json!({"type": "item.completed", "item": {"id": "d", "type": "reasoning", "text": "so"}}),
        json!({"type": "item.completed", "item": {"id": "e", "type": "new_thing"}}),
        json!({"type": "new.event"}),
    ]);
    let start = |id: &str, title: &str, kind: &str| AgentEvent::ToolStart {
        id: id.to_owned(),
        title: title.to_owned(),
        kind: kind.to_owned(),
    };
    let end = |id: &str, ok, output: &str| AgentEvent::ToolEnd {
        id: id.to_owned(),
        ok,
        output: output.to_owned(),
    };
    let expected = [
        start("a", "update /w/a.rs, add /w/b.rs", "edit"),
        end("a", true, ""),
        start("b", "make test", "execute"),
        end("b", false, "1 failed"),
        AgentEvent::Plan {
            text: "[x] one\n[ ] two".to_owned(),
        },
        AgentEvent::Text {
            role: crate::agent::driver::Role::Thought,
            text: "so\n".to_owned(),
        },
        AgentEvent::Raw {
            text: r#"{"type":"item.completed","item":{"id":"e","type":"new_thing"}}"#.to_owned(),
        },
        AgentEvent::Raw {
            text: r#"{"type":"new.event"}"#.to_owned(),
        },
    ];
    assert_eq!(events, expected);
    assert_eq!(result.end, SessionEnd::Crashed, "{result:?}");
}

#[test]
fn silence_is_explained_by_what_was_said_before() {
    let mut conversation = Conversation::default();
    let mut say = |message: Value| {
        let bytes = message.to_string().into_bytes();
        conversation.line(&crate::agent::lines::Line { bytes, cut: 0 });
        conversation.silence().map(|result| result.end)
    };
    let retry =
        |words: &str| json!({"type": "error", "message": format!("Reconnecting... 1/5 ({words})")});
    assert_eq!(say(json!({"type": "turn.started"})), None);
    assert_eq!(
        say(retry("last status: 429 Too Many Requests")),
        Some(SessionEnd::Limited)
    );
    assert_eq!(say(retry("something new")), Some(SessionEnd::Overloaded));
    let item = json!({"type": "item.completed", "item": {"type": "agent_message", "text": "x"}});
    assert_eq!(say(item), None);
    assert_eq!(
        say(json!({"type": "turn.completed"})),
        Some(SessionEnd::Completed)
    );
}

#[test]
fn a_usage_limit_says_when_it_ends() {
    let now = Now {
        ms: 1_795_850_348_000,
        offset_s: 0,
    };
    let mut conversation = Conversation::with("", now);
    let words = "You’ve hit your usage limit. Upgrade to Pro (https://x) or try again at 8:18 AM.";
    let failed = json!({"type": "turn.failed", "error": {"message": words}});
    let bytes = failed.to_string().into_bytes();
    conversation.line(&crate::agent::lines::Line { bytes, cut: 0 });
    let result = conversation.end(ProgramEnd::Exited(1), "");
    assert_eq!(result.end, SessionEnd::Limited);
    assert_eq!(result.limit_until_ms, Some(1_795_853_940_000));
}

proptest! {
    #[test]
    fn no_output_upsets_the_reader(output in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&output, Some(ProgramEnd::Exited(0)));
    }
}
