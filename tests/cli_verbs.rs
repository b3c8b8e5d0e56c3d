//! The verbs that read and change the log, from outside, with and without a scheduler that runs.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};

use support::{PATIENCE, git, lines, repository, text};

struct Project {
    directory: tempfile::TempDir,
    state: tempfile::TempDir,
}

const BACKLOG: &str = r#"
[[feature]]
id = 1
name = "one"
checks = ["true"]
[[feature]]
id = 2
name = "two"
depends_on = ["one"]
[[feature]]
id = 3
name = "three"
depends_on = [2]
[[feature]]
id = 4
name = "four"
"#;

impl Project {
    /// A repository with a commit, set up, with the backlog above.
    fn new() -> Self {
        let project = Self {
            directory: tempfile::tempdir().expect("a directory"),
            state: tempfile::tempdir().expect("a directory"),
        };
        repository(project.path(), project.state.path(), "main");
        project.good(&["init"]);
        fs::write(project.path().join("features.toml"), BACKLOG).expect("written");
        project.good(&["import", "features.toml"]);
        project
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
        command.args(arguments).current_dir(self.path());
        command.env("XDG_STATE_HOME", self.state.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the scheduler binary starts")
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.good(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn bad(&self, arguments: &[&str], code: i32, expected: &str) {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }

    /// A scheduler without workers, and what follows its log: a line for every event. It has
    /// begun its run, the fifth event, by the time this returns.
    fn scheduler(&self) -> (Process, Lines) {
        let mut command = self.command(&["log", "--follow", "--format", "json", "--from", "5"]);
        let follower = command.stdout(Stdio::piped()).spawn();
        let mut follower = Process(follower.expect("the scheduler binary starts"));
        let output = follower.0.stdout.take().expect("its output");
        let mut command = self.command(&["run", "--progress", "none"]);
        let child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn();
        let scheduler = Process(child.expect("the scheduler binary starts"));
        let mut lines = Lines {
            lines: lines(output, str::to_owned),
            _follower: follower,
        };
        assert_eq!(lines.next(), (5, "RunStarted".to_owned()));
        (scheduler, lines)
    }
}

struct Lines {
    lines: mpsc::Receiver<String>,
    _follower: Process,
}

impl Lines {
    fn next(&mut self) -> (u64, String) {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line in time");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        let name = event["type"].as_str().expect("a type").to_owned();
        (event["sequence"].as_u64().expect("a number"), name)
    }
}

/// Gone by the end of the test, however that ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn statuses(status: &Value) -> Vec<(u64, String)> {
    let features = status["features"].as_array().expect("features");
    let mut table: Vec<(u64, String)> = features
        .iter()
        .map(|it| {
            let number = it["feature"].as_u64().expect("a number");
            (number, it["status"].as_str().expect("a status").to_owned())
        })
        .collect();
    table.sort();
    table
}

fn expect(status: &Value, expected: [&str; 4]) {
    let expected: Vec<(u64, String)> = (1..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(statuses(status), expected);
}

/// What every verb says of the same backlog, whoever has the log.
fn verbs_agree(project: &Project, first: u64) {
    expect(
        &project.json(&["status"]),
        ["ready", "blocked", "blocked", "ready"],
    );
    assert_eq!(
        project.json(&["skip", "4", "--reason", "later"])["accepted"],
        true
    );
    assert_eq!(
        project.json(&["pause", "--reason", "lunch"])["first"],
        json!(first + 2)
    );
    let status = project.json(&["status"]);
    expect(&status, ["ready", "blocked", "blocked", "skipped"]);
    let paused = status["paused"].as_str().expect("a reason");
    assert!(
        paused.starts_with("by uid ") && paused.ends_with(": lunch"),
        "{paused}"
    );
    project.good(&["pause"]);
    project.bad(&["answer", "1", "x"], 2, "has not asked");
    project.bad(&["skip", "9"], 2, "no feature #9");
    project.good(&["resume"]);
    project.good(&["retry", "4"]);
    expect(
        &project.json(&["status"]),
        ["ready", "blocked", "blocked", "ready"],
    );
    assert_eq!(project.json(&["replay", "--to", "4"])["sequence"], 4);
    expect(
        &project.json(&["replay", "--to", &(first + 1).to_string()]),
        ["ready", "blocked", "blocked", "skipped"],
    );
    project.bad(&["replay", "--to", "99"], 2, "the log ends at event");
    let why = project.json(&["why", "3"]);
    assert_eq!(why["chain"]["links"], json!([3, 2, 1]));
    let page = project.good(&["why", "#3"]);
    assert!(
        page.contains("#3 waits for #2 waits for #1 (ready)"),
        "{page}"
    );
    project.bad(&["why", "9"], 2, "no such feature");
    let told = project.good(&["log", "--feature", "4"]);
    let marks: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    assert_eq!(marks, ["ADD", "SKIP", "RETRY"]);
    let export = project.good(&["export"]);
    let events: Vec<Value> = export
        .lines()
        .map(|it| serde_json::from_str(it).expect("JSON"))
        .collect();
    assert_eq!(events.len() as u64, first + 4);
    assert!(
        (1..)
            .zip(&events)
            .all(|(sequence, event)| event["sequence"] == sequence)
    );
    assert_eq!(project.good(&["log", "--format", "json"]), export);
    assert_eq!(project.json(&["verify"])["events"], json!(first + 4));
}

#[test]
fn all_verbs_work_when_no_scheduler_runs() {
    let project = Project::new();
    verbs_agree(&project, 4);
    let output = project.run(&["import", "features.toml"]);
    assert!(
        text(&output.stdout).starts_with("nothing to do"),
        "{}",
        text(&output.stdout)
    );
    let stopped = project.json(&["stop"]);
    assert_eq!(stopped["stopped"], false);
}

#[test]
fn removing_works_with_a_scheduler_and_without() {
    let project = Project::new();
    removing_works(&project);
    let project = Project::new();
    let (_scheduler, _lines) = project.scheduler();
    removing_works(&project);
}

/// Nothing waits any longer for a feature that is taken out.
fn removing_works(project: &Project) {
    let said = project.good(&["remove", "2"]);
    assert!(said.contains("removed #2"), "{said}");
    let left = [(1, "ready"), (3, "ready"), (4, "ready")];
    let left: Vec<(u64, String)> = left.map(|(id, status)| (id, status.to_owned())).into();
    assert_eq!(statuses(&project.json(&["status"])), left);
    let again = project.good(&["remove", "2"]);
    assert!(again.contains("#2 is already removed"), "{again}");
    project.bad(&["remove", "9"], 2, "no feature #9");
}

#[test]
fn all_verbs_work_while_a_scheduler_runs() {
    let project = Project::new();
    let (mut scheduler, mut lines) = project.scheduler();
    // The fifth event began the run.
    // The start of the run and its config are events, too.
    verbs_agree(&project, 6);
    project.bad(&["run"], 5, "held by process");
    for (sequence, name) in [
        (6, "ConfigRecorded"),
        (7, "FeatureSkipped"),
        (8, "RunPaused"),
        (9, "RunResumed"),
    ] {
        assert_eq!(lines.next(), (sequence, name.to_owned()));
    }
    let added = "[[feature]]\nid = 5\nname = \"five\"\n";
    fs::write(project.path().join("more.toml"), added).expect("written");
    project.good(&["import", "more.toml"]);
    assert_eq!(
        project.json(&["status"])["features"]
            .as_array()
            .map(Vec::len),
        Some(5)
    );
    assert_eq!(project.json(&["stop", "--now"])["stopped"], true);
    let status = scheduler.0.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    // The follower waits for the next scheduler and does not hold the log meanwhile.
    assert_eq!(project.json(&["verify"])["events"], 11);
}

#[test]
fn a_reader_that_went_away_ends_the_verbs_quietly() {
    let project = Project::new();
    for verb in ["status", "log", "export", "verify", "replay"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = project
            .command(&[verb])
            .stdout(writer)
            .stderr(Stdio::piped())
            .output();
        let output = output.expect("it starts");
        assert_eq!(text(&output.stderr), "", "{verb}");
        assert_eq!(output.status.code(), Some(0), "{verb}");
    }
}

#[test]
fn broken_backlogs_change_nothing() {
    let project = Project::new();
    let table = [
        ("[[feature]]\nname = \"x\"\ndepends_on = [77]", "77"),
        ("[[feature]]\nnam = \"x\"", "name"),
        ("{", "line 1"),
        ("[{\"name\": \"x\", \"priority\": \"high\"}]", "priority"),
        ("[[feature]]\nid = 1\nname = \"other\"", "already"),
        (
            "[[feature]]\nid = 8\nname = \"a\"\ndepends_on = [9]\n[[feature]]\nid = 9\nname = \"b\"\ndepends_on = [8]",
            "#8",
        ),
    ];
    for (backlog, expected) in table {
        let file = if backlog.starts_with(['{']) || backlog.starts_with("[{") {
            "b.json"
        } else {
            "b.toml"
        };
        fs::write(project.path().join(file), backlog).expect("written");
        project.bad(&["import", file], 2, expected);
    }
    project.bad(&["import", "nowhere.toml"], 2, "nowhere.toml");
    assert_eq!(project.json(&["status"])["sequence"], 4);
}

#[test]
fn an_import_says_what_it_did() {
    let project = Project::new();
    let file = project.path().join("features.toml");
    let update = ["import", "--update", "features.toml"];
    let said = project.json(&update);
    assert_eq!(
        said,
        json!({"features": 4, "added": 0, "changed": 0, "unchanged": 4, "events": 0})
    );
    let more = BACKLOG.replace("name = \"four\"", "name = \"four\"\npriority = 2")
        + "[[feature]]\nname = \"five\"\ndepends_on = [4, 1]\n";
    fs::write(&file, &more).expect("written");
    let said = project.good(&update);
    let expected = "imported 1 new feature, changed 1, left 3 as before from features.toml\n";
    assert!(said.starts_with(expected), "{said}");
    // The order in which dependencies are named is no change.
    fs::write(&file, more.replace("[4, 1]", "[1, 4]")).expect("written");
    assert_eq!(project.json(&update)["unchanged"], 5);
}

#[test]
fn a_question_about_nothing_is_answered() {
    let project = Project::new();
    project.bad(
        &["log", "--feature", "99"],
        2,
        "the log has no such feature",
    );
    let table: [(&[&str], &str); 3] = [
        (
            &["log", "--from", "99999"],
            "the log ends before event 99999",
        ),
        (
            &["log", "--from", "99999", "--format", "json"],
            "the log ends before event 99999",
        ),
        (
            &["log", "--from", "2", "--feature", "1"],
            "no event from 2 on is about #1",
        ),
    ];
    for (arguments, expected) in table {
        let output = project.run(arguments);
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert_eq!(text(&output.stderr).trim(), expected, "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
    assert_eq!(text(&project.run(&["log", "-q", "--from", "9"]).stderr), "");
}

#[test]
fn nothing_is_forgiven_where_nothing_failed() {
    let project = Project::new();
    let before = project.good(&["export"]);
    for arguments in [&["retry", "1"][..], &["retry", "2"], &["retry"]] {
        let text = project.good(arguments);
        assert!(text.starts_with("nothing to retry: "), "{text}");
    }
    assert_eq!(project.good(&["export"]), before);
    let output = project.run(&["retry", "77", "--format", "json"]);
    let error: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(error["error"]["why"], "there is no feature #77");
    assert_eq!(
        error["error"]["next"],
        "`scheduler status --format json` lists every feature"
    );
    let output = project.run(&["answer", "1", "x", "--format", "json"]);
    let error: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(error["error"]["next"], Value::Null);
}

#[test]
fn a_project_that_is_not_set_up_says_what_to_do() {
    let project = Project {
        directory: tempfile::tempdir().expect("a directory"),
        state: tempfile::tempdir().expect("a directory"),
    };
    for verb in ["status", "log", "export", "verify", "pause", "run", "stop"] {
        project.bad(&[verb], 2, "scheduler init");
    }
    fs::create_dir(project.path().join(".crewlog")).expect("made");
    project.bad(&["status"], 2, "is not in a git repository");
    git(project.path(), project.state.path(), &["init", "-q"]);
    fs::write(
        project.path().join(".crewlog/config.toml"),
        "[run]\nidle_limt = \"1s\"",
    )
    .expect("written");
    project.bad(&["status"], 2, "config.toml:2: unknown key `run.idle_limt`");
}

#[test]
fn other_users_cannot_look_into_the_data() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new();
    let data = fs::metadata(project.path().join(".git/crewlog/main")).expect("it is there");
    assert_eq!(data.permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_damaged_log_ends_with_6() {
    let project = Project::new();
    let log = project.path().join(".git/crewlog/main/log");
    // A bit in the middle of a name, in whichever file the engine keeps it.
    let mut flipped = 0;
    let mut directories = vec![log];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).expect("read");
            while let Some(at) = bytes.windows(5).position(|window| window == b"three") {
                bytes[at] ^= 1;
                flipped += 1;
            }
            fs::write(&path, bytes).expect("written");
        }
    }
    assert!(flipped > 0, "the name is not to be found");
    for verb in ["status", "log", "export", "verify", "run"] {
        let output = project.run(&[verb]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{verb}: {said}");
        assert!(said.contains("damaged"), "{verb}: {said}");
    }
}
