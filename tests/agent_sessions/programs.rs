//! Shell programs, as commands and as agents that do not speak ACP well.

use crewlog::agent::{AcpDriver, AcpSettings, AgentEvent, CommandDriver, Driver};
use crewlog::model::evidence::{FailureKind, SessionEnd};
use crewlog::model::trouble::TroubleKind;
use tokio::sync::mpsc;

use crate::place::Place;

#[tokio::test]
async fn agents_that_end_without_a_terminal_event_have_failed() {
    let place = Place::new();
    let end = async |script: &str| place.acp_shell(script).await.result;
    let result = end("exit 0").await;
    assert_eq!(result.end, SessionEnd::NoTerminalEvent, "{result:?}");
    let result = end("echo done; read line; exit 0").await;
    assert_eq!(result.end, SessionEnd::NoTerminalEvent, "{result:?}");
    let result = end("echo why >&2; exit 3").await;
    assert_eq!(
        (result.end, result.exit_code),
        (SessionEnd::Crashed, Some(3))
    );
    assert!(result.reason.contains("why"), "{}", result.reason);
    let result = end("kill -KILL $$").await;
    assert_eq!(
        (result.end, result.exit_code),
        (SessionEnd::Crashed, Some(137))
    );
    let result = end("exec >&-; sleep 60").await;
    assert_eq!(
        result.end,
        SessionEnd::NoTerminalEvent,
        "a closed output is the end: {result:?}"
    );
}

#[tokio::test]
async fn a_chatty_agent_that_never_speaks_acp_is_bounded() {
    let mut place = Place::new();
    place.limits.time_ms = 1_000;
    place.limits.grace_ms = 100;
    let played = place.acp_shell("exec yes 'this is no message'").await;
    assert_eq!(played.result.failure_kind(), Some(FailureKind::TimeLimit));
    assert!(played.has(|event| matches!(event, AgentEvent::Raw { .. })));
}

#[tokio::test]
async fn programs_that_cannot_start_are_the_machines_trouble() {
    let place = Place::new();
    let acp = AcpDriver::new("no-such-agent", Vec::new(), AcpSettings::default()).expect("driver");
    let command = CommandDriver::new("no-such-agent", Vec::new(), "").expect("driver");
    let drivers: [&dyn Driver; 2] = [&acp, &command];
    for driver in drivers {
        let played = place.run(driver).await;
        let missing = FailureKind::Trouble(TroubleKind::Program);
        assert_eq!(played.result.failure_kind(), Some(missing));
        assert!(
            played.result.reason.contains("no-such-agent"),
            "{}",
            played.result.reason
        );
    }
    let error = CommandDriver::new("x", vec!["{nope}".into()], "").expect_err("unknown");
    assert!(error.to_string().contains("{nope}"));
}

#[tokio::test]
async fn a_command_gets_its_job_in_every_form() {
    let place = Place::new();
    let script = "cat; echo; echo $1 $2 $3; cat $4; echo; pwd; test -n \"$CREWLOG_JOB\"";
    let args = [
        "-c",
        script,
        "sh",
        "{feature}",
        "{attempt}",
        "<{model}>",
        "{prompt_file}",
    ];
    let args = args.map(String::from).to_vec();
    let driver = CommandDriver::new("sh", args, "m-1").expect("driver");
    let played = place.run(&driver).await;
    assert_eq!(
        played.result.end,
        SessionEnd::Completed,
        "{:?}",
        played.result
    );
    let texts: Vec<&str> = played
        .events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Text { text, .. } => text.strip_suffix('\n'),
            _ => None,
        })
        .collect();
    let wt = place.path("wt").display().to_string();
    assert_eq!(texts, ["the prompt", "5 123 <m-1>", "the prompt", &wt]);
    assert!(
        matches!(&played.events[0], AgentEvent::Started { model: Some(model), .. } if model == "m-1")
    );
}

#[tokio::test]
async fn a_command_ends_as_its_exit_code_says() {
    let place = Place::new();
    let run = async |script: &str| place.shell(script).await.result;
    assert_eq!(run("exit 0").await.end, SessionEnd::Completed);
    let result = run("echo broken >&2; exit 9").await;
    assert_eq!(
        (result.end, result.exit_code),
        (SessionEnd::Crashed, Some(9))
    );
    assert!(result.reason.contains("broken"), "{}", result.reason);
    let result = run("kill -SEGV $$").await;
    assert_eq!(
        (result.end, result.exit_code),
        (SessionEnd::Crashed, Some(128 + 11))
    );
    // A child that holds the output open does not hold the session.
    assert_eq!(
        run("setsid sleep 60 & exit 0").await.end,
        SessionEnd::Completed
    );
}

#[tokio::test]
async fn a_command_is_ended_by_its_limits_and_by_cancelling() {
    let mut place = Place::new();
    place.limits.idle_ms = 300;
    let played = place.shell("echo begun; setsid sleep 60 & sleep 60").await;
    assert_eq!(played.result.failure_kind(), Some(FailureKind::IdleLimit));
    assert!(played.said("begun"));
    let result = place
        .shell("while :; do echo err >&2; sleep 0.05; done")
        .await
        .result;
    assert_eq!(
        result.failure_kind(),
        Some(FailureKind::IdleLimit),
        "complaints are no activity"
    );
    place.limits.idle_ms = 15_000;
    place.limits.time_ms = 400;
    let result = place
        .shell("while :; do echo busy; sleep 0.05; done")
        .await
        .result;
    assert_eq!(result.failure_kind(), Some(FailureKind::TimeLimit));
    place.limits.time_ms = 15_000;
    place.cancel.cancel();
    let result = place.shell("sleep 60").await.result;
    assert_eq!(
        (result.end, result.failure_kind()),
        (SessionEnd::Cancelled, None)
    );
}

#[tokio::test]
async fn a_command_may_ignore_a_long_prompt_and_write_long_lines() {
    let place = Place::new();
    let mut session = place.session();
    // More than a pipe holds.
    session.prompt = "x".repeat(1_000_000);
    let args = ["-c", "head -c 3000000 /dev/zero | tr '\\0' y; exit 0"];
    let driver = CommandDriver::new("sh", args.map(String::from).to_vec(), "").expect("driver");
    let (sender, mut receiver) = mpsc::channel(10);
    let result = driver.run(session, sender).await;
    assert_eq!(result.end, SessionEnd::Completed, "{result:?}");
    while let Some(event) = receiver.recv().await {
        if let AgentEvent::Text { text, .. } = event {
            assert!(text.len() <= AgentEvent::TEXT_BYTES_MAX + "…\n".len());
        }
    }
    let cut = place
        .transcript()
        .lines()
        .any(|row| row.contains("\"cut\":1951424"));
    assert!(cut, "3,000,000 bytes less 1 MiB");
}
