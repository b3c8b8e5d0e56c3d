//! The demo as a newcomer runs it.

mod real;

use std::process::{Command, Stdio};

#[test]
fn the_demo_ends_complete_with_all_its_trouble() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().join("a shoebox, with spaces");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    real::clean(&mut command, dir.path());
    command
        .args(["demo", "--format", "json", "--dir"])
        .arg(&place)
        .stdin(Stdio::null());
    let output = command.output().expect("the demo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    println!("{summary:#}");
    assert_eq!(summary["features"], 16);
    assert_eq!(summary["passing"], 16);
    assert!(
        summary["merged"].as_u64() >= Some(17),
        "a repair is a merge too"
    );
    assert!(summary["regressions"].as_u64() >= Some(1));
    for kind in ["check_failed", "idle_limit", "agent_crashed"] {
        assert!(summary["failures"][kind].as_u64() >= Some(1), "no {kind}");
    }
    for mark in ["PASS", "FAIL", "TEST", "REGR"] {
        assert!(said.contains(mark), "no {mark} line in:\n{said}");
    }
    assert!(
        !said.contains('\u{1b}'),
        "escape sequences without a terminal"
    );
}
