//! `verify` and `repair` on a damaged log, from outside, and the run that goes on from what is left.

mod real;

use std::fs;
use std::path::{Path, PathBuf};

use crewlog::model::actor::Actor;
use crewlog::model::event::{FeatureParked, Recorded};
use crewlog::model::ids::{CommandId, FeatureId, Timestamp};
use crewlog::queue::log::EventLog;
use crewlog::queue::{OpenOptions, SledLog};
use real::Project;
use serde_json::Value;

const CONFIG: &str = "[run]\nbranch = \"test\"\nretry_backoff = \"10ms\"\n\
    [agent]\ndriver = \"command\"\nprogram = \"sh\"\n\
    args = [\"-c\", 'echo \"$CREWLOG_ATTEMPT\" > \"f$CREWLOG_FEATURE.txt\"']\n";

const RUN: [&str; 3] = ["run", "--workers", "coding=2,testing=1"];

/// A project with a finished run of four features.
fn worked() -> Project {
    let project = Project::new(CONFIG);
    let feature = |id: u32, more: &str| {
        format!(
            "[[feature]]\nid = {id}\nname = \"f {id}\"\nchecks = [\"test -s f{id}.txt\"]\n{more}\n"
        )
    };
    let backlog = feature(1, "")
        + &feature(2, "depends_on = [1]")
        + &feature(3, "depends_on = [2]")
        + &feature(4, "");
    project.write(".crewlog/features.toml", &backlog);
    for args in [&["import", ".crewlog/features.toml"][..], &RUN] {
        let done = project.scheduler(args);
        assert!(done.status.success(), "{args:?}: {done:?}");
    }
    project
}

fn data(project: &Project) -> PathBuf {
    project.root.join(".git/crewlog/main")
}

/// Flips a bit in every copy of an event: it is lost for good.
fn lose(project: &Project, sequence: u64) {
    let db = data(project).join("log/sled/db");
    let mut bytes = fs::read(&db).expect("the database");
    let copies: Vec<usize> = (0..bytes.len().saturating_sub(96))
        .filter(|&at| {
            bytes[at..].starts_with(b"CWLG") && bytes[at + 10..at + 18] == sequence.to_le_bytes()
        })
        .collect();
    assert!(!copies.is_empty());
    copies.iter().for_each(|at| bytes[at + 90] ^= 4);
    fs::write(&db, bytes).expect("written");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Runs the verb, and gives its exit code and all that it said.
fn said(project: &Project, args: &[&str]) -> (Option<i32>, String) {
    let output = project.scheduler(args);
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8(said).expect("UTF-8"),
    )
}

/// The first event of this kind, by its name.
fn first(project: &Project, name: &str) -> u64 {
    let export = project.scheduler(&["export"]);
    let text = String::from_utf8(export.stdout).expect("UTF-8");
    let found = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .find(|event| event.to_string().contains(&format!("\"type\":\"{name}\"")));
    found.expect("one")["sequence"].as_u64().expect("a number")
}

#[test]
fn a_run_goes_on_from_what_a_repair_has_kept() {
    let project = worked();
    let data = data(&project);
    // The first merge happened, and the log no longer knows of its end nor of anything after it.
    let bad = first(&project, "FeaturePassed");
    let merged = project.merged("crewlog/test");
    lose(&project, bad);

    let (code, status) = said(&project, &["status"]);
    assert_eq!(code, Some(6), "{status}");
    assert!(status.contains("scheduler repair"), "{status}");
    let (code, verify) = said(&project, &["verify"]);
    assert_eq!(code, Some(6), "{verify}");
    for expected in [
        format!("event {bad} is the first bad one"),
        "checksum".to_owned(),
        format!("events 1 to {} are verified", bad - 1),
        "the log had at least ".to_owned(),
    ] {
        assert!(verify.contains(&expected), "{expected}: {verify}");
    }

    // Old files under numbers that will be given again.
    fs::write(data.join("spool/999.json"), "an old result").expect("written");
    let before = names(&data);
    let (code, plan) = said(&project, &["repair"]);
    assert_eq!(code, Some(6), "{plan}");
    for expected in [
        format!("keeps     events 1 to {}", bad - 1),
        format!("drops     events {bad} to "),
        "and 1 result from dropped attempts".to_owned(),
        "nothing was changed".to_owned(),
    ] {
        assert!(plan.contains(&expected), "{expected}: {plan}");
    }
    assert_eq!(names(&data), before);

    let (code, repaired) = said(&project, &["repair", "--yes", "--format", "json"]);
    assert_eq!(code, Some(0), "{repaired}");
    let repaired: Value = serde_json::from_str(&repaired).expect("JSON");
    assert_eq!(repaired["repaired"], true);
    assert_eq!(repaired["kept"], bad - 1);
    assert_eq!(repaired["first_bad"], bad);
    let aside = PathBuf::from(repaired["damaged_log"].as_str().expect("a path"));
    let kept = names(&aside);
    for name in [
        "content",
        "head",
        "sled",
        "snapshots",
        "spool",
        "transcripts",
    ] {
        assert!(kept.contains(&name.to_owned()), "{name}: {kept:?}");
    }
    assert_eq!(names(&aside.join("spool")), ["999.json"]);
    assert!(names(&data.join("spool")).is_empty());
    assert!(names(&data.join("snapshots")).is_empty());
    assert_eq!(said(&project, &["verify"]).0, Some(0));
    let (code, again) = said(&project, &["repair"]);
    assert!(
        code == Some(0) && again.contains("nothing to repair"),
        "{again}"
    );

    // git is ahead of the log. What was merged is found or done again, never undone.
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let now = project.merged("crewlog/test");
    for feature in ["#1", "#2", "#3", "#4"] {
        assert!(now.contains(&feature.to_owned()), "{now:?}");
    }
    assert!(
        now.starts_with(&merged) || now.ends_with(&merged),
        "{merged:?}, {now:?}"
    );
    let (code, verify) = said(&project, &["verify"]);
    assert_eq!(code, Some(0), "{verify}");
    project.wait_for_silence();
}

#[test]
fn a_worker_that_is_at_a_dropped_attempt_is_waited_for() {
    let project = worked();
    let data = data(&project);
    lose(&project, 6);
    let path = data.join("spool/999.json");
    let held = fs::File::create(&path).expect("a file");
    held.lock().expect("locked");
    let before = names(&data.join("log"));
    let (code, refused) = said(&project, &["repair", "--yes"]);
    assert_eq!(code, Some(5), "{refused}");
    assert!(refused.contains("999.json"), "{refused}");
    assert!(path.exists() && names(&data.join("log")) == before);
    drop(held);
    let (code, repaired) = said(&project, &["repair", "--yes"]);
    assert_eq!(code, Some(0), "{repaired}");
    assert!(!path.exists());
}

/// Where the text of a check's output is that the log names first.
fn first_output(project: &Project) -> PathBuf {
    let export = project.scheduler(&["export"]);
    let text = String::from_utf8(export.stdout).expect("UTF-8");
    let (_, rest) = text.split_once("\"output\":\"").expect("an output");
    let hash = rest.get(..64).expect("a hash");
    let (first, rest) = hash.split_at(2);
    data(project).join("log/content").join(first).join(rest)
}

#[test]
fn an_output_of_a_check_that_was_altered_costs_no_event() {
    let project = worked();
    let path = first_output(&project);
    let export = project.scheduler(&["export"]).stdout;
    // The checks here print nothing: one bit more is another text all the same.
    fs::write(&path, "x").expect("written");
    let (code, verify) = said(&project, &["verify"]);
    assert_eq!(code, Some(6), "{verify}");
    for expected in [
        "every event is verified",
        "output of check 1 of feature #",
        "(attempt a",
        "altered",
    ] {
        assert!(verify.contains(expected), "{expected}: {verify}");
    }
    for verb in [&["status"][..], &["log"], &["why", "1"], &["export"]] {
        assert_eq!(said(&project, verb).0, Some(0), "{verb:?}");
    }
    let (code, plan) = said(&project, &["repair"]);
    assert_eq!(code, Some(6), "{plan}");
    assert!(plan.contains("moves     1 altered text"), "{plan}");
    assert!(path.exists(), "nothing is done unasked");
    let (code, repaired) = said(&project, &["repair", "--yes"]);
    assert_eq!(code, Some(0), "{repaired}");
    assert!(!path.exists(), "it is moved aside");
    assert_eq!(
        project.scheduler(&["export"]).stdout,
        export,
        "the same events"
    );
    let (code, verify) = said(&project, &["verify"]);
    assert_eq!(code, Some(0), "what is missing is named: {verify}");
    assert!(
        verify.contains("output of check 1 of feature #"),
        "{verify}"
    );
    let (code, again) = said(&project, &["repair"]);
    assert!(
        code == Some(0) && again.contains("nothing to repair"),
        "{again}"
    );
}

#[test]
fn an_event_whose_text_is_lost_stays_and_pauses_the_run() {
    let project = Project::new(CONFIG);
    let long = "a long story ".repeat(500);
    let feature = |id: u32, more: &str| {
        format!(
            "[[feature]]\nid = {id}\nname = \"f {id}\"\ndescription = \"{more}\"\nchecks = [\"test -s f{id}.txt\"]\n"
        )
    };
    let backlog = feature(1, "short") + &feature(2, &long) + &feature(3, "short");
    project.write(".crewlog/features.toml", &backlog);
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    let contents = data(&project).join("log/content");
    for dir in names(&contents) {
        for file in names(&contents.join(&dir)) {
            fs::remove_file(contents.join(&dir).join(file)).expect("removed");
        }
    }
    let (code, verify) = said(&project, &["verify"]);
    assert_eq!(code, Some(6), "{verify}");
    for expected in [
        "every event is verified: 3 events",
        "the text of event 2 (FeatureAdded): missing",
    ] {
        assert!(verify.contains(expected), "{expected}: {verify}");
    }
    let (code, repair) = said(&project, &["repair", "--yes"]);
    assert_eq!(code, Some(0), "{repair}");
    let (code, log) = said(&project, &["log"]);
    assert_eq!(code, Some(0), "{log}");
    for expected in ["#1", "#3", "the text of event 2 (FeatureAdded) is lost"] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    let (code, status) = said(&project, &["status"]);
    assert_eq!(code, Some(0), "{status}");
    assert!(
        status.contains("paused"),
        "nothing is built on it unseen: {status}"
    );
    // A person has looked, and the rest goes on.
    let (code, resumed) = said(&project, &["resume"]);
    assert_eq!(code, Some(0), "{resumed}");
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let mut merged = project.merged("crewlog/test");
    merged.sort();
    assert_eq!(merged, ["#1", "#3"]);
    project.wait_for_silence();
}

/// A log whose every byte is proven, and that holds what no rule brings about.
#[test]
fn an_event_that_the_rules_forbid_is_named() {
    let project = worked();
    let log = SledLog::open(&data(&project).join("log"), &OpenOptions::default());
    let log = log.expect("nobody has it");
    let epoch = log.lead().expect("an epoch");
    let head = log.head().sequence;
    let event = FeatureParked {
        feature: FeatureId(2),
        failures: 3,
    };
    let parked = Recorded {
        sequence: head.next(),
        epoch,
        at: Timestamp(i64::MAX as u64 / 1_000_000),
        cause: CommandId(1),
        actor: Actor::Scheduler,
        event: event.into(),
    };
    log.append(&[parked], head, epoch).expect("appended");
    log.close().expect("closed");
    let (code, verify) = said(&project, &["verify"]);
    assert_eq!(code, Some(6), "{verify}");
    let line = format!(
        "unlawful  event {} (FeatureParked): feature #2 is passing",
        head.next()
    );
    for expected in [&line, "every event is verified", "`scheduler export`"] {
        assert!(verify.contains(expected), "{expected}: {verify}");
    }
    let json = project.scheduler(&["verify", "--format", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["unlawful"].as_array().map(Vec::len), Some(1));
}
