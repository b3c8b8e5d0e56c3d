//! A worker in a real repository with a shell script as its agent, against a scheduler that says
//! what the test wants.

mod ends;
mod hangs;
mod ignored;
mod texts;
#[path = "../worker_support/mod.rs"]
mod worker_support;

use std::fs;
use std::sync::Arc;

use crewlog::model::evidence::{Basis, CheckEnd, FailureKind};
use crewlog::model::ids::{AttemptId, FeatureId};
use crewlog::model::report::{Mergeable, Report, TestVerdict};
use crewlog::model::settings::WorkerKind;
use crewlog::model::trouble::TroubleKind;
use crewlog::protocol::{SchedulerMessage, Verdict, WorkerMessage};
use crewlog::worker::{Config, Exit, launch};
use tokio::io::AsyncWriteExt;

use worker_support::{BRANCH, Project, Scheduler, feature, lives, only_agent, until};

fn mergeable(report: Report) -> Mergeable {
    match report {
        Report::Mergeable(mergeable) => mergeable,
        other => panic!("not mergeable: {other:?}"),
    }
}

/// The kind and the reason of the one failure of feature 5.
fn failed(report: Report) -> (FailureKind, String) {
    match report {
        Report::Failed { mut failures, .. } => {
            assert_eq!(failures.len(), 1);
            let (feature, failure) = failures.remove(0);
            assert_eq!(feature, FeatureId(5));
            (failure.kind, failure.reason)
        }
        Report::Troubled(trouble) => (FailureKind::Trouble(trouble.kind), trouble.reason),
        other => panic!("not failed: {other:?}"),
    }
}

#[tokio::test]
async fn work_is_committed_checked_reported_and_cleaned_up() {
    let agent = r#"
        test "$CREWLOG_FEATURE" = 5 || exit 1
        test "$CREWLOG_ATTEMPT" = 7 || exit 2
        test "$CREWLOG_WORKTREE" = "$PWD" || exit 3
        test -z "$SECRET_OF_THE_TEST" || exit 4
        grep -q '"feature 5"' "$CREWLOG_JOB" || exit 5
        grep -q 'Feature #5: feature 5' "$CREWLOG_PROMPT" || exit 6
        cat | cmp - "$CREWLOG_PROMPT" || exit 7
        test -d "$TMPDIR" && echo x >"$TMPDIR/scratch" || exit 8
        test "$FROM_HOOK" = "" || exit 9
        echo "$CREWLOG_PORT" >new.txt
    "#;
    let mut project = Project::new(agent);
    project.config.hooks.after_create = "echo created >>$TMPDIR/hooks".to_owned();
    project.config.hooks.before_run = "echo before >>$TMPDIR/hooks".to_owned();
    project.config.hooks.after_run = "echo after >>$TMPDIR/hooks".to_owned();
    project.config.hooks.before_remove = format!(
        "echo remove >>$TMPDIR/hooks; cp $TMPDIR/hooks {}",
        project.root().display()
    );
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    let base = project.commit_id(BRANCH);
    let checks = ["echo checking; cat new.txt", "test -s base.txt"];
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &checks)]))
        .await;
    let (command, report, _) = peer.report().await;
    let work = mergeable(report);
    assert_eq!(work.onto, base);
    assert_eq!(work.touched, ["new.txt"]);
    let [(FeatureId(5), evidence)] = work.evidence.as_slice() else {
        panic!("{work:?}");
    };
    assert_eq!(evidence.basis, Basis::Checks);
    assert_eq!(evidence.commit, work.commit);
    let tree = format!("{}^{{tree}}", work.commit);
    assert_eq!(evidence.tree, project.commit_id(&tree));
    assert_eq!(evidence.checks.len(), 2);
    let output = project.outputs.text(&evidence.checks[0].output);
    let port = output.strip_prefix("checking\n").map(str::trim_end);
    let port: u16 = port.and_then(|it| it.parse().ok()).expect("a port");
    assert!(port >= 21_000 && port.is_multiple_of(10), "{port}");
    let message = project.git(&["log", "-1", "--format=%B", work.commit.as_str()]);
    assert!(message.starts_with("feature 5\n"), "{message}");
    assert!(message.contains("Crewlog-Feature: #5"), "{message}");
    assert!(message.contains("Crewlog-Attempt: 7"), "{message}");
    // Until the answer, the result is in the spool and the work where it was.
    let spooled = crewlog::worker::spool::read(&project.config.places.data, AttemptId(7));
    assert_eq!(spooled.map(|spooled| spooled.command), Some(command));
    peer.reported(command, Verdict::Passed).await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready);
    let hooks = fs::read_to_string(project.root().join("hooks")).expect("hooks");
    assert_eq!(hooks, "created\nbefore\nafter\ncreated\nremove\n");
    let transcript = project.root().join("data/transcripts/7.jsonl.zst");
    assert!(transcript.exists());
    project.assert_clean();
    peer.stop().await;
    assert!(matches!(peer.hear().await, WorkerMessage::Leaving { .. }));
    assert!(worker.has_said("joined as worker-1"));
    assert!(worker.has_said("#5 feature 5: PASS"));
    assert_eq!(worker.exit().await, Exit::Stopped);
}

#[tokio::test]
async fn a_check_decides_whatever_the_agent_says() {
    let agent = r#"
        echo half >new.txt
        echo '{"verdict": "pass"}' >"$CREWLOG_VERDICT"
    "#;
    let project = Project::new(agent);
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    let checks = ["true", "echo '3 of 4 failed'; exit 3", "touch never"];
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &checks)]))
        .await;
    let (command, report, _) = peer.report().await;
    let Report::Failed { failures, .. } = &report else {
        panic!("{report:?}");
    };
    let ends: Vec<_> = failures[0].1.checks.iter().map(|run| run.end).collect();
    let expected = [CheckEnd::Exited(0), CheckEnd::Exited(3)];
    assert_eq!(ends, expected, "the first failure ends it");
    let (kind, reason) = failed(report);
    assert_eq!(kind, FailureKind::CheckFailed);
    assert!(reason.contains("exited with 3: 3 of 4 failed"), "{reason}");
    // The work is kept for whoever wants to look.
    let kept = project.git(&["show", "refs/crewlog/preserved/7:new.txt"]);
    assert_eq!(kept, "half");
    peer.reported(command, Verdict::Recorded).await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready);
    project.assert_clean();
    peer.stop().await;
    worker.exit().await;
}

#[tokio::test]
async fn the_work_follows_the_head_until_it_conflicts() {
    let project = Project::new("sed 's/two/2/' base.txt >tmp && mv tmp base.txt");
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    let checks = ["test ! -e other.txt -o -s other.txt"];
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &checks)]))
        .await;
    let (first, report, _) = peer.report().await;
    mergeable(report);
    let onto = project.merge_file("other.txt", "somebody else's\n");
    let attempt = AttemptId(7);
    let order = SchedulerMessage::Rebase {
        command: first,
        attempt,
        onto: onto.clone(),
    };
    peer.say(order).await;
    let (second, report, _) = peer.report().await;
    assert_ne!(first, second);
    let work = mergeable(report);
    assert_eq!(work.onto, onto);
    assert_eq!(work.touched, ["base.txt"]);
    let parent = format!("{}^", work.commit);
    assert_eq!(project.commit_id(&parent), onto);
    let onto = project.merge_file("base.txt", "one\nzwei\nthree\n");
    peer.say(SchedulerMessage::Rebase {
        command: second,
        attempt,
        onto,
    })
    .await;
    let (third, report, _) = peer.report().await;
    let (kind, reason) = failed(report);
    assert_eq!(kind, FailureKind::Conflict);
    assert!(reason.contains("base.txt"), "{reason}");
    peer.reported(third, Verdict::Recorded).await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready);
    project.assert_clean();
    peer.stop().await;
    worker.exit().await;
}

#[tokio::test]
async fn ends_of_sessions_and_hooks_have_their_names() {
    let provider = FailureKind::Trouble(TroubleKind::Provider);
    let crashed = FailureKind::AgentCrashed;
    // Agent, hook before_run, kind of failure, words.
    let table = [
        // One that has done nothing says nothing about the feature.
        (
            "exit 3",
            "",
            provider,
            "anything: the program exited with 3",
        ),
        ("kill -9 $$", "", provider, "signal 9"),
        ("echo x >f; exit 3", "", crashed, "exited with 3"),
        ("echo x >f; kill -9 $$", "", crashed, "signal 9"),
        (
            r#"echo '{"verdict": "fail", "reason": "no network"}' >"$CREWLOG_VERDICT""#,
            "",
            FailureKind::AgentGaveUp,
            "no network",
        ),
        (
            r#"echo nonsense >"$CREWLOG_VERDICT""#,
            "",
            FailureKind::AgentGaveUp,
            "verdict could not be read",
        ),
        (
            "true",
            "echo missing tool; exit 9",
            FailureKind::Trouble(TroubleKind::Hook),
            "before_run exited with 9: missing tool",
        ),
        (
            "true",
            "sleep 100",
            FailureKind::Trouble(TroubleKind::Hook),
            "longer than",
        ),
    ];
    for (agent, hook, expected, words) in table {
        let mut project = Project::new(agent);
        project.config.hooks.before_run = hook.to_owned();
        project.config.hooks.limit_ms = if hook.starts_with("sleep") {
            300
        } else {
            60_000
        };
        let scheduler = Scheduler::bind(&project);
        let worker = project.worker(WorkerKind::Coding);
        let mut peer = scheduler.ready().await;
        peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &[])]))
            .await;
        let (command, report, _) = peer.report().await;
        let (kind, reason) = failed(report);
        assert_eq!(kind, expected, "{agent} {hook}: {reason}");
        assert!(reason.contains(words), "{agent} {hook}: {reason}");
        peer.reported(command, Verdict::Recorded).await;
        assert_eq!(peer.hear().await, WorkerMessage::Ready);
        project.assert_clean();
        peer.stop().await;
        worker.exit().await;
    }
}

#[tokio::test]
async fn a_hang_is_ended_with_everything_it_started() {
    let project = Project::new("");
    let marker = project.root().join("marker-of-a-hang");
    let marker = marker.display().to_string();
    let hang = format!("echo partly >new.txt; setsid sh -c 'sleep 1000; : {marker}' & sleep 1000");
    fs::write(project.root().join("agent.sh"), hang).expect("a script");
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    let mut offer = project.offer(WorkerKind::Coding, vec![feature(5, &[])]);
    offer.settings.idle_limit_ms = 1_000;
    peer.job(offer).await;
    until("the agent's child runs", || lives(&marker)).await;
    let (command, report, _) = peer.report().await;
    assert_eq!(failed(report).0, FailureKind::IdleLimit);
    assert!(!lives(&marker), "dead before it is reported");
    let kept = project.git(&["show", "refs/crewlog/preserved/7:new.txt"]);
    assert_eq!(kept, "partly");
    peer.reported(command, Verdict::Recorded).await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready);
    project.assert_clean();
    peer.stop().await;
    worker.exit().await;
}

#[tokio::test]
async fn a_session_survives_the_scheduler_and_its_report_is_repeated() {
    let agent = "echo waiting; while ! test -e \"$(dirname \"$0\")/go\"; do sleep 0.05; done; echo x >new.txt";
    let project = Project::new(agent);
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &["test -s new.txt"])]))
        .await;
    peer.progress("waiting").await;
    drop(peer);
    drop(scheduler);
    until("it is noticed", || {
        worker.has_said("disconnected from the scheduler")
    })
    .await;
    let scheduler = Scheduler::bind(&project);
    let (mut peer, holding) = scheduler.welcome(true).await;
    let holding = holding.expect("it holds its attempt");
    assert_eq!(holding.attempt, AttemptId(7));
    assert_eq!(holding.acknowledged.0, 7);
    fs::write(project.root().join("go"), "").expect("a file");
    let (command, report, _) = peer.report().await;
    // Gone again, before it could answer.
    drop(peer);
    let (mut peer, holding) = scheduler.welcome(false).await;
    assert_eq!(holding.map(|holding| holding.attempt), Some(AttemptId(7)));
    let again = peer.report().await;
    assert_eq!((command, report), (again.0, again.1));
    peer.reported(command, Verdict::Late).await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready);
    let kept = project.git(&["show", "refs/crewlog/preserved/7:new.txt"]);
    assert_eq!(kept, "x", "late work is kept");
    project.assert_clean();
    peer.stop().await;
    worker.exit().await;
}

#[tokio::test]
async fn a_stop_gives_the_job_back_and_a_cancel_goes_on() {
    let project = Project::new("echo begun; echo partly >new.txt; sleep 1000");
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Coding);
    let mut peer = scheduler.ready().await;
    for stop in [false, true] {
        peer.job(project.offer(WorkerKind::Coding, vec![feature(5, &[])]))
            .await;
        peer.progress("begun").await;
        if stop {
            peer.stop().await;
        } else {
            peer.say(SchedulerMessage::Cancel {
                attempt: AttemptId(7),
                reason: "skipped".into(),
            })
            .await;
        }
        let (command, report, _) = peer.report().await;
        assert!(matches!(report, Report::Released { .. }), "{report:?}");
        peer.reported(command, Verdict::Recorded).await;
        let after = peer.hear().await;
        match stop {
            false => assert_eq!(after, WorkerMessage::Ready),
            true => assert!(matches!(after, WorkerMessage::Leaving { .. })),
        }
        project.assert_clean();
    }
    assert_eq!(worker.exit().await, Exit::Stopped);
}

#[tokio::test]
async fn a_test_runs_checks_and_asks_an_agent_about_the_rest() {
    let agent = r#"
        test "$CREWLOG_FEATURES" = 6 || exit 1
        echo changed >base.txt
        echo '{"verdict": "fail", "reason": "it prints nothing"}' >"$CREWLOG_VERDICT"
    "#;
    let project = Project::new(agent);
    let scheduler = Scheduler::bind(&project);
    let worker = project.worker(WorkerKind::Testing);
    let mut peer = scheduler.ready().await;
    let features = vec![
        feature(5, &["grep -q two base.txt"]),
        feature(6, &[]),
        feature(8, &["exit 4"]),
    ];
    let base = project.commit_id(BRANCH);
    peer.job(project.offer(WorkerKind::Testing, features)).await;
    let (command, report, _) = peer.report().await;
    let Report::Tested { verdicts, .. } = report else {
        panic!("{report:?}");
    };
    let [
        (FeatureId(5), TestVerdict::Passed(evidence)),
        (FeatureId(6), TestVerdict::Broken(word)),
        (FeatureId(8), TestVerdict::Broken(check)),
    ] = verdicts.as_slice()
    else {
        panic!("{verdicts:?}");
    };
    assert_eq!((evidence.basis, &evidence.commit), (Basis::Checks, &base));
    assert_eq!(word.reason, "it prints nothing");
    assert!(check.reason.contains("exited with 4"), "{}", check.reason);
    peer.reported(command, Verdict::Recorded).await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready);
    assert_eq!(
        project.git(&["for-each-ref", "refs/crewlog"]),
        "",
        "nothing is kept"
    );
    assert_eq!(project.commit_id(BRANCH), base);
    project.assert_clean();
    peer.stop().await;
    worker.exit().await;
}

#[tokio::test]
async fn what_is_no_scheduler_is_told_and_tried_again() {
    let mut project = Project::new("true");
    // Longer than the address of a socket may be.
    let deep = project.root().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).expect("a directory");
    project.config.places.socket = deep.join("s.sock");
    let elsewhere = project.root().join("s.sock");
    let listener = tokio::net::UnixListener::bind(&elsewhere).expect("a socket");
    drop(listener);
    fs::rename(&elsewhere, &project.config.places.socket).expect("a stale socket");
    let worker = project.worker(WorkerKind::Coding);
    until("nobody listens", || {
        worker.has_said("no scheduler is running")
    })
    .await;
    fs::remove_file(&project.config.places.socket).expect("removed");
    project.config.places.socket = elsewhere;
    let scheduler = Scheduler::bind(&project);
    fs::rename(project.root().join("s.sock"), deep.join("s.sock")).expect("moved");
    for first_bytes in [
        b"HTTP/1.1".to_vec(),
        b"CREW\xff\xff\x03\x00".to_vec(),
        vec![],
    ] {
        let mut stream = scheduler.accept_raw().await;
        stream.write_all(&first_bytes).await.expect("sent");
    }
    let mut peer = scheduler.ready().await;
    // A frame that is none: the worker starts over.
    peer.job(project.offer(WorkerKind::Testing, Vec::new()))
        .await;
    let (command, report, _) = peer.report().await;
    assert!(
        matches!(report, Report::Released { .. }),
        "a job for others"
    );
    peer.reported(command, Verdict::Recorded).await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready);
    project.assert_clean();
    peer.stop().await;
    assert_eq!(worker.exit().await, Exit::Stopped);
}

#[tokio::test]
async fn a_worker_that_cannot_work_does_not_begin() {
    type Break = fn(&Project, &mut Config);
    let table: [(&str, Break); 5] = [
        ("agent.program", |_, config| {
            only_agent(config).program.clear()
        }),
        ("unknown placeholder {nope}", |_, config| {
            only_agent(config).args = vec!["{nope}".to_owned()];
        }),
        ("unknown placeholder {{nope}}", |project, config| {
            fs::write(project.path("mine.md"), "\n{{nope}}").expect("a file");
            config.prompts.coding = Some("mine.md".into());
        }),
        ("No such file", |_, config| {
            config.prompts.coding = Some("missing.md".into());
        }),
        ("not in a git repository", |project, config| {
            config.places.project = project.root().to_owned();
        }),
    ];
    for (words, damage) in table {
        let project = Project::new("true");
        let mut config = project.config.clone();
        damage(&project, &mut config);
        let outputs = project.outputs.clone();
        let kind = WorkerKind::Coding;
        let launched = worker_support::launch_of(config, kind, outputs, Arc::default());
        let error = launch(launched).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_prompt_of_ones_own_and_another_socket() {
    let mut project = Project::new("cat >new.txt");
    fs::write(project.path("mine.md"), "Do {{first_feature}} well.").expect("a file");
    project.config.prompts.coding = Some("mine.md".into());
    let scheduler = Scheduler::bind(&project);
    let socket = std::mem::take(&mut project.config.places.socket);
    let (config, outputs) = (project.config.clone(), project.outputs.clone());
    let kind = WorkerKind::Coding;
    let mut launched = worker_support::launch_of(config, kind, outputs, Arc::default());
    launched.connect = Some(socket);
    let worker = tokio::spawn(async move { launch(launched).await.expect("a worker") });
    let mut peer = scheduler.ready().await;
    peer.job(project.offer(kind, vec![feature(5, &["grep -x 'Do 5 well.' new.txt"])]))
        .await;
    let (command, report, _) = peer.report().await;
    mergeable(report);
    peer.reported(command, Verdict::Passed).await;
    assert_eq!(peer.hear().await, WorkerMessage::Ready);
    peer.stop().await;
    assert_eq!(worker.await.expect("no panic"), Exit::Stopped);
}
