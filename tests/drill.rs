//! The drill as a user starts it: it kills, everything recovers, and its table says so.

mod real;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use real::wait;
use serde_json::Value;

fn drill(dir: &std::path::Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    real::clean(&mut command, dir);
    command.arg("drill").args(args).stdin(Stdio::null());
    // The fresh directory of the drill is made here, so that it can be looked for.
    command.env("TMPDIR", dir);
    command
}

fn left_in(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("crewlog")).collect()
}

#[test]
fn everything_is_killed_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let seed = rand::random::<u32>().to_string();
    println!("seed {seed}");
    let args = [
        "--for",
        "5s",
        "--kill-every",
        "200ms",
        "--format",
        "json",
        "--seed",
        &seed,
    ];
    let output = drill(dir.path(), &args).output().expect("a drill");
    let said = String::from_utf8_lossy(&output.stdout);
    let told: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{output:?}"));
    assert!(output.status.success(), "{told:#}");
    for name in ["lost", "merged_twice", "orphans"] {
        assert_eq!(told[name], 0, "{told:#}");
    }
    assert_eq!(told["seed"].to_string(), seed);
    assert!(told["kills"].as_u64() >= Some(10), "{told:#}");
    assert!(told["restarts"].as_u64() >= Some(1), "{told:#}");
    assert!(told["features"].as_u64() >= Some(12), "{told:#}");
    assert_eq!(told["features"], told["merged"], "{told:#}");
    assert!(
        told["recovery"]["longest_ms"].as_u64().is_some(),
        "{told:#}"
    );
    assert_eq!(
        left_in(dir.path()),
        Vec::<String>::new(),
        "it leaves nothing behind"
    );
}

#[test]
fn a_second_ctrl_c_ends_it_with_all_its_processes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = drill(dir.path(), &["--for", "1h", "--kill-every", "200ms"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a drill");
    let (lines, pid) = (child.stderr.take().expect("a pipe"), child.id().to_string());
    let interrupt = || {
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.expect("kill").success());
    };
    let mut root = None;
    for line in BufReader::new(lines).lines() {
        let line = line.expect("a line");
        // The first ends the killing; what is alive then may complete, unless there is a second.
        if line.starts_with("killing") || line.starts_with("completing") {
            root = root.or_else(|| left_in(dir.path()).pop().map(|name| dir.path().join(name)));
            interrupt();
        }
    }
    assert_eq!(wait(&mut child), Some(130));
    let left = real::processes_of(&root.expect("it worked somewhere"));
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(left_in(dir.path()), Vec::<String>::new());
}

#[test]
fn what_cannot_be_is_said_before_anything_is_done() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("mine"), "precious").expect("a file");
    let named = dir.path().to_string_lossy().into_owned();
    let table: [(&[&str], &str); 4] = [
        (&["--dir", &named], "is not empty"),
        (&["--for", "10ms"], "from 1s"),
        (&["--kill-every", "soon"], "for example: 500ms"),
        (&["--kill-every", "1ms"], "from 50ms"),
    ];
    for (args, says) in table {
        let output = drill(dir.path(), args).output().expect("a drill");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("it").count(), 1);
}
