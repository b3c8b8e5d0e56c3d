//! Verbs that only read: they write nothing, whoever has the log and whatever the disk is like.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::disk::{FILL, NO_MOUNT, told, with_mounts};
use crate::kit::{AGENT, RUN, assert_passes, config, project, said, signal};
use crate::real::{PATIENCE, Project, lines, wait, wait_until};

/// Every verb that only reads. The last one is of an attempt, whose number is looked for.
const READERS: [&[&str]; 9] = [
    &["status"],
    &["status", "--format", "json"],
    &["log"],
    &["why", "1"],
    &["verify"],
    &["export"],
    &["replay"],
    &["replay", "--to", "3"],
    &["show", "1"],
];

/// Where the project's log and all that belongs to it is.
fn data(project: &Project) -> PathBuf {
    let old = project.root.join(".crewlog/data");
    if old.is_dir() {
        return old;
    }
    let all = fs::read_dir(project.root.join(".git/crewlog")).expect("the state");
    let mut dirs = all.map(|entry| entry.expect("an entry").path());
    dirs.find(|dir| dir.join("log").is_dir())
        .expect("a project's state")
}

/// The number of the first attempt.
fn attempt(project: &Project) -> String {
    let log = project.scheduler(&["export"]);
    let text = String::from_utf8_lossy(&log.stdout).into_owned();
    let started = text.lines().find(|line| line.contains("AttemptStarted"));
    let event: Value = serde_json::from_str(started.expect("one")).expect("JSON");
    format!("a{}", event["sequence"])
}

/// Everything below `top`, with what a write to it, or to its directory, would change.
fn fingerprint(top: &Path) -> BTreeMap<PathBuf, (u64, [i64; 4], Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut paths = vec![top.to_owned()];
    while let Some(path) = paths.pop() {
        let meta = fs::symlink_metadata(&path).expect("it is there");
        let mut bytes = Vec::new();
        if meta.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            paths.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if meta.is_file() {
            bytes = fs::read(&path).expect("readable");
        }
        let times = [
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ];
        let entry = (meta.ino(), times, bytes);
        found.insert(path, entry);
    }
    found
}

/// Runs every reader; all of them succeed, and nothing below the project is as it was not before.
fn assert_readers_write_nothing(project: &Project) {
    let attempt = attempt(project);
    let before = fingerprint(&project.root);
    let verbs = READERS.iter().map(|verb| verb.to_vec());
    for verb in verbs.chain([vec!["show", attempt.as_str()]]) {
        let output = project.scheduler(&verb);
        assert_eq!(output.status.code(), Some(0), "{verb:?}: {}", said(&output));
        let after = fingerprint(&project.root);
        let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
        let changed: Vec<_> = before.keys().chain(after.keys()).filter(differs).collect();
        assert!(changed.is_empty(), "{verb:?} wrote: {changed:?}");
    }
}

/// A scheduler whose agent waits for ever, so that it runs until it is ended.
fn busy(project: &Project) -> Child {
    let child = project.start(&RUN);
    wait_until("an attempt begins", || {
        let log = project.scheduler(&["export"]);
        let text = String::from_utf8_lossy(&log.stdout).into_owned();
        text.contains("AttemptStarted").then_some(())
    });
    child
}

/// Kills the scheduler, its workers and their agents.
fn kill_all(project: &Project, mut scheduler: Child) {
    // It may have ended by itself.
    let _ = scheduler.kill();
    wait(&mut scheduler);
    wait_until("every process is gone", || {
        let left = project.processes();
        for pid in left.keys().filter_map(|pid| i32::try_from(*pid).ok()) {
            let pid = Pid::from_raw(pid).expect("a process id");
            // It may be gone by now.
            let _ = kill_process(pid, Signal::KILL);
        }
        left.is_empty().then_some(())
    });
}

#[test]
fn readers_write_nothing_after_a_clean_end_and_after_a_kill() {
    let finished = project(AGENT, "", 2);
    assert_passes(&finished);
    finished.wait_for_silence();
    assert_readers_write_nothing(&finished);

    let killed = project("sleep 600", "", 2);
    let scheduler = busy(&killed);
    kill_all(&killed, scheduler);
    assert_readers_write_nothing(&killed);
}

#[test]
fn readers_answer_on_a_read_only_disk_as_on_any_other() {
    let project = project(AGENT, "", 2);
    assert_passes(&project);
    project.wait_for_silence();
    let verbs: Vec<String> = READERS.iter().map(|verb| verb.join(" ")).collect();
    let before: String = (0..)
        .zip(&verbs)
        .map(|(number, verb)| format!("b{number}=$($S {verb} 2>&1)\n"))
        .collect();
    let each: String = (0..)
        .zip(&verbs)
        .map(|(number, verb)| {
            format!(
                "a=$($S {verb} 2>&1); echo v{number}=$?
                 [ \"$a\" = \"$b{number}\" ]; echo same{number}=$?\n"
            )
        })
        .collect();
    let script = format!(
        "{before}
         mount --bind \"$PWD\" \"$PWD\" && mount -o remount,ro,bind \"$PWD\" || exit {NO_MOUNT}
         cd \"$PWD\"; touch x 2>/dev/null; echo writable=$?
         {each}"
    );
    let Some(output) = with_mounts(&project, &script) else {
        return;
    };
    assert_ne!(told(&output, "writable"), 0, "the disk is to be read-only");
    for (number, verb) in verbs.iter().enumerate() {
        let text = said(&output);
        assert_eq!(told(&output, &format!("v{number}")), 0, "{number}: {text}");
        // JSON has times that go on.
        if !verb.contains("json") {
            let same = told(&output, &format!("same{number}"));
            assert_eq!(same, 0, "{number}: {text}");
        }
    }
}

#[test]
fn readers_answer_on_a_full_disk() {
    let project = project(AGENT, "", 2);
    assert_passes(&project);
    project.wait_for_silence();
    let data = data(&project);
    let data = data.display();
    let verbs: String = (0..)
        .zip(READERS)
        .map(|(number, verb)| format!("$S {} >&2; echo v{number}=$?\n", verb.join(" ")))
        .collect();
    // A log that was closed, and one whose writer was killed.
    let script = format!(
        "cp -a {data} ../kept && mount -t tmpfs -o size=40m,mode=700 tmpfs {data} || exit {NO_MOUNT}
         cp -a ../kept/. {data}; {FILL} > {data}/filler; ls {data} > ../before
         {verbs}
         ls {data} | cmp - ../before; echo listing=$?
         dd if=/dev/zero of={data}/log/head bs=1 seek=8200 count=1 conv=notrunc 2>/dev/null
         $S status >&2; echo torn=$?; $S verify >&2; echo verified=$?"
    );
    let Some(output) = with_mounts(&project, &script) else {
        return;
    };
    let text = said(&output);
    for number in 0..READERS.len() {
        assert_eq!(told(&output, &format!("v{number}")), 0, "{number}: {text}");
    }
    for key in ["listing", "torn", "verified"] {
        assert_eq!(told(&output, key), 0, "{key}: {text}");
    }
}

#[test]
fn a_scheduler_that_has_stopped_is_named_and_the_disk_is_read() {
    let project = project("sleep 600", "", 2);
    let scheduler = busy(&project);
    signal(&scheduler, Signal::STOP);
    let pid = scheduler.id();
    for verb in READERS {
        let began = Instant::now();
        let output = project.scheduler(verb);
        let took = began.elapsed();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{verb:?}: {text}");
        // Two seconds of waiting, and what a loaded machine needs for the rest.
        assert!(took < Duration::from_secs(15), "{verb:?} took {took:?}");
        let expected = format!(
            "the scheduler (pid {pid}) does not answer; this is what is on the disk, up to event"
        );
        assert!(text.contains(&expected), "{verb:?}: {text}");
    }
    let status = project.scheduler(&["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status["from_disk"]["pid"], pid);
    assert_eq!(status["from_disk"]["why"], "silent");
    assert_eq!(status["from_disk"]["as_of"], status["sequence"]);
    // Who wants to change something learns why it cannot be.
    let paused = project.scheduler(&["pause"]);
    let text = said(&paused);
    assert_eq!(paused.status.code(), Some(5), "{text}");
    assert!(text.contains(&format!("kill -CONT {pid}")), "{text}");

    signal(&scheduler, Signal::CONT);
    let status = project.scheduler(&["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status["from_disk"], Value::Null);
    kill_all(&project, scheduler);
}

#[test]
fn a_log_without_its_lock_or_socket_is_sound_and_is_read() {
    let project = project("sleep 600", "", 2);
    let scheduler = busy(&project);
    let data = data(&project);
    for name in ["socket", "log/lock"] {
        // A scheduler may have ended when its files vanish; the log is as sound then.
        let _ = fs::remove_file(data.join(name));
        // Each waits a while for the socket.
        for verb in [&["status"][..], &["log"], &["verify"]] {
            let output = project.scheduler(verb);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(0), "{name}, {verb:?}: {text}");
            for wrong in ["damaged", "scheduler repair"] {
                assert!(!text.contains(wrong), "{name}, {verb:?}: {text}");
            }
        }
        let paused = project.scheduler(&["pause"]);
        let text = said(&paused);
        for wrong in ["damaged", "scheduler repair"] {
            assert!(!text.contains(wrong), "{name}, pause: {text}");
        }
    }
    kill_all(&project, scheduler);
}

#[test]
fn a_log_that_is_gone_is_told_by_every_verb_and_made_anew_by_none() {
    let project = project(AGENT, "", 2);
    assert_passes(&project);
    project.wait_for_silence();
    let data = data(&project);
    fs::rename(data.join("log"), data.join("elsewhere")).expect("moved");
    let others: [&[&str]; 6] = [
        &["repair"],
        &["run"],
        &["pause"],
        &["skip", "1"],
        &["import", ".crewlog/features.toml"],
        &["retry"],
    ];
    for verb in READERS.iter().chain(&others) {
        let output = project.scheduler(verb);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(6), "{verb:?}: {text}");
        assert!(
            text.contains("the project's log is missing"),
            "{verb:?}: {text}"
        );
        assert!(!data.join("log").exists(), "{verb:?} made a log");
    }
    fs::rename(data.join("elsewhere"), data.join("log")).expect("moved");
    assert_eq!(project.scheduler(&["verify"]).status.code(), Some(0));
    // A project that never had one is empty, and stays so.
    let fresh = Project::new(&config(AGENT, ""));
    let before = fingerprint(&fresh.root);
    for (verb, code) in [
        (&["status"][..], 0),
        (&["log"], 0),
        (&["verify"], 0),
        (&["repair"], 2),
    ] {
        let output = fresh.scheduler(verb);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{verb:?}: {}",
            said(&output)
        );
    }
    assert!(
        before == fingerprint(&fresh.root),
        "a reader made something"
    );
}

/// `status --watch` for a program: a line for every change. Its lines come through the channel.
fn watch(project: &Project) -> (Child, mpsc::Receiver<Value>) {
    let mut command = project.command(&["status", "--watch", "--format", "json"]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the scheduler");
    let output = child.stdout.take().expect("its output");
    let lines = lines(output, |line| serde_json::from_str(line).expect("JSON"));
    (child, lines)
}

/// The sequence of the log's last event.
fn last_event(project: &Project) -> u64 {
    let export = project.scheduler(&["export"]).stdout;
    String::from_utf8_lossy(&export).lines().count() as u64
}

#[test]
fn a_watch_follows_from_one_scheduler_to_the_next_and_ends_with_the_true_last_state() {
    let waits =
        "while [ ! -e \"$HOME/go\" ]; do sleep 0.1; done; echo done > f$CREWLOG_FEATURE.txt";
    let project = project(waits, "[workers]\norphan_limit = \"1s\"\n", 2);
    let scheduler = busy(&project);
    let (mut watch, lines) = watch(&project);
    let first = lines.recv_timeout(PATIENCE).expect("a line");
    assert!(first["live"]["pid"] == scheduler.id(), "{first}");
    // A scheduler that dies is not the run's end.
    let mut scheduler = scheduler;
    scheduler.kill().expect("killed");
    wait(&mut scheduler);
    assert!(watch.try_wait().expect("its status").is_none());
    fs::write(project.home().join("go"), "").expect("a file");
    assert_passes(&project);
    assert_eq!(wait(&mut watch), Some(0), "it ends with the run");
    let told: Vec<Value> = lines.iter().collect();
    let last = told.last().expect("lines");
    assert_eq!(last["sequence"], last_event(&project), "{last}");
    assert_eq!(last["run"]["outcome"], "all_passing", "{last}");
    assert_eq!(last["live"], Value::Null, "{last}");
    let sequences = told
        .iter()
        .map(|line| line["sequence"].as_u64().expect("a number"));
    assert!(sequences.is_sorted(), "it never goes back");
    project.wait_for_silence();
}
