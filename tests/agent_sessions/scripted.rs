//! The scripted agent, driven like any other ACP agent.

use std::path::Path;

use crewlog::agent::driver::Role;
use crewlog::agent::process::Isolation;
use crewlog::agent::{AgentEvent, Driver, Permission};
use crewlog::model::evidence::{FailureKind, SessionEnd, Usage};
use tokio::sync::mpsc;

use crate::place::Place;
use crate::support;

fn git(worktree: &Path, args: &[&str]) {
    support::git(worktree, worktree, args);
}

#[tokio::test]
async fn a_script_is_played_through() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let mut place = Place::new();
        place.isolation = isolation;
        let wt = place.path("wt");
        git(&wt, &["init", "-q"]);
        std::fs::write(wt.join("greeting"), "hello\n").expect("written");
        let patch = "--- a/greeting\n+++ b/greeting\n@@ -1 +1 @@\n-hello\n+hello, world\n";
        std::fs::write(place.path("scripts/05.patch"), patch).expect("written");
        let tool = place.path("scripts/tool.sh");
        std::fs::write(&tool, "#!/bin/sh\necho tool\n").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&tool, mode).expect("mode");
        place.steps(
            r#"{ say = "I begin" }, { think = "hm" }, { patch = "05.patch" },
               { write = "bin/tool.sh", from = "tool.sh" }, { write = "a.txt", text = "text" },
               { run = "./bin/tool.sh; echo oops >&2; exit 3" }, { pause_ms = 10 },
               { usage = { input_tokens = 1000, output_tokens = 200, cost_microusd = 1500 } },
               { usage = { input_tokens = 1, output_tokens = 2, cost_microusd = 3 } },
               { judge = "grep -q world greeting" }"#,
        );
        let played = place.scripted().await;
        assert_eq!(
            played.result.end,
            SessionEnd::Completed,
            "{:?}",
            played.result
        );
        assert_eq!(
            played.result.exit_code,
            Some(0),
            "it exits when its input ends"
        );
        let usage = Usage {
            input_tokens: 1001,
            output_tokens: 202,
            cost_microusd: 1503,
        };
        assert_eq!(played.result.usage, usage);
        assert_eq!(place.text("wt/greeting"), "hello, world\n");
        assert_eq!(place.text("wt/a.txt"), "text");
        let mode = std::fs::metadata(place.path("wt/bin/tool.sh"))
            .expect("file")
            .permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o755
        );
        let verdict: serde_json::Value =
            serde_json::from_str(&place.text("verdict.json")).expect("JSON");
        assert_eq!(
            verdict,
            serde_json::json!({"feature": 5, "verdict": "pass"})
        );
        assert!(played.said("I begin"));
        assert!(played.has(|event| matches!(
            event,
            AgentEvent::Text {
                role: Role::Thought,
                ..
            }
        )));
        let failed = |event: &AgentEvent| matches!(event, AgentEvent::ToolEnd { ok: false, output, .. } if output.starts_with("tool\n"));
        assert!(played.has(failed), "{:?}", played.events);
        let transcript = place.transcript();
        assert!(transcript.contains("the prompt") && transcript.contains("I begin"));
    }
}

#[tokio::test]
async fn a_script_ends_its_turn_as_it_says() {
    let table = [
        ("refusal", SessionEnd::Refused),
        ("max_tokens", SessionEnd::TurnOrBudgetCap),
        ("max_turn_requests", SessionEnd::TurnOrBudgetCap),
        ("cancelled", SessionEnd::Cancelled),
    ];
    let place = Place::new();
    for (reason, end) in table {
        place.steps(&format!(
            "{{ stop_reason = \"{reason}\" }}, {{ say = \"not said\" }}"
        ));
        let played = place.scripted().await;
        assert_eq!(played.result.end, end, "{reason}");
        assert_eq!(played.result.failure, None);
        assert!(!played.said("not said"));
    }
}

#[tokio::test]
async fn verdicts_are_written_for_every_feature() {
    let place = Place::new();
    let verdict =
        || serde_json::from_str::<serde_json::Value>(&place.text("verdict.json")).expect("JSON");
    place.steps("{ ask = \"which?\" }");
    place.scripted().await;
    assert_eq!(
        verdict(),
        serde_json::json!({"feature": 5, "verdict": "input", "question": "which?"})
    );
    place.job(r#"{"kind": "testing", "features": [{"id": 5}, {"id": 6}]}"#);
    place.script("[[test]]\nsteps = [{ judge = \"echo first; echo second; false\" }]");
    std::fs::write(
        place.path("scripts/6.toml"),
        "[[test]]\nsteps = [{ give_up = \"no\" }]",
    )
    .expect("written");
    place.scripted().await;
    let expected = serde_json::json!([
        {"feature": 5, "verdict": "fail", "reason": "first\nsecond"},
        {"feature": 6, "verdict": "fail", "reason": "no"},
    ]);
    assert_eq!(verdict(), expected);
}

#[tokio::test]
async fn what_is_not_permitted_is_not_run() {
    let mut place = Place::new();
    place.permission = Permission::Deny;
    place.steps("{ run = \"touch done\" }, { say = \"after\" }");
    let played = place.scripted().await;
    assert_eq!(played.result.end, SessionEnd::Completed);
    assert!(!place.path("wt/done").exists());
    assert!(
        played.has(|event| matches!(event, AgentEvent::Denied { what } if what == "touch done"))
    );
    assert!(played.said("after"));
}

#[tokio::test]
async fn a_hang_is_ended_by_the_idle_limit() {
    for (step, isolation) in [
        ("hang", Isolation::Auto),
        ("hang_detached", Isolation::Auto),
        ("hang_detached", Isolation::Subreaper),
    ] {
        let mut place = Place::new();
        place.isolation = isolation;
        place.limits.idle_ms = 400;
        place.limits.grace_ms = 100;
        place.steps(&format!(
            "{{ usage = {{ input_tokens = 7 }} }}, {{ say = \"soon silent\" }}, {{ {step} = true }}, {{ say = \"never\" }}"
        ));
        let played = place.scripted().await;
        assert_eq!(
            played.result.failure,
            Some(FailureKind::IdleLimit),
            "{:?}",
            played.result
        );
        assert_eq!(played.result.failure_kind(), Some(FailureKind::IdleLimit));
        let answered = played.result.usage.input_tokens;
        assert_eq!(answered, 0, "it heard that it was to stop, and answered");
        assert!(played.said("soon silent") && !played.said("never"));
        assert!(
            played.result.reason.contains("400 ms"),
            "{}",
            played.result.reason
        );
    }
}

#[tokio::test]
async fn a_crash_leaves_half_a_file_and_is_a_crash() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let mut place = Place::new();
        place.isolation = isolation;
        place.steps("{ say = \"writing\" }, { crash_writing = \"lib/x.sh\", text = \"12345678\" }");
        let played = place.scripted().await;
        assert_eq!(
            played.result.end,
            SessionEnd::Crashed,
            "{:?}",
            played.result
        );
        assert_eq!(played.result.exit_code, Some(128 + 6));
        assert_eq!(place.text("wt/lib/x.sh"), "1234");
        assert!(played.said("writing"));
        let files = std::fs::read_dir(place.path("wt"))
            .expect("worktree")
            .count();
        assert_eq!(files, 1, "no core file");
    }
}

#[tokio::test]
async fn a_cancelled_session_stops_politely() {
    for step in ["{ pause_ms = 60000 }", "{ run = \"sleep 60\" }"] {
        let place = Place::new();
        place.steps(&format!("{{ usage = {{ input_tokens = 7 }} }}, {{ say = \"go\" }}, {step}, {{ say = \"never\" }}"));
        let cancel = place.cancel.clone();
        let tool = step.contains("run");
        let driver = place.scripted_driver();
        let played = place
            .run_watched(&driver, |event| match event {
                AgentEvent::ToolStart { .. } if tool => cancel.cancel(),
                AgentEvent::Text { text, .. } if !tool && text == "go" => cancel.cancel(),
                _ => {}
            })
            .await;
        assert_eq!(
            played.result.end,
            SessionEnd::Cancelled,
            "{:?}",
            played.result
        );
        assert_eq!(played.result.failure_kind(), None);
        assert_eq!(
            played.result.usage.input_tokens, 7,
            "its last words were heard"
        );
        assert!(!played.said("never"));
    }
}

#[tokio::test]
async fn too_many_steps_or_too_much_time_end_a_session() {
    let mut place = Place::new();
    place.limits.steps_max = 2;
    let writes = "{ write = \"x\", text = \"\" }, ".repeat(3);
    place.steps(&format!("{writes} {{ pause_ms = 60000 }}"));
    let played = place.scripted().await;
    assert_eq!(
        played.result.failure_kind(),
        Some(FailureKind::StepLimit),
        "{:?}",
        played.result
    );
    place.limits.steps_max = 3;
    place.steps(&writes);
    assert_eq!(place.scripted().await.result.failure_kind(), None);
    place.limits.time_ms = 500;
    place.steps(&"{ pause_ms = 100 }, { say = \"busy\" }, ".repeat(100));
    let played = place.scripted().await;
    assert_eq!(
        played.result.failure_kind(),
        Some(FailureKind::TimeLimit),
        "{:?}",
        played.result
    );
    assert!(played.said("busy"));
}

#[tokio::test]
async fn bad_scripts_and_jobs_are_clear_errors() {
    let place = Place::new();
    let expect = async |words: &[&str]| {
        let played = place.scripted().await;
        assert_eq!(
            played.result.end,
            SessionEnd::Crashed,
            "{:?}",
            played.result
        );
        for word in words {
            assert!(
                played.result.reason.contains(word),
                "{word}: {}",
                played.result.reason
            );
        }
        let first = words.first().copied().unwrap_or_default();
        let transcript = place.transcript();
        let complaint = |row: &str| row.contains("\"stream\":\"err\"") && row.contains(first);
        assert!(
            transcript.lines().any(complaint),
            "not on standard error: {first}"
        );
    };
    expect(&["5.toml", "No such file"]).await;
    place.script("[[attempt]]\nsteps = [{ dance = 1 }]");
    expect(&["5.toml"]).await;
    place.script("[[test]]\nsteps = []");
    expect(&["feature 5", "[[attempt]]"]).await;
    place.steps("{ patch = \"none.patch\" }");
    expect(&["git apply", "none.patch"]).await;
    place.job("{\"kind\": \"dancing\"}");
    expect(&["job.json"]).await;
}

#[tokio::test]
async fn watchers_that_are_gone_do_not_end_a_session() {
    let place = Place::new();
    place.steps("{ say = \"to nobody\" }, { write = \"x\", text = \"y\" }");
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let result = place.scripted_driver().run(place.session(), sender).await;
    assert_eq!(result.end, SessionEnd::Completed, "{result:?}");
    assert_eq!(place.text("wt/x"), "y");
}
