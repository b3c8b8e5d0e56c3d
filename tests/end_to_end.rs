//! Whole runs with `command` agents on a repository that the test makes: real scheduler, real
//! workers, real git, real checks.

mod real;

use std::fs;
use std::process::Child;

use real::{Project, wait, wait_until};
use serde_json::Value;

fn config(agent: &str, more: &str) -> String {
    format!(
        "[run]\nbranch = \"test\"\nretry_backoff = \"10ms\"\nretry_backoff_max = \"20ms\"\n\
         [agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", '''{agent}''']\n{more}"
    )
}

fn project(agent: &str, more: &str, backlog: &str) -> Project {
    let project = Project::new(&config(agent, more));
    project.write(".crewlog/features.toml", backlog);
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    project
}

fn feature(id: u32, more: &str) -> String {
    format!(
        "[[feature]]\nid = {id}\nname = \"feature {id}\"\nchecks = [\"test -s f{id}.txt\"]\n{more}\n"
    )
}

fn json(project: &Project, args: &[&str]) -> Vec<Value> {
    let args = [args, &["--format", "json"]].concat();
    let output = project.scheduler(&args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    if let Ok(one) = serde_json::from_str(&text) {
        return vec![one];
    }
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn events(project: &Project, name: &str) -> Vec<Value> {
    let all = json(project, &["export"]);
    let named = |event: &Value| event.to_string().contains(&format!("\"type\":\"{name}\""));
    all.into_iter().filter(named).collect()
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
}

const RUN: [&str; 3] = ["run", "--workers", "coding=2,testing=1"];

#[test]
fn a_question_is_asked_answered_and_heeded() {
    let agent = r#"
if [ "$CREWLOG_FEATURE" = 2 ] && ! grep -q blue "$CREWLOG_JOB"; then
    echo '{"verdict": "input", "question": "Which colour?"}' > "$CREWLOG_VERDICT"; exit 0
fi
echo "$CREWLOG_PORT $TMPDIR" > "f$CREWLOG_FEATURE.txt"
"#;
    let hooks = "[hooks]\nafter_create = 'echo created >> hooks.txt'\nbefore_run = 'echo before >> hooks.txt'\nafter_run = 'echo after >> hooks.txt'\n";
    let backlog =
        feature(1, "") + &feature(2, "depends_on = [1]") + &feature(3, "depends_on = [2]");
    let project = project(agent, hooks, &backlog);
    let first = project.scheduler(&RUN);
    assert_eq!(first.status.code(), Some(4), "{first:?}");
    let status = String::from_utf8(project.scheduler(&["status"]).stdout).expect("UTF-8");
    assert!(status.contains("Which colour?"), "{status}");
    let why = String::from_utf8(project.scheduler(&["why", "3"]).stdout).expect("UTF-8");
    assert!(why.contains("#3 waits for #2"), "{why}");
    let answered = project.scheduler(&["answer", "2", "blue"]);
    assert!(answered.status.success(), "{answered:?}");
    let second = project.scheduler(&RUN);
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    assert_eq!(project.merged("crewlog/test"), ["#1", "#2", "#3"]);
    let hooks = project.git(&["show", "crewlog/test:hooks.txt"]);
    assert!(hooks.contains("created\nbefore\nafter\n"), "{hooks}");
    let port = project.git(&["show", "crewlog/test:f1.txt"]);
    assert!(port.starts_with("21"), "a port of its own: {port}");
    assert_eq!(
        project.git(&["rev-parse", "--abbrev-ref", "HEAD"]).trim(),
        "main"
    );
    project.wait_for_silence();
}

#[test]
fn an_agents_word_passes_nothing_that_has_checks() {
    let agent =
        r#"echo 'all done, everything works' ; echo '{"verdict": "pass"}' > "$CREWLOG_VERDICT""#;
    let project = project(
        agent,
        "",
        &(feature(1, "") + &feature(2, "depends_on = [1]")),
    );
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    assert!(project.merged("crewlog/test").is_empty());
    assert_eq!(events(&project, "FeatureFailed").len(), 3);
    assert_eq!(events(&project, "FeatureParked").len(), 1);
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(said.contains("#2 waits for #1 (parked)"), "{said}");
}

#[test]
fn ctrl_c_twice_gives_attempts_back_and_leaves_no_process() {
    let agent = "setsid sleep 301 & echo x > started.txt; exec sleep 302";
    let project = project(agent, "", &feature(1, ""));
    let mut child = project.start(&RUN);
    wait_until("the agent is working", || {
        project.in_an_attempt("started.txt")
    });
    interrupt(&child);
    wait_until("it drains", || {
        let live = project.scheduler(&["status"]);
        String::from_utf8_lossy(&live.stdout)
            .contains("ending")
            .then_some(())
    });
    assert!(
        child.try_wait().expect("its status").is_none(),
        "the open attempt may finish"
    );
    interrupt(&child);
    assert_eq!(wait(&mut child), Some(130));
    project.wait_for_silence();
    assert_eq!(events(&project, "AttemptReleased").len(), 1);
    assert!(
        events(&project, "FeatureFailed").is_empty(),
        "it costs no try"
    );
    assert!(
        json(&project, &["verify"])[0]
            .to_string()
            .contains("events")
    );
}

#[test]
fn a_session_survives_the_schedulers_death() {
    let agent =
        r#"echo x > started.txt; while ! test -f "$GO"; do sleep 0.05; done; echo done > f1.txt"#;
    let dir = tempfile::tempdir().expect("a directory");
    let go = dir.path().join("go");
    // In the cage it sees nothing of the machine's /tmp but this.
    let env = format!(
        "env = {{ GO = {go:?} }}\n[cage]\nread = [{:?}]\n",
        dir.path()
    );
    let project = project(agent, &env, &feature(1, ""));
    let mut first = project.start(&RUN);
    wait_until("the agent is working", || {
        project.in_an_attempt("started.txt")
    });
    first.kill().expect("a kill");
    first.wait().expect("its end");
    let mut second = project.start(&RUN);
    let socket = project.root.join(".git/crewlog/main/socket");
    wait_until("the next one listens", || {
        std::os::unix::net::UnixStream::connect(&socket).ok()
    });
    fs::write(&go, "").expect("a file");
    assert_eq!(wait(&mut second), Some(0));
    assert_eq!(
        events(&project, "FeatureAssigned").len(),
        1,
        "the session went on"
    );
    assert!(events(&project, "AttemptLost").is_empty());
    project.wait_for_silence();
}

#[test]
fn a_second_scheduler_is_told_who_holds_the_log() {
    let project = project("true", "", &feature(1, ""));
    let mut first = project.start(&["run", "--stay"]);
    let socket = project.root.join(".git/crewlog/main/socket");
    wait_until("the first one listens", || {
        std::os::unix::net::UnixStream::connect(&socket).ok()
    });
    let second = project.scheduler(&["run"]);
    assert_eq!(second.status.code(), Some(5), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&format!("process {}", first.id())), "{said}");
    let stopped = project.scheduler(&["stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(wait(&mut first), Some(130));
}

#[test]
fn a_batch_is_merged_whole() {
    let agent = r#"for f in $(echo "$CREWLOG_FEATURES" | tr , ' '); do echo x > "f$f.txt"; done"#;
    let backlog: String = (1..=4).map(|id| feature(id, "")).collect();
    let project = project(agent, "", &backlog);
    let path = project.root.join(".crewlog/config.toml");
    let text = fs::read_to_string(&path).expect("the config");
    let batched = text.replacen("[run]\n", "[run]\nbatch_size = 4\n", 1);
    fs::write(&path, batched).expect("the config");
    let run = project.scheduler(&["run", "--workers", "coding=1,testing=1"]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    assert_eq!(events(&project, "FeatureAssigned").len(), 1);
    assert_eq!(events(&project, "MergeStarted").len(), 1);
    assert_eq!(events(&project, "FeaturePassed").len(), 4);
}

#[test]
fn a_log_that_lost_its_end_is_never_taken_for_whole() {
    let agent = r#"echo x > "f$CREWLOG_FEATURE.txt""#;
    let project = project(agent, "", &feature(1, ""));
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    project.wait_for_silence();
    // Everything is gone but the snapshot, which proves that there was something.
    fs::remove_dir_all(project.root.join(".git/crewlog/main/log")).expect("removed");
    let says = "the project's log is missing";
    for verb in ["verify", "run", "status", "pause"] {
        let refused = project.scheduler(&[verb]);
        assert_eq!(refused.status.code(), Some(6), "{verb}: {refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn commands_are_answered_while_a_scheduler_ends() {
    let project = project("exec sleep 600", "", &feature(1, ""));
    for round in 0..4 {
        let mut run = project.start(&["run", "--workers", "coding=1"]);
        let socket = project.root.join(".git/crewlog/main/socket");
        wait_until("it listens", || {
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        let mut stop = project.start(&["stop", "--now"]);
        // Some meet it alive, some ending, and some when it has just gone.
        loop {
            let over = run.try_wait().expect("its status").is_some();
            for args in [&["status"][..], &["log"], &["pause"], &["resume"]] {
                let output = project.scheduler(args);
                assert!(
                    output.status.success(),
                    "round {round}, {args:?}: {output:?}"
                );
            }
            if over {
                break;
            }
        }
        assert_eq!(wait(&mut stop), Some(0));
    }
    project.wait_for_silence();
}

#[test]
fn an_agent_that_takes_its_worktree_away_leaves_nothing_behind() {
    let agent = r#"rm -rf "$CREWLOG_WORKTREE""#;
    let project = Project::new(&config(agent, "").replace("[run]", "[run]\nmax_attempts = 1"));
    project.write(".crewlog/features.toml", &feature(1, ""));
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    project.wait_for_silence();
    let attempts = project.attempts();
    let attempts = attempts.to_str().expect("a text");
    for dir in [attempts, ".git/crewlog/main/spool", ".git/worktrees"] {
        let entries = fs::read_dir(project.root.join(dir)).into_iter().flatten();
        let left: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn coding_workers_alone_verify_at_the_end_and_what_is_asked_for_runs() {
    let agent = r#"echo x > "f$CREWLOG_FEATURE.txt""#;
    let backlog: String = (1..=5).map(|id| feature(id, "")).collect();
    let project = project(agent, "", &backlog);
    let run = project.scheduler(&["run", "--workers", "coding=5"]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(
        said.contains("--workers: run.max_concurrency is 5 instead of 3 for this run"),
        "{said}"
    );
    assert!(!events(&project, "TestPassed").is_empty(), "verified");
    let started = &events(&project, "RunStarted")[0].to_string();
    assert!(started.contains("\"max_concurrency\":5"), "{started}");
    project.wait_for_silence();
}

#[test]
fn a_paused_run_says_that_it_waits_and_status_tells_what_is_ready_again() {
    let project = project("echo x > junk; exit 3", "", &feature(1, ""));
    assert_eq!(project.scheduler(&RUN).status.code(), Some(3));
    assert!(project.scheduler(&["retry", "1"]).status.success());
    let status = String::from_utf8(project.scheduler(&["status"]).stdout).expect("UTF-8");
    assert!(
        status.contains("1 feature is ready; continue with `scheduler run`"),
        "{status}"
    );
    assert!(!status.contains("finished:"), "{status}");
    assert!(project.scheduler(&["pause"]).status.success());
    let said = project.home().join("said");
    let mut command = project.command(&RUN);
    let errors = fs::File::create(&said).expect("a file");
    let mut run = command.stderr(errors).spawn().expect("the scheduler");
    wait_until("it says that it waits", || {
        let said = fs::read_to_string(&said).ok()?;
        said.contains("the run is paused; continue it with")
            .then_some(())
    });
    interrupt(&run);
    assert_eq!(wait(&mut run), Some(130));
    project.wait_for_silence();
}

#[test]
fn log_lines_say_which_run_which_worker_and_which_attempt() {
    let agent = r#"echo x > "f$CREWLOG_FEATURE.txt""#;
    let project = project(agent, "", &feature(1, ""));
    let run = project
        .command(&["run", "--workers", "coding=1", "--quiet"])
        .env("CREWLOG_LOG", "crewlog=debug")
        .output()
        .expect("the scheduler");
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let file = project.root.join(".git/crewlog/main/workers.log");
    let lines = fs::read_to_string(file).expect("what the workers said");
    let attempt = json(&project, &["export"])
        .iter()
        .find(|event| event.to_string().contains("\"type\":\"AttemptStarted\""))
        .and_then(|event| event["sequence"].as_u64())
        .expect("an attempt");
    let spans = format!("worker{{kind=\"coding\" name=\"worker-1\"}}:attempt{{id={attempt}}}");
    for step in ["creating the worktree", "running the checks", "cleaning up"] {
        let found = lines
            .lines()
            .any(|line| line.contains(&spans) && line.contains(step));
        assert!(found, "{spans}, {step}: {lines}");
    }
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(
        said.contains("run{branch=\"crewlog/test\" epoch="),
        "{said}"
    );
}

/// An agent whose provider is away for its first sessions, and says so in no words that anybody knows.
#[test]
fn an_outage_costs_no_try_and_the_run_ends_by_itself() {
    let agent = r#"
count="$HOME/sessions"; echo x >> "$count"
if [ "$(wc -l < "$count")" -le 2 ]; then echo "upstream connect error" >&2; exit 1; fi
echo x > "f$CREWLOG_FEATURE.txt"
"#;
    let backlog = feature(1, "") + &feature(2, "") + &feature(3, "");
    let cage = "[cage]\nwrite = [\"~/sessions\"]\n";
    let project = project(agent, cage, &backlog);
    fs::write(project.home().join("sessions"), "").expect("a file");
    let run = project.scheduler(&["run", "--workers", "coding=3"]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    assert_eq!(events(&project, "FeatureFailed").len(), 0);
    assert!(!events(&project, "ProviderLimited").is_empty());
    let merged = project.merged("crewlog/test");
    assert_eq!(merged.len(), 3, "{merged:?}");
    let sessions = fs::read_to_string(project.home().join("sessions")).expect("the count");
    // One or two that fail, because the others may start together, and no session for nothing.
    let count = sessions.lines().count();
    assert!((4..=5).contains(&count), "{count} sessions");
}
