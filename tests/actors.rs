//! Agents that try to steer the run that they are part of, as real processes: with and without a
//! scheduler, without the cage, with all that could tell on them cleared.

mod real;

use std::fs;
use std::path::Path;

use real::{Project, wait, wait_until};
use serde_json::Value;

/// How an agent's command is started, so that less of it tells where it belongs.
const DISGUISES: [&str; 4] = [
    "",
    "env -i PATH=\"$PATH\" HOME=\"$HOME\"",
    "setsid -w env -i PATH=\"$PATH\" HOME=\"$HOME\"",
    // The middle process is gone when the command starts; its parent is whoever adopts orphans.
    "ORPHAN",
];

/// The commands that every agent tries, and the words that the log keeps of them.
const TRIES: [(&str, &str); 8] = [
    (
        "import --update weak.toml",
        "import 1 features with --update",
    ),
    ("skip 1", "skip #1"),
    ("pause", "pause the run"),
    ("answer 1 yes", "answer #1"),
    ("retry 1", "retry #1"),
    ("export", "read the log"),
    ("status", "read the status"),
    ("stop --now", "stop the scheduler immediately"),
];

const WEAK: &str = "[[feature]]\nid = 1\nname = \"feature 1\"\nchecks = [\"true\"]\n";

/// An agent that runs every try in every disguise, and a worker of its own, and tells in its tree
/// how each has ended.
fn agent(project: &Path, more: &str) -> String {
    let bin = env!("CARGO_BIN_EXE_scheduler");
    let root = project.display();
    let mut script = format!(
        r#"
cat > weak.toml <<'END'
{WEAK}END
mkdir -p fake; printf '#!/bin/sh\nexit 0\n' > fake/test; chmod +x fake/test
{more}
orphan() {{
    rm -f done; ( ( "$@" > orphan.out 2>&1; echo $? > done.new; mv done.new done ) & )
    while ! [ -e done ]; do sleep 0.05; done
    cat orphan.out; return "$(cat done)"
}}
try() {{
    name=$1; shift
    "$@" > out.txt 2>&1 < /dev/null; echo "$name -> $?" >> codes.txt
    echo "== $name" >> said.txt; cat out.txt >> said.txt
}}
"#
    );
    for disguise in DISGUISES {
        let disguise = disguise.replace("ORPHAN", "orphan");
        for (line, _) in TRIES {
            let line = format!("try \"{line}\" {disguise} {bin} -C {root} {line}\n");
            script.push_str(&line);
        }
    }
    script.push_str(&format!(
        "try worker env PATH=\"$PWD/fake:$PATH\" timeout 60 {bin} -C {root} worker --kind testing\n"
    ));
    script.push_str(&format!(
        "try crew env -i PATH=\"$PWD/fake:$PATH\" HOME=\"$HOME\" timeout 60 {bin} -C {root} worker --kind coding --started-by-scheduler\n"
    ));
    script.push_str("echo '{\"verdict\": \"pass\"}' > \"$CREWLOG_VERDICT\"\n");
    script
}

fn project(isolation: &str, more: &str) -> Project {
    let project = Project::new("");
    let script = project.root.join("../agent.sh");
    fs::write(&script, agent(&project.root, more)).expect("a script");
    let config = format!(
        "[run]\nbranch = \"test\"\nmax_attempts = 1\n[agent]\ndriver = \"command\"\nprogram = \"sh\"\n\
         args = [\"{}\"]\n[environment]\nisolation = \"{isolation}\"\n",
        script.display()
    );
    project.write(".crewlog/config.toml", &config);
    let backlog = WEAK.replace("\"true\"", "\"test -s impossible\"");
    project.write("../features.toml", &backlog);
    let imported = project.scheduler(&["import", "../features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    project
}

/// A file of the agent's tree, from the work that was kept of its attempt.
fn kept(project: &Project, name: &str) -> String {
    let refs = project.git(&[
        "for-each-ref",
        "--format=%(refname)",
        "refs/crewlog/preserved",
    ]);
    let reference = refs.lines().next().expect("work that was kept");
    project.git(&["show", &format!("{reference}:{name}")])
}

fn events(project: &Project) -> Vec<Value> {
    let output = project.scheduler(&["export"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn refused(project: &Project) -> Vec<(String, Value)> {
    let events = events(project).into_iter();
    let refused = events.filter(|event| event["type"] == "CommandRefused");
    let told = refused.map(|event| {
        let command = event["data"]["command"].as_str().unwrap_or_default();
        (command.to_owned(), event["actor"].clone())
    });
    told.collect()
}

fn nothing_was_gained(project: &Project) {
    assert!(
        project.merged("crewlog/test").is_empty(),
        "something was merged"
    );
    for event in events(project) {
        let person = event["actor"].get("person").is_some();
        let import = event["type"] == "FeatureAdded";
        assert!(!person || import, "a person did this: {event}");
        let agent = event["actor"].get("agent").is_some();
        assert_eq!(agent, event["type"] == "CommandRefused", "{event}");
    }
}

fn with_a_scheduler(isolation: &str) {
    let project = project(isolation, "");
    let run = project.scheduler(&["run", "--workers", "coding=1"]);
    // Its work fails the check that it could not replace, and its only try is used up.
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    let codes = kept(&project, "codes.txt");
    let said = kept(&project, "said.txt");
    assert_eq!(
        codes.lines().count(),
        TRIES.len() * DISGUISES.len() + 2,
        "{codes}"
    );
    for line in codes.lines() {
        assert!(line.ends_with("-> 2"), "{line}\n{said}");
    }
    nothing_was_gained(&project);
    let status = project.scheduler(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("parked"), "{text}");
    project.wait_for_silence();
}

#[test]
fn an_agent_in_a_namespace_steers_nothing() {
    with_a_scheduler("none");
}

/// Speaks to the socket itself, past what our own program checks first: the scheduler recognises
/// it all the same, says so, and writes it down.
fn past_our_own_program(isolation: &str) {
    let speaker = r#"
cat > speak.py <<'END'
import os, socket, struct, sys
path, message = sys.argv[1], bytes.fromhex(sys.argv[2])
os.chdir(os.path.dirname(path))
s = socket.socket(socket.AF_UNIX); s.connect("socket")
version = s.recv(8)[4:6]
s.sendall(b"CREW" + version + struct.pack("<H", 2))
s.sendall(struct.pack("<I", len(message)) + message)
data = b""
while True:
    part = s.recv(65536)
    if not part: break
    data += part
print(data)
END
"#;
    let project = project(isolation, "");
    let socket = fs::read_dir(project.root.join(".git/crewlog")).expect("projects");
    let data = socket.flatten().next().expect("the project").path();
    // `ClientMessage::Stop(StopMode::Now)` and `ClientMessage::Live`, as bincode writes them.
    let mut script = speaker.to_owned();
    let socket = data.join("socket");
    for disguise in [
        "",
        "env -i PATH=\"$PATH\"",
        "setsid -w env -i PATH=\"$PATH\"",
    ] {
        for message in ["0301", "02"] {
            script.push_str(&format!(
                "{disguise} python3 speak.py {} {message} >> said.txt 2>&1\n",
                socket.display()
            ));
        }
    }
    fs::write(project.root.join("../agent.sh"), script).expect("a script");
    let run = project.scheduler(&["run", "--workers", "coding=1"]);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    let said = kept(&project, "said.txt");
    assert_eq!(said.matches("cannot control the run").count(), 6, "{said}");
    let refused = refused(&project);
    let words: Vec<&str> = refused
        .iter()
        .map(|(command, _)| command.as_str())
        .collect();
    let both = ["stop the scheduler immediately", "read the status"];
    assert_eq!(words, both.repeat(3));
    for (command, actor) in &refused {
        assert!(actor["agent"]["attempt"].is_u64(), "{command}: {actor}");
    }
    nothing_was_gained(&project);
    for args in [&["log"][..], &["why", "1"], &["status"]] {
        let output = project.scheduler(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let named = text.contains("tried to read the status") && text.contains("agent of a");
        assert!(named, "{args:?}: {text}");
    }
    project.wait_for_silence();
}

#[test]
fn a_namespaced_agent_at_the_socket_is_recognised() {
    past_our_own_program("none");
}

/// A worker that a person has started goes on after its scheduler was killed; its agent finds the
/// log unlocked.
#[test]
fn without_a_scheduler_an_agent_steers_nothing_either() {
    for isolation in ["none"] {
        let gate = "while ! [ -e go ]; do sleep 0.05; done";
        let project = project(isolation, gate);
        let mut scheduler = project.start(&["run"]);
        let mut worker = project.start(&["worker", "--kind", "coding"]);
        let attempts = || tree_of(&project);
        let tree = wait_until("the agent is working", attempts);
        scheduler.kill().expect("killed");
        wait(&mut scheduler);
        let before = events(&project).len();
        fs::write(tree.join("go"), "").expect("the gate");
        wait_until("the agent is done", || {
            let codes = fs::read_to_string(tree.join("codes.txt")).ok()?;
            (codes.lines().count() == TRIES.len() * DISGUISES.len() + 2).then_some(())
        });
        let codes = fs::read_to_string(tree.join("codes.txt")).expect("codes");
        let said = fs::read_to_string(tree.join("said.txt")).expect("words");
        for line in codes.lines() {
            assert!(line.ends_with("-> 2"), "{line}\n{said}");
        }
        assert!(said.contains("of this project"), "{said}");
        assert_eq!(events(&project).len(), before, "the log has grown");
        worker.kill().expect("killed");
        wait(&mut worker);
        nothing_was_gained(&project);
        project.wait_for_silence();
    }
}

/// The agent's working tree, once it has written its first file.
fn tree_of(project: &Project) -> Option<std::path::PathBuf> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut trees = processes.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
    let home = project.root.parent()?.canonicalize().ok()?;
    trees.find(|tree| tree.starts_with(&home) && tree.join("fake/test").is_file())
}

/// What an agent does with projects in its own directories is its own business: this very test
/// may be run by one.
#[test]
fn an_agent_may_use_crewlog_on_projects_of_its_own() {
    let project = project("none", "");
    let bin = env!("CARGO_BIN_EXE_scheduler");
    let script = format!(
        "for dir in \"$PWD/inner\" \"$TMPDIR/inner\"; do\n\
         git init -q \"$dir\" && cd \"$dir\" || exit 1\n\
         git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first\n\
         {bin} init -q && {bin} import -q features.toml && {bin} status > status.txt\n\
         echo $? >> \"$CREWLOG_WORKTREE/codes.txt\"\n\
         done\n\
         cd \"$CREWLOG_WORKTREE\"; rm -rf inner; cat codes.txt\n"
    );
    fs::write(project.root.join("../agent.sh"), script).expect("a script");
    let run = project.scheduler(&["run", "--workers", "coding=1"]);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    assert_eq!(kept(&project, "codes.txt"), "0\n0\n");
    nothing_was_gained(&project);
}

#[test]
fn people_are_named_in_the_log() {
    let project = project("none", "");
    let skipped = project.scheduler(&["skip", "1", "--reason", "no need"]);
    assert!(skipped.status.success(), "{skipped:?}");
    let uid = rustix::process::getuid().as_raw();
    for args in [&["log"][..], &["why", "1"], &["status"], &["show", "1"]] {
        let output = project.scheduler(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains(&format!("by uid {uid} (pid ")),
            "{args:?}: {text}"
        );
    }
    let last = events(&project).pop().expect("an event");
    assert_eq!(last["actor"]["person"]["uid"], uid, "{last}");
}
