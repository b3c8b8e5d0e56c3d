//! What a run was told is in its log; what changes afterwards is said, and believed by nobody
//! before the next run.

mod real;

use std::fs;

use real::{Project, wait, wait_until};
use serde_json::Value;

const RUN: [&str; 3] = ["run", "--workers", "coding=1"];

fn config(agent: &str, more: &str) -> String {
    format!(
        "[run]\nbranch = \"test\"\nmax_attempts = 1\n[agent]\ndriver = \"command\"\nprogram = \"sh\"\n\
         args = [\"-c\", '''{agent}''']\n{more}"
    )
}

fn project(agent: &str, more: &str, count: u32) -> Project {
    let project = Project::new(&config(agent, more));
    let feature = |number| {
        format!(
            "[[feature]]\nid = {number}\nname = \"feature {number}\"\nchecks = [\"test -s f{number}.txt\"]\n"
        )
    };
    let features: String = (1..=count).map(feature).collect();
    project.write("../features.toml", &features);
    let imported = project.scheduler(&["import", "../features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    project
}

const AGENT: &str = "echo done > f$CREWLOG_FEATURE.txt";

fn recorded(project: &Project) -> Vec<Value> {
    let output = project.scheduler(&["export"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let events = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    events
        .filter(|event: &Value| event["type"] == "ConfigRecorded")
        .collect()
}

#[test]
fn a_run_says_which_values_changed_since_the_last_one() {
    let variables = "[environment]\nenv = { TOKEN = \"s3cret\" }\n";
    let project = project(AGENT, variables, 1);
    let first = project.scheduler(&RUN);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let before = recorded(&project);
    assert_eq!(before.len(), 1);
    assert_eq!(before[0]["data"]["changes_total"], 0, "{before:?}");
    // The same again is no news.
    project.scheduler(&RUN);
    assert_eq!(recorded(&project).len(), 1);
    let more = "[checks]\nkeep_ignored = [\"*\"]\n[hooks]\nafter_create = \"true\"\n[environment]\nenv = { TOKEN = \"other\" }\n";
    project.write(".crewlog/config.toml", &config(AGENT, more));
    let second = project.scheduler(&RUN);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    for word in [
        "the config changed since the last run",
        "checks.keep_ignored: [] -> [\"*\"]",
        "hooks.after_create: \"\" -> \"true\"",
    ] {
        assert!(said.contains(word), "{word}: {said}");
        let log = project.scheduler(&["log"]);
        let log = String::from_utf8_lossy(&log.stdout).into_owned();
        assert!(log.contains(word), "{word}: {log}");
    }
    let status = project.scheduler(&["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        status.contains("changed since the previous run: "),
        "{status}"
    );
    let after = recorded(&project);
    assert_eq!(after[1]["data"]["changes_total"], 3, "{after:?}");
    // A variable may be a secret.
    let all = format!("{said}{status}{after:?}");
    assert!(!all.contains("s3cret") && !all.contains("other"), "{all}");
}

/// The agent of the first feature weakens the config under the running scheduler, and ends its
/// worker, so that a new one is started: that one is told what the run was told.
#[test]
fn a_config_that_is_changed_during_a_run_is_not_believed() {
    let project = project("exit 1", "", 2);
    let weak = config(
        AGENT,
        "[hooks]\nafter_create = \"touch f1.txt f2.txt; echo x > f1.txt\"\n",
    );
    let weak_file = project.root.join("../weak.toml");
    fs::write(&weak_file, weak).expect("a file");
    let own = project.root.join(".crewlog/config.toml");
    let agent = format!(
        "if ! [ -e {0}.done ]; then cp {0} {1}; touch {0}.done; kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $PPID)); fi; echo x > junk; sleep 1; exit 1",
        weak_file.display(),
        own.display()
    );
    let environment = "[environment]\nisolation = \"none\"\n";
    project.write(".crewlog/config.toml", &config(&agent, environment));
    let run = project.scheduler(&RUN);
    assert_ne!(run.status.code(), Some(0), "{run:?}");
    assert!(
        fs::read_to_string(&own)
            .expect("a config")
            .contains("after_create")
    );
    assert!(
        project.merged("crewlog/test").is_empty(),
        "the weak config was believed"
    );
}

#[test]
fn a_worker_that_is_told_something_else_is_refused() {
    let project = project(AGENT, "", 1);
    let mut scheduler = project.start(&["run", "--workers", "coding=0"]);
    wait_until("the run has begun", || {
        (recorded(&project).len() == 1).then_some(())
    });
    project.write(
        ".crewlog/config.toml",
        &config(AGENT, "[checks]\nkeep_ignored = [\"*\"]\n"),
    );
    let refused = project.scheduler(&["worker", "--kind", "coding"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("checks.keep_ignored: [] -> [\"*\"]"),
        "{said}"
    );
    assert!(said.contains("restart the run"), "{said}");
    // Told the same as the run, it is welcome.
    project.write(".crewlog/config.toml", &config(AGENT, ""));
    let worked = project.scheduler(&["worker", "--kind", "coding"]);
    assert!(worked.status.success(), "{worked:?}");
    assert_eq!(wait(&mut scheduler), Some(0));
}

/// A prompt template is part of what a run is told.
#[test]
fn a_changed_prompt_template_is_a_change() {
    let prompts = "[prompts]\ncoding = \"prompt.md\"\n";
    let project = project(AGENT, "", 1);
    project.write("prompt.md", "Do {{features}}.\n");
    project.write(".crewlog/config.toml", &config(AGENT, prompts));
    project.scheduler(&RUN);
    project.write("prompt.md", "Do {{features}} well.\n");
    project.scheduler(&RUN);
    let recorded = recorded(&project);
    let change = &recorded[1]["data"]["changes"][0];
    assert_eq!(change["key"], "prompts.coding.text", "{recorded:?}");
    assert!(
        change["after"]
            .as_str()
            .is_some_and(|it| it.starts_with("sha256:")),
        "{change}"
    );
}
