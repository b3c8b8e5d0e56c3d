//! A machine that fails in the middle of a run: the run waits until it works again, or ends, and no
//! feature pays for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::disk::{FILL, NO_MOUNT, told, with_mounts};
use crate::kit::{
    AGENT, assert_nothing_left, assert_passes, assert_refused, config, events, merges, project,
    said, shell,
};
use crate::real::Project;

/// Waits in a shell until the log says a word. Each look takes its own time.
const AWAIT: &str = "await() { n=0; until $S log 2>&1 | grep -q \"$1\"; do n=$((n+1)); [ $n -lt 2000 ] || { echo \"never: $1\"; $S log >&2; kill %1; exit 99; }; done; }";
const RUN: &str = "$S run --workers coding=2,testing=1";
/// Hooks and agents of these tests reach files that no cage would show them.
const UNCAGED: &str = "[environment]\nisolation = \"none\"\n";
/// Where attempts work.
const STATE: &str = "../home/.local/state";

fn impatient(agent: &str, more: &str) -> String {
    config(agent, more).replace("[run]\n", "[run]\nworker_wait = \"3s\"\n")
}

/// The run is over, and all that was held against a feature is nothing.
fn assert_nobody_paid(project: &Project, passing: usize) {
    project.wait_for_silence();
    let events = events(project);
    let count = |name: &str| {
        let kind = format!("\"{name}\"");
        events.iter().filter(|event| event.contains(&kind)).count()
    };
    for name in ["FeatureFailed", "FeatureParked", "TestInconclusive"] {
        assert_eq!(count(name), 0, "{name}");
    }
    let troubles = count("CrewTroubled") + count("ProviderLimited");
    assert!(troubles > 0, "there was a trouble");
    assert_eq!(count("FeaturePassed"), passing);
    let merges = merges(project);
    assert!(merges.len() == passing && merges.values().all(|&times| times == 1));
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}

/// The crew is held up once for everybody, and so it is said: once when it begins.
fn said_once(text: &str, mark: &str) {
    let lines = text.lines().filter(|line| line.contains(mark));
    assert_eq!(lines.count(), 1, "{mark}: {text}");
}

fn done(project: &Project, script: &str) -> Output {
    shell(project, script).output().expect("a shell")
}

/// The disk of the attempts is filled in each of them, from outside, until there is a file `room`.
fn filling(project: &Project) -> String {
    let top = project.root.join("..");
    let top = top.canonicalize().expect("it is there");
    let (room, filler) = (top.join("room"), top.join("home/.local/state/filler"));
    format!("[hooks]\nafter_create = '''[ -e {room:?} ] || {FILL} >> {filler:?}; :'''\n{UNCAGED}")
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_no_try() {
    let project = project(AGENT, "", 4);
    project.write(".crewlog/config.toml", &config(AGENT, &filling(&project)));
    let script = format!(
        "{AWAIT}; mkdir -p {STATE} && mount -t tmpfs -o size=40m,mode=700 tmpfs {STATE} || exit {NO_MOUNT}
         {RUN} > ../run 2>&1 & await HOLD; $S status > ../status
         : > ../room; rm {STATE}/filler; wait $!; echo run=$?"
    );
    let Some(output) = with_mounts(&project, &script) else {
        return;
    };
    let read = |name: &str| fs::read_to_string(project.root.join(name)).expect("what was said");
    let run = read("../run");
    assert_eq!(told(&output, "run"), 0, "{run} {}", said(&output));
    says(
        &run,
        &[
            "a problem of the machine, not of the feature",
            "free disk space",
            "works again",
        ],
    );
    said_once(&run, "HOLD");
    says(&read("../status"), &["machine", "disk"]);
    assert_nobody_paid(&project, 4);
}

#[test]
fn a_disk_that_stays_full_ends_the_run_and_parks_nothing() {
    let project = project(AGENT, "", 8);
    project.write(
        ".crewlog/config.toml",
        &impatient(AGENT, &filling(&project)),
    );
    let script = format!(
        "mkdir -p {STATE} && mount -t tmpfs -o size=40m,mode=700 tmpfs {STATE} || exit {NO_MOUNT}
         {RUN} >&2; echo full=$?; $S status >&2; echo status=$?; $S log >&2; echo log=$?
         $S verify >&2; echo verify=$?
         {RUN} > ../refused 2>&1; echo start=$?; cat ../refused >&2
         : > ../room; rm {STATE}/filler; {RUN} >&2; echo again=$?"
    );
    let Some(output) = with_mounts(&project, &script) else {
        return;
    };
    let text = said(&output);
    for (step, code) in [("full", 4), ("status", 0), ("log", 0), ("verify", 0)] {
        assert_eq!(told(&output, step), code, "{step}: {text}");
    }
    assert_eq!(
        told(&output, "start"),
        2,
        "seen before the first attempt: {text}"
    );
    says(
        &text,
        &[
            "the directory of attempts",
            "KiB of free space",
            "a problem of the machine has held up every attempt",
        ],
    );
    assert_eq!(told(&output, "again"), 0, "{text}");
    assert_nobody_paid(&project, 8);
}

#[test]
fn an_agent_that_is_missing_is_an_error_before_anything_begins() {
    let project = project(AGENT, "", 2);
    let known = events(&project).len();
    let table = [
        (
            "program = \"sh\"",
            "program = \"no-such-agent\"",
            "no such program in PATH",
        ),
        (
            "program = \"sh\"",
            "program = \"./agent\"",
            "cannot be found",
        ),
        (
            "driver = \"command\"\nprogram = \"sh\"",
            "driver = \"acp\"\nprogram = \"acp-gone\"",
            "acp-gone",
        ),
    ];
    for (before, after, word) in table {
        let text = config(AGENT, "").replace(before, after);
        project.write(".crewlog/config.toml", &text);
        let words = ["agent.program", word];
        assert_refused(&project.scheduler(&crate::kit::RUN), 2, &words);
    }
    let tester = "[agent.testing]\ndriver = \"command\"\nprogram = \"no-such-tester\"\n";
    project.write(".crewlog/config.toml", &config(AGENT, tester));
    let words = ["agent.testing.program", "no-such-tester"];
    assert_refused(&project.scheduler(&crate::kit::RUN), 2, &words);
    assert_eq!(events(&project).len(), known, "nothing has begun");
    assert_nothing_left(&project);
}

#[test]
fn an_agent_that_is_taken_away_and_put_back_costs_no_try() {
    let project = project(AGENT, "", 4);
    let agent = project.home().join("agent");
    // A shell of its own, which starts or does not: a script may vanish between its start and the
    // moment when its shell opens it. The shell writes it, for who has a file open for writing when
    // another test forks cannot execute it.
    let copied = std::process::Command::new("sh")
        .args(["-c", "cp \"$(command -v sh)\" \"$0\""])
        .arg(&agent)
        .status();
    assert!(copied.expect("a shell").success());
    // The first session does its work, and then nobody finds the program any more.
    let place = agent.display();
    let script =
        format!("{AGENT}\n[ -e {place}.away ] || mv {place} {place}.away 2>/dev/null; :\n");
    let text = config(AGENT, "");
    let cut = text.find("program = ").expect("a program");
    let before = text.get(..cut).expect("before");
    // It takes its own program away, which the cage does not allow.
    let text = format!("{before}program = {agent:?}\nargs = [\"-c\", '''{script}''']\n{UNCAGED}");
    project.write(".crewlog/config.toml", &text);
    let script = format!(
        "{AWAIT}; {RUN} > ../run 2>&1 & await HOLD
         cp -p ../home/agent.away ../home/agent; wait $!; echo run=$?"
    );
    let output = done(&project, &script);
    let run = fs::read_to_string(project.root.join("../run")).expect("what was said");
    assert_eq!(told(&output, "run"), 0, "{run}");
    says(&run, &["cannot start", "agent", "works again"]);
    said_once(&run, "HOLD");
    assert_nobody_paid(&project, 4);
}

#[test]
fn a_hook_that_fails_for_everybody_ends_the_run_and_parks_nothing() {
    let project = project(AGENT, "", 8);
    project.write("setup.sh", "exit 0\n");
    project.git(&["add", "setup.sh"]);
    project.git(&["commit", "-q", "-m", "a script that nobody may execute"]);
    let table = [
        (
            "after_create = \"echo no network; exit 1\"",
            "after_create exited with 1: no network",
        ),
        ("before_run = \"exit 3\"", "before_run exited with 3"),
        ("after_create = \"./setup.sh\"", "ermission denied"),
    ];
    for (hook, word) in table {
        let hooks = format!("[hooks]\n{hook}\n");
        project.write(".crewlog/config.toml", &impatient(AGENT, &hooks));
        let run = done(&project, &format!("{RUN}; echo run=$?"));
        assert_eq!(told(&run, "run"), 4, "{hook}: {}", said(&run));
        says(
            &said(&run),
            &[
                "HOLD",
                word,
                "fix the hook",
                "a problem of the machine has held up every attempt",
            ],
        );
    }
    project.write(".crewlog/config.toml", &config(AGENT, ""));
    assert_passes(&project);
    assert_nobody_paid(&project, 8);
}

#[test]
fn a_hook_that_the_agents_work_breaks_is_that_features_failure() {
    let agent = format!("{AGENT}\n[ $CREWLOG_FEATURE != 1 ] || echo broken > package");
    let hooks = "[hooks]\nafter_create = \"! grep -q broken package\"\n";
    let project = project(AGENT, "", 2);
    project.write("package", "sound\n");
    project.git(&["add", "package"]);
    project.git(&["commit", "-q", "-m", "a package"]);
    project.write(".crewlog/config.toml", &config(&agent, hooks));
    let run = done(&project, &format!("{RUN}; echo run=$?"));
    assert_eq!(told(&run, "run"), 3, "{}", said(&run));
    let all = events(&project).join("\n");
    says(&all, &["FeatureParked", "hook_failed"]);
    assert!(!all.contains("CrewTroubled"), "{all}");
    assert_eq!(merges(&project).len(), 1);
}

#[test]
fn a_line_in_gits_config_that_is_none_is_an_error_before_anything_begins() {
    let project = project(AGENT, "", 2);
    let known = events(&project).len();
    let path = project.root.join(".git/config");
    let sound = fs::read_to_string(&path).expect("a config");
    fs::write(&path, format!("{sound}garbage here\n")).expect("written");
    let line = format!("bad config line {}", sound.lines().count() + 1);
    assert_refused(
        &project.scheduler(&crate::kit::RUN),
        2,
        &[&line, ".git/config"],
    );
    fs::write(&path, sound).expect("written");
    assert_eq!(events(&project).len(), known, "nothing has begun");
    assert_passes(&project);
    assert_nothing_left(&project);
}

#[test]
fn a_line_in_gits_config_that_comes_during_the_run_costs_no_try() {
    let project = project(AGENT, "", 4);
    let top = project.root.join("..").canonicalize().expect("it is there");
    let gate = top.join("gate");
    let agent =
        format!("{AGENT}\n[ $CREWLOG_FEATURE = 1 ] || until [ -e {gate:?} ]; do sleep 0.05; done");
    project.write(".crewlog/config.toml", &config(&agent, UNCAGED));
    let script = format!(
        "{AWAIT}; {RUN} > ../run 2>&1 & await PASS
         cp .git/config ../sound; echo garbage here >> .git/config; : > ../gate
         await HOLD; cp ../sound .git/config; wait $!; echo run=$?"
    );
    let output = done(&project, &script);
    let run = fs::read_to_string(project.root.join("../run")).expect("what was said");
    assert_eq!(told(&output, "run"), 0, "{run}");
    says(&run, &["HOLD", "bad config line", "works again"]);
    assert_nobody_paid(&project, 4);
}

#[test]
fn a_mode_that_the_agent_does_not_have_is_an_error_before_anything_begins() {
    let project = project(AGENT, "", 8);
    let known = events(&project).len();
    let scheduler = env!("CARGO_BIN_EXE_scheduler");
    let agent = format!(
        "[agent]\ndriver = \"acp\"\nprogram = {scheduler:?}\nargs = [\"scripted-agent\", \"--script\", \".\"]\nmode = \"turbo\"\n"
    );
    project.write(
        ".crewlog/config.toml",
        &format!("[run]\nbranch = \"clean\"\n{agent}"),
    );
    let words = [
        "cannot start a session with",
        "the mode \"turbo\"",
        "Correct agent.mode",
    ];
    assert_refused(&project.scheduler(&crate::kit::RUN), 2, &words);
    assert_eq!(events(&project).len(), known, "nothing has begun");
    assert_nothing_left(&project);
}

/// Speaks ACP up to the session, for which it wants a login.
const LOGGED_OUT: &str = r#"#!/bin/sh
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  case $line in
    *'"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":1,"agentCapabilities":{}}}\n' "$id" ;;
    *'"session/new"'*) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"Authentication required"}}\n' "$id" ;;
  esac
done
"#;

#[test]
fn an_agent_that_wants_a_login_parks_nothing() {
    let project = project(AGENT, "", 8);
    let agent = project.home().join("logged-out");
    fs::write(&agent, LOGGED_OUT).expect("a file");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("a mode");
    let run = "[run]\nbranch = \"clean\"\nmax_attempts = 1\n";
    let acp = format!("{run}[agent]\ndriver = \"acp\"\nprogram = {agent:?}\n");
    // With a mode, the agent is asked before anything begins.
    project.write(".crewlog/config.toml", &format!("{acp}mode = \"code\"\n"));
    let words = [
        "Authentication required",
        "Log in with the agent's own program",
    ];
    assert_refused(&project.scheduler(&crate::kit::RUN), 2, &words);
    let says = "echo 'Not logged in · Please run /login'; exit 1";
    let table = [
        (acp, "Authentication required"),
        (impatient(says, ""), "Not logged in"),
    ];
    for (config, word) in table {
        project.write(".crewlog/config.toml", &config);
        let run = project.scheduler(&crate::kit::RUN);
        assert_eq!(run.status.code(), Some(4), "{}", said(&run));
        assert!(said(&run).contains(word), "{}", said(&run));
    }
    let all = events(&project).join("\n");
    assert!(
        !all.contains("FeatureFailed") && !all.contains("FeatureParked"),
        "{all}"
    );
}
