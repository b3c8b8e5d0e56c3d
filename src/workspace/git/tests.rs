use std::fs;
use std::path::Path;

use super::*;

fn script(dir: &Path, text: &str) -> Git {
    let path = dir.join("git");
    // The shell writes it: a file that this process has open for writing while another test forks
    // could not be executed.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"]);
    shell.arg(&path).arg(format!("#!/bin/sh\n{text}\n"));
    assert!(shell.status().expect("a shell").success());
    Git::at(path)
}

/// Writes its own and a child's process id, and then hangs.
const HANGS: &str = "sleep 300 & echo $$ $! >pids.new; mv pids.new pids; wait";

fn alive(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The state follows the name; a zombie is dead.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != Some('Z'))
}

async fn until_dead(pids: &Path) {
    let pids = fs::read_to_string(pids).expect("process ids");
    for process in pids.split_whitespace() {
        while alive(process) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let limit = Duration::from_secs(30);
    let done = async { tokio::time::timeout(limit, test).await };
    runtime.expect("a runtime").block_on(done).expect("in time");
}

#[test]
fn a_call_that_hangs_is_ended_with_its_children() {
    run(async {
        let temp = tempfile::tempdir().expect("a directory");
        let git = script(temp.path(), HANGS);
        let call = git.call("hang").arg("around").dir(temp.path());
        // Long enough for the script to note its processes on a loaded machine.
        let ended = call.limit(Duration::from_secs(1)).run().await;
        assert!(
            matches!(ended, Err(Error::TimeLimit { seconds: 1.0, .. })),
            "{ended:?}"
        );
        until_dead(&temp.path().join("pids")).await;
    });
}

#[test]
fn a_call_that_is_dropped_is_ended_with_its_children() {
    run(async {
        let temp = tempfile::tempdir().expect("a directory");
        let git = script(temp.path(), HANGS);
        let pids = temp.path().join("pids");
        let started = async {
            while !pids.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            ended = git.call("hang").dir(temp.path()).run() => panic!("{ended:?}"),
            () = started => {}
        }
        until_dead(&pids).await;
    });
}

#[test]
fn what_is_kept_of_the_output_is_bounded() {
    run(async {
        let temp = tempfile::tempdir().expect("a directory");
        let git = script(temp.path(), "head -c 9000000 /dev/zero");
        let refused = git.call("shout").arg("loudly").run().await;
        assert!(
            matches!(refused, Err(Error::OutputLimit { .. })),
            "{refused:?}"
        );
        let git = script(temp.path(), "head -c 9000000 /dev/zero >&2; exit 3");
        let output = git.call("shout").run().await.expect("it ran");
        assert_eq!((output.code, output.stderr.len()), (3, COMPLAINT_BYTES_MAX));
        let failed = git.call("shout").arg("x").ok().await.expect_err("failed");
        assert!(failed.to_string().len() < 1_200, "{failed}");
        // More input than a pipe holds, which nothing reads.
        let git = script(temp.path(), "exit 0");
        git.call("tell")
            .input(vec![b'x'; 1 << 20])
            .ok()
            .await
            .expect("it ran");
    });
}

#[test]
fn a_git_that_a_signal_ended_has_answered_nothing() {
    run(async {
        let temp = tempfile::tempdir().expect("a directory");
        for (script_text, signal) in [("kill -KILL $$", 9), ("exit 137", 9), ("kill -TERM $$", 15)]
        {
            let git = script(temp.path(), script_text);
            let ended = git.call("ask").run().await.expect_err("no answer");
            assert!(
                matches!(ended, Error::Killed { signal: by, .. } if by == signal),
                "{ended:?}"
            );
            assert!(ended.is_internal());
            let told = format!("signal {signal} killed");
            assert!(ended.to_string().contains(&told), "{ended}");
        }
    });
}

#[test]
fn a_call_that_says_nothing_for_too_long_is_ended_and_one_that_talks_is_not() {
    run(async {
        let temp = tempfile::tempdir().expect("a directory");
        let limits = |idle_ms| Limits {
            idle: Some(Duration::from_millis(idle_ms)),
            ..Limits::default()
        };
        let talks = "for i in 1 2 3 4 5 6; do sleep 0.2; echo . >&2; done";
        let git = script(temp.path(), talks).within(limits(700));
        let call = git.call("talk").work_tree(temp.path());
        call.ok().await.expect("it may take its time");
        let git = script(temp.path(), &format!("echo filter x >&2; {HANGS}")).within(limits(700));
        let call = git.call("hang").work_tree(temp.path()).arg("add");
        let ended = call.run().await.expect_err("ended");
        let told = ended.to_string();
        assert!(matches!(ended, Error::TimeLimit { .. }), "{told}");
        assert!(told.contains("`git add` hung for 0.7 s"), "{told}");
        assert!(told.contains("filter x"), "{told}");
        until_dead(&temp.path().join("pids")).await;
    });
}

#[test]
fn a_call_is_ended_with_its_children_when_it_is_not_wanted_any_more() {
    run(async {
        let temp = tempfile::tempdir().expect("a directory");
        let limits = Limits::default();
        let git = script(temp.path(), HANGS).within(limits.clone());
        let pids = temp.path().join("pids");
        let started = async {
            while !pids.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            limits.cancel.cancel();
        };
        let (ended, ()) = tokio::join!(git.call("hang").dir(temp.path()).run(), started);
        assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
        until_dead(&pids).await;
        let later = git.call("ask").run().await;
        assert!(matches!(later, Err(Error::Cancelled { .. })), "{later:?}");
    });
}

#[test]
fn time_in_which_this_process_was_stopped_does_not_count() {
    run(async {
        let temp = tempfile::tempdir().expect("a directory");
        let waits = "echo >up; until [ -e go ]; do sleep 0.01; done";
        let limits = Limits {
            idle: Some(Duration::from_secs(2)),
            ..Limits::default()
        };
        let git = script(temp.path(), waits).within(limits);
        let at = |name: &str| temp.path().join(name);
        for whole_tree in [false, true] {
            let call = git.call("wait").limit(Duration::from_secs(2));
            let call = match whole_tree {
                true => call.work_tree(temp.path()),
                false => call.dir(temp.path()),
            };
            let stopped = async {
                while !at("up").exists() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                // A stopped process, as its waiters on its only thread see it.
                std::thread::park_timeout(Duration::from_millis(3_100));
                tokio::time::sleep(Duration::from_millis(20)).await;
                fs::write(at("go"), "").expect("the gate");
            };
            let (ended, ()) = tokio::join!(call.ok(), stopped);
            ended.expect("it hung for no second of ours");
            fs::remove_file(at("up")).expect("removed");
            fs::remove_file(at("go")).expect("removed");
        }
    });
}
