//! Projects that are looked at from outside.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use rustix::process::{Pid, Signal, kill_process};

pub use crate::real::said;
use crate::real::{Project, wait_until};

/// The integration branch of every project here.
pub const BRANCH: &str = "crewlog/clean";

pub const RUN: [&str; 5] = [
    "run",
    "--workers",
    "coding=1,testing=1",
    "--progress",
    "none",
];

/// Leaves a child behind that left its session, and a temporary file, and does what it was told.
pub const AGENT: &str = r#"
setsid sleep 300 & echo scratch > "$TMPDIR/scratch"
printf 'feature %s\n' "$CREWLOG_FEATURE" > "f$CREWLOG_FEATURE.txt"
"#;

pub fn config(agent: &str, more: &str) -> String {
    format!(
        "[run]\nbranch = \"clean\"\nmax_attempts = 1\nretry_backoff = \"10ms\"\n\
         retry_backoff_max = \"20ms\"\nidle_limit = \"60s\"\n\
         [agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", '''{agent}''']\n{more}"
    )
}

pub fn backlog(features: u32) -> String {
    let one = |id: u32| {
        format!(
            "[[feature]]\nid = {id}\nname = \"feature {id}\"\nchecks = [\"test -s f{id}.txt\"]\n\n"
        )
    };
    (1..=features).map(one).collect()
}

/// A project with so many features to do.
pub fn project(agent: &str, more: &str, features: u32) -> Project {
    let project = Project::new(&config(agent, more));
    project.write(".crewlog/features.toml", &backlog(features));
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    project
}

/// The command failed with this code, and said all of these words.
pub fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    let said = said(output);
    assert!(said.contains("error: "), "no error: {said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
}

/// A run of all that is there to do, which must succeed.
pub fn assert_passes(project: &Project) {
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
}

pub fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("a living process");
}

/// Waits until an agent has made this file in its worktree.
pub fn await_in_worktree(project: &Project, name: &str) {
    wait_until("the agent is working", || project.in_an_attempt(name));
}

/// What belongs to Crewlog below a project's root.
const OURS: [&str; 8] = [
    ".git/crewlog",
    ".git/objects",
    ".git/refs/heads/crewlog",
    ".git/refs/crewlog",
    ".git/logs/refs/heads/crewlog",
    ".git/logs/refs/crewlog",
    ".git/worktrees",
    ".git/packed-refs",
];

/// Everything of the user's: files, links and directories, the index, `HEAD`, all refs, the stash,
/// the configuration, and whatever git notes of something under way.
pub fn users_state(project: &Project) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut state = BTreeMap::new();
    let mut dirs = vec![project.root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("readable").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&project.root).expect("below").to_owned();
            if OURS.iter().any(|ours| name == Path::new(ours)) {
                continue;
            }
            let kind = entry.file_type().expect("a kind");
            let content = if kind.is_dir() {
                dirs.push(path);
                b"directory".to_vec()
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).expect("a link");
                target.as_os_str().as_bytes().to_vec()
            } else {
                fs::read(&path).expect("readable")
            };
            state.insert(name, content);
        }
    }
    // Directories that exist only to hold what is ours.
    for name in [".git/logs/refs", ".git/logs/refs/heads", ".git/logs"] {
        state.remove(Path::new(name));
    }
    state
}

/// Two states of the user's are the same; says where they differ.
pub fn assert_untouched(before: &BTreeMap<PathBuf, Vec<u8>>, project: &Project) {
    let after = users_state(project);
    let names = before.keys().chain(after.keys());
    let differ = |name: &&PathBuf| before.get(*name) != after.get(*name);
    let changed: Vec<_> = names.filter(differ).collect();
    assert!(changed.is_empty(), "changed: {changed:?}");
}

/// Nothing is left that a run needs only while it runs.
pub fn assert_nothing_left(project: &Project) {
    project.wait_for_silence();
    let attempts = project.attempts();
    let attempts = attempts.to_str().expect("a text");
    for place in [attempts, ".git/crewlog/main/spool", ".git/worktrees"] {
        let entries = fs::read_dir(project.root.join(place));
        let left: Vec<_> = entries.into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "left in {place}: {left:?}");
    }
    let socket = project.root.join(".git/crewlog/main/socket");
    assert!(!socket.exists(), "the socket is left");
    let temporary: Vec<_> = fs::read_dir(project.tmp()).expect("readable").collect();
    assert!(temporary.is_empty(), "temporary files: {temporary:?}");
    let locks = find(&project.root.join(".git"), &|name| name.ends_with(".lock"));
    assert!(locks.is_empty(), "locks: {locks:?}");
    // The log is nobody's: whoever comes next gets it at once.
    let verified = project.scheduler(&["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
    let branches = project.git(&["for-each-ref", "--format=%(refname)", "refs/heads"]);
    let mut branches: Vec<&str> = branches.lines().collect();
    branches.retain(|name| *name != format!("refs/heads/{BRANCH}"));
    assert!(
        branches
            .iter()
            .all(|name| !name.to_lowercase().contains("crewlog")),
        "{branches:?}"
    );
}

/// All files below a directory whose names are so.
fn find(top: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let (mut dirs, mut found) = (vec![top.to_owned()], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(path);
            } else if wanted(&entry.file_name().to_string_lossy()) {
                found.push(path);
            }
        }
    }
    found
}

/// How often each feature was merged.
pub fn merges(project: &Project) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for feature in project.merged(BRANCH) {
        *counts.entry(feature).or_default() += 1;
    }
    counts
}

/// All that the log has, one JSON text for each event.
pub fn events(project: &Project) -> Vec<String> {
    let output = project.scheduler(&["export", "--format", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

/// Runs a shell script with the project as its directory and `$S` as the scheduler.
pub fn shell(project: &Project, script: &str) -> Command {
    let mut command = project.command(&[]);
    let scheduler = command.get_program().to_owned();
    let mut shell = Command::new("sh");
    crate::real::clean(&mut shell, &project.home());
    shell.env("TMPDIR", project.tmp());
    shell.current_dir(&project.root).env("S", scheduler);
    shell.args(["-c", script]);
    command = shell;
    command
}
