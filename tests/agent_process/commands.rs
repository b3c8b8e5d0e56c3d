//! Commands with an end of their own: checks and hooks.

use std::path::PathBuf;
use std::time::Duration;

use crewlog::agent::process::{Isolation, ProcessError, alive, run_to_end};
use crewlog::model::evidence::CheckEnd;
use tokio_util::sync::CancellationToken;

use super::kit::*;

#[tokio::test]
async fn commands_run_to_their_end() {
    let run = async |script: &str, isolation| {
        run_to_end(
            command(script, "t-run", isolation),
            LIMIT,
            4096,
            &CancellationToken::new(),
        )
        .await
        .expect("started")
    };
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let finished = run("echo out; echo err >&2; echo out; exit 3", isolation).await;
        assert_eq!(finished.end, CheckEnd::Exited(3));
        assert_eq!(finished.output, "out\nerr\nout\n");
        let finished = run("cat", isolation).await;
        assert_eq!(finished.end, CheckEnd::Exited(0), "there is no input");
        assert_eq!(
            run(
                "cat /proc/$$/environ | tr '\\0' '\\n' | grep -c CREWLOG_TREE=t-run",
                isolation
            )
            .await
            .output,
            "1\n"
        );
        let long = run("yes 0123456789 | head -c 1000000; echo end", isolation).await;
        assert!(
            long.output.len() < 5000 && long.output.ends_with("end\n"),
            "{}",
            long.output.len()
        );
        assert!(long.output.contains("bytes cut"));
    }
}

/// What a program exits with says nothing of who ended it.
#[tokio::test]
async fn codes_signals_and_limits_are_told_apart() {
    use CheckEnd::{Exited, Signalled};
    // The kernel may kill somebody else at this very moment; then it is not known whose 137 it is.
    let table = [
        ("exit 124", Exited(124), Some(false)),
        ("timeout 1 sleep 5", Exited(124), Some(false)),
        ("exit 137", Exited(137), None),
        ("kill -9 $$", Signalled(9), Some(true)),
        ("sh -c 'kill -9 $$'; exit $?", Exited(137), None),
        ("kill -TERM $$", Signalled(15), Some(false)),
        ("sh -c 'kill -TERM $$'; exit $?", Exited(143), Some(false)),
    ];
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        for (script, end, killed) in table {
            let cancel = CancellationToken::new();
            let command = command(script, "t-ends", isolation);
            let finished = run_to_end(command, LIMIT, 4096, &cancel).await;
            let finished = finished.expect("started");
            assert_eq!(finished.end, end, "{script} {isolation:?}");
            if let Some(killed) = killed {
                assert_eq!(finished.killed, killed, "{script} {isolation:?}");
            }
        }
    }
}

#[tokio::test]
async fn commands_are_ended_by_limit_and_by_cancelling() {
    let word = unique();
    let script = format!("echo begun; setsid sleep {word} & exec sleep {word}");
    let finished = run_to_end(
        command(&script, "t-limit", Isolation::Auto),
        Duration::from_millis(300),
        4096,
        &CancellationToken::new(),
    )
    .await
    .expect("started");
    assert_eq!(finished.end, CheckEnd::TimedOut);
    assert!(!finished.killed, "{finished:?}");
    assert_eq!(finished.output, "begun\n");
    assert_eq!(with_word(&word), Vec::<u32>::new());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let finished = run_to_end(
        command(&script, "t-limit", Isolation::Auto),
        LIMIT,
        4096,
        &cancel,
    )
    .await
    .expect("started");
    assert!(finished.cancelled && finished.end != CheckEnd::TimedOut);
    assert_eq!(with_word(&word), Vec::<u32>::new());
}

#[tokio::test]
async fn what_cannot_be_started_is_named() {
    let cancel = CancellationToken::new();
    // Again and again: a guard that is left behind lives for a moment only.
    for _ in 0..20 {
        let mut missing = command("", "t-missing", Isolation::Auto);
        missing.program = "no-such-program-anywhere".into();
        let error = run_to_end(missing, LIMIT, 100, &cancel)
            .await
            .expect_err("no program");
        assert_eq!(alive("t-missing"), Vec::<u32>::new(), "a guard is left");
        assert!(matches!(error, ProcessError::Program { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("no-such-program-anywhere"), "{text}");
    }
    let mut nowhere = command("true", "t-missing", Isolation::Auto);
    nowhere.cwd = PathBuf::from("/no/such/directory");
    let error = run_to_end(nowhere, LIMIT, 100, &cancel)
        .await
        .expect_err("no directory");
    assert!(matches!(error, ProcessError::Guard { .. }), "{error}");
}

#[tokio::test]
async fn no_descriptor_of_the_worker_reaches_the_program() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    // As if whoever started the worker had left a socket open across exec.
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).expect("flags");
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let finished = run_to_end(
            command("exec ls -l /proc/self/fd", "t-fd", isolation),
            LIMIT,
            4096,
            &CancellationToken::new(),
        )
        .await
        .expect("started");
        assert!(finished.end.passed(), "{finished:?}");
        assert!(!finished.output.contains("socket:"), "{}", finished.output);
    }
}
