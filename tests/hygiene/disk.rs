//! A disk that is full: where the log is, and where the work is.

use std::process::{Command, Output};

use crate::kit::{
    AGENT, assert_untouched, config, events, merges, project, said, shell, users_state,
};
use crate::real::Project;

/// What a script exits with where the machine lets nobody mount anything.
pub const NO_MOUNT: i32 = 77;

/// Runs a script where mounts are its own and end with it: as root in a mount namespace, else in a
/// user namespace, too. `None` where neither can be had.
pub fn with_mounts(project: &Project, script: &str) -> Option<Output> {
    let plain = shell(project, script);
    let options = match rustix::process::geteuid().is_root() {
        true => "-m",
        false => "-rm",
    };
    let mut command = Command::new("unshare");
    command.env_clear().current_dir(&project.root);
    let env = plain.get_envs();
    command.envs(env.filter_map(|(name, value)| Some((name, value?))));
    command.args([options, "sh", "-c", script]);
    let output = command.output().ok()?;
    let refused = output.status.code() == Some(NO_MOUNT)
        || said(&output).starts_with("unshare: ") && !output.status.success();
    if refused {
        eprintln!("skipped: nothing can be mounted here: {}", said(&output));
        return None;
    }
    Some(output)
}

/// What follows `key=` in a line of the script's output.
pub fn told(output: &Output, key: &str) -> i32 {
    let text = String::from_utf8_lossy(&output.stdout);
    let prefix = format!("{key}=");
    let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
    let number = line.and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{key} is missing: {}", said(output)))
}

/// Where the attempts' directories are, from the project.
const STATE: &str = "../home/.local/state";
pub const FILL: &str = "dd if=/dev/zero bs=4k 2>/dev/null";
const RUN: &str = "$S run --workers coding=1,testing=1 --progress none";

#[test]
fn a_full_disk_under_the_log_is_named_and_loses_nothing() {
    let project = project(AGENT, "", 2);
    // More than fits into what the engine has taken from the disk already.
    let words = "that were not written ".repeat(60);
    let big =
        |id: u32| format!("[[feature]]\nid = {id}\nname = \"n{id}\"\ndescription = \"{words}\"\n");
    let big: String = (3..1_500).map(big).collect();
    std::fs::write(project.root.join("../big.toml"), big).expect("a backlog");
    let before = users_state(&project);
    let script = format!(
        "cp -a .git/crewlog/main ../kept && mount -t tmpfs -o size=24m,mode=700 tmpfs .git/crewlog/main || exit {NO_MOUNT}
         cp -a ../kept/. .git/crewlog/main; $S export > ../before
         {FILL} > .git/crewlog/main/filler; $S import ../big.toml > ../full 2>&1; echo full=$?
         rm .git/crewlog/main/filler; $S export > ../after; echo export=$?
         head -n $(wc -l < ../before) ../after | cmp - ../before; echo prefix=$?
         $S verify >&2; echo verify=$?
         {RUN} >&2; echo run=$?; $S verify >&2; echo whole=$?"
    );
    let Some(output) = with_mounts(&project, &script) else {
        return;
    };
    let full = std::fs::read_to_string(project.root.join("../full")).expect("what was said");
    assert_eq!(told(&output, "full"), 1, "{full}");
    assert!(full.contains("No space left on device"), "{full}");
    assert!(
        full.contains("error: ") && full.contains("next: "),
        "{full}"
    );
    assert!(!full.contains("panicked"), "{full}");
    for step in ["export", "prefix", "verify", "run", "whole"] {
        assert_eq!(told(&output, step), 0, "{step}: {}", said(&output));
    }
    project.wait_for_silence();
    assert_untouched(&before, &project);
    let merges = merges(&project);
    assert!(merges.len() == 2 && merges.values().all(|&times| times == 1));
}

#[test]
fn a_full_disk_under_the_work_ends_the_run_and_loses_nothing() {
    let project = project(AGENT, "", 1);
    // The agent is the one who fills it, so that git, the checks and the result find it full.
    let fills = format!("{AGENT}\n{FILL} > filler; true");
    let impatient =
        |agent: &str| config(agent, "").replace("[run]\n", "[run]\nworker_wait = \"2s\"\n");
    project.write(".crewlog/config.toml", &impatient(&fills));
    let before = users_state(&project);
    let script = format!(
        "mkdir -p {STATE} && mount -t tmpfs -o size=40m,mode=700 tmpfs {STATE} || exit {NO_MOUNT}
         {RUN} >&2; echo full=$?; $S why 1; test -s {STATE}/crewlog/*/attempts/a*/tree/filler; echo kept=$?"
    );
    let Some(output) = with_mounts(&project, &script) else {
        return;
    };
    assert_eq!(told(&output, "full"), 4, "{}", said(&output));
    let text = said(&output);
    let why = ["No space left on device", "Out of diskspace"];
    assert!(why.iter().any(|words| text.contains(words)), "{text}");
    // What cannot be preserved is not thrown away.
    assert_eq!(told(&output, "kept"), 0, "{text}");
    assert!(!text.contains("panicked"), "{text}");
    let known = events(&project);
    assert!(!known.iter().any(|event| event.contains("FeatureFailed")));
    // With room again, it goes on from there.
    project.write(".crewlog/config.toml", &impatient(AGENT));
    crate::kit::assert_passes(&project);
    crate::kit::assert_nothing_left(&project);
    project.write(".crewlog/config.toml", &impatient(&fills));
    assert_untouched(&before, &project);
    let after = events(&project);
    assert_eq!(
        after.get(..known.len()),
        Some(&*known),
        "events are for ever"
    );
}

#[test]
fn workers_that_can_write_no_result_end_the_run_and_it_goes_on_with_room() {
    let project = project(AGENT, "", 1);
    let text = config(AGENT, "").replace("[run]\n", "[run]\nworker_wait = \"3s\"\n");
    project.write(".crewlog/config.toml", &text);
    let before = users_state(&project);
    let script = format!(
        "mkdir -p .git/crewlog/main/spool && mount -t tmpfs -o size=64k,mode=700 tmpfs .git/crewlog/main/spool || exit {NO_MOUNT}
         {FILL} > .git/crewlog/main/spool/filler; {RUN} >&2; echo full=$?; $S status >&2; $S log >&2
         ls .git/crewlog/main/spool/*.new >/dev/null 2>&1; echo halves=$?; rm .git/crewlog/main/spool/filler; {RUN} > ../again 2>&1; echo again=$?; umount .git/crewlog/main/spool"
    );
    let Some(output) = with_mounts(&project, &script) else {
        return;
    };
    let text = said(&output);
    assert_eq!(told(&output, "full"), 4, "{text}");
    let reason = "a problem of the machine has held up every attempt";
    let times = text.matches(reason).count();
    assert!(times >= 2, "the status and the log keep it: {text}");
    for words in ["No space left on device", "free disk space"] {
        assert!(text.contains(words), "{words:?} is missing: {text}");
    }
    assert_eq!(told(&output, "halves"), 2, "nothing half written: {text}");
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(told(&output, "again"), 0, "{text}");
    project.wait_for_silence();
    assert_untouched(&before, &project);
    let merges = merges(&project);
    assert!(merges.len() == 1 && merges.values().all(|&times| times == 1));
}

#[test]
fn words_that_cannot_be_written_stop_nobody() {
    let project = project(AGENT, "[workers]\norphan_limit = \"200ms\"\n", 1);
    let full = || {
        let file = std::fs::File::options().write(true).open("/dev/full");
        file.expect("/dev/full")
    };
    let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
    crate::real::clean(&mut worker, &project.home());
    worker.args(["-vv", "--kind", "coding"]).stderr(full());
    let ended = worker.current_dir(&project.root).status();
    assert_eq!(
        ended.expect("started").code(),
        Some(4),
        "no scheduler was found"
    );
    let run = "run --workers coding=1,testing=1 -vv";
    let run: Vec<&str> = run.split(' ').collect();
    let ended = project.command(&run).stderr(full()).status();
    assert_eq!(ended.expect("started").code(), Some(0));
    // A result that cannot be said is another matter.
    let status = project.command(&["status"]).stdout(full()).output();
    let words = [
        "standard output",
        "No space left on device",
        "the disk may be full",
    ];
    crate::kit::assert_refused(&status.expect("started"), 1, &words);
    crate::kit::assert_nothing_left(&project);
}
