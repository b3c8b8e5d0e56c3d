//! What goes into the log and out of it as a whole: portable logs, and backlogs of the largest kind.

mod real;

use std::fs;
use std::path::Path;

use real::{Project, wait, wait_until};
use serde_json::{Value, json};

const CONFIG: &str =
    "[run]\nbranch = \"test\"\n[agent]\ndriver = \"command\"\nprogram = \"true\"\n";

fn project() -> Project {
    Project::new(CONFIG)
}

fn import(project: &Project, features: &[Value]) {
    let backlog = json!({ "feature": features }).to_string();
    project.write(".crewlog/backlog.json", &backlog);
    let imported = project.scheduler(&["import", ".crewlog/backlog.json"]);
    assert!(imported.status.success(), "{imported:?}");
}

/// Runs the verb; gives its exit code and all that it said.
fn said(project: &Project, args: &[&str]) -> (Option<i32>, String) {
    let output = project.scheduler(args);
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8(said).expect("UTF-8"),
    )
}

fn good(project: &Project, args: &[&str]) -> String {
    let (code, said) = said(project, args);
    assert_eq!(code, Some(0), "{args:?}: {said}");
    said
}

/// Runs a scheduler without workers meanwhile.
fn while_running<T>(project: &Project, act: impl FnOnce() -> T) -> T {
    let mut child = project.start(&["run", "--stay"]);
    let socket = project.root.join(".git/crewlog/main/socket");
    wait_until("it listens", || socket.exists().then_some(()));
    let done = act();
    good(project, &["stop"]);
    wait(&mut child);
    done
}

#[test]
fn a_portable_log_makes_the_same_log_elsewhere() {
    let here = project();
    let long = "a long text ".repeat(1_000);
    import(
        &here,
        &[
            json!({ "name": "one", "description": long }),
            json!({ "name": "two", "depends_on": ["one"] }),
        ],
    );
    let file = here.root.join(".crewlog/still.crewlog");
    let still = file.to_str().expect("UTF-8");
    let wrote = good(&here, &["export", "--portable", still]);
    assert!(wrote.contains("wrote 2 events"), "{wrote}");
    let (code, twice) = said(&here, &["export", "--portable", still]);
    assert!(
        code == Some(2) && twice.contains("exists already"),
        "{twice}"
    );
    let running = here.root.join(".crewlog/running.crewlog");
    while_running(&here, || {
        good(
            &here,
            &["export", "--portable", running.to_str().expect("UTF-8")],
        );
    });

    let data = |project: &Project| project.root.join(".git/crewlog/main");
    let there = project();
    let bytes = fs::read(&running).expect("the file");
    let copy = there.root.join(".crewlog/copy.crewlog");
    let broken = |at: usize, path: &Path| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        fs::write(path, bytes).expect("written");
    };
    for at in [0, 60, bytes.len() / 2, bytes.len() - 1] {
        broken(at, &copy);
        let (code, refused) = said(&there, &["import", "--portable", ".crewlog/copy.crewlog"]);
        assert!(
            code == Some(2) && refused.contains("nothing was imported"),
            "{refused}"
        );
        let left = fs::read_dir(data(&there)).expect("a directory").count();
        assert_eq!(left, 0, "byte {at}");
    }
    fs::write(&copy, &bytes).expect("written");
    good(&there, &["import", "--portable", ".crewlog/copy.crewlog"]);
    good(&there, &["verify"]);
    let events = good(&there, &["export"]);
    let whole = good(&here, &["export"]);
    assert!(
        whole.starts_with(&events) && events.contains("a long text"),
        "the same events"
    );
    let (code, twice) = said(&there, &["import", "--portable", ".crewlog/copy.crewlog"]);
    assert!(
        code == Some(2) && twice.contains("has a log with events"),
        "{twice}"
    );
    // The same again, byte by byte.
    good(&there, &["export", "--portable", ".crewlog/again.crewlog"]);
    let again = fs::read(there.root.join(".crewlog/again.crewlog"));
    assert_eq!(again.expect("the file"), bytes);
    // And it goes on from there.
    good(&there, &["skip", "2"]);
}

#[test]
fn a_backlog_of_many_megabytes_is_imported_at_once() {
    let project = project();
    let text = "0123456789abcdef".repeat(15 * 1024);
    let feature = |id: u32| json!({ "id": id, "name": format!("f {id}"), "description": text });
    // Longer than a frame and a file were once allowed to be.
    let features: Vec<Value> = (1..=280).map(feature).collect();
    while_running(&project, || import(&project, &features));
    let status: Value =
        serde_json::from_str(&good(&project, &["status", "--format", "json"])).expect("JSON");
    assert!(status.to_string().contains("280"), "{status}");
    good(&project, &["verify"]);
}
