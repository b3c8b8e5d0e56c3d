//! Commands whose goal is already reached succeed and change nothing.

mod real;

use real::Project;
use serde_json::Value;

const CONFIG: &str =
    "[run]\nbranch = \"test\"\n[agent]\ndriver = \"command\"\nprogram = \"true\"\n";

/// Runs a command that must succeed, and returns its output.
fn good(project: &Project, arguments: &[&str]) -> String {
    let output = project.scheduler(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn project() -> Project {
    let project = Project::new(CONFIG);
    let backlog = r#"[{ "name": "one" }, { "name": "two", "depends_on": [1] }]"#;
    project.write("backlog.json", backlog);
    good(&project, &["import", "backlog.json"]);
    project
}

#[test]
fn a_second_command_succeeds_and_leaves_no_event() {
    let project = project();
    let table: [(&[&str], &str); 4] = [
        (
            &["pause"],
            "already paused; `scheduler resume` continues the run",
        ),
        (
            &["skip", "2"],
            "#2 is already skipped; `scheduler retry 2` brings it back",
        ),
        (&["remove", "2"], "#2 is already removed"),
        (
            &["resume"],
            "nothing to resume: the run is not paused, and nothing holds it up",
        ),
    ];
    for (arguments, again) in table {
        let first = good(&project, arguments);
        let before = good(&project, &["export"]);
        assert_eq!(good(&project, arguments).trim(), again, "{first}");
        let json = good(&project, &[arguments, &["--format", "json"]].concat());
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(
            (&json["accepted"], &json["events"]),
            (&Value::Bool(true), &0.into())
        );
        assert_eq!(good(&project, &["export"]), before, "{arguments:?}");
    }
    let why = good(&project, &["why", "2"]);
    assert!(why.contains(": removed\n"), "{why}");
    assert!(why.contains(" removed it from the backlog "), "{why}");
    let text = good(&project, &["stop"]);
    assert_eq!(text.trim(), "no scheduler is running here");
}
