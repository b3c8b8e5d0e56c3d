//! `scheduler service --print`, read by systemd itself where it is installed.

use std::fs;
use std::process::Command;

use crate::kit::{AGENT, project, succeeds};
use crate::real::{clean, said};

#[test]
fn the_unit_is_valid_and_starts_this_project() {
    let project = project(AGENT, "", 1);
    let tmp = project.tmp().canonicalize().expect("a path");
    let odd = project.root.with_file_name("a \"quoted\" 100% $HOME");
    fs::rename(&project.root, &odd).expect("a rename");
    let mut print = project.command(&["service", "--print", "--workers", "coding=2"]);
    let unit = succeeds(&print.current_dir(&odd).output().expect("the scheduler"));
    for line in [
        "Restart=on-failure",
        "SuccessExitStatus=3 4 7 130",
        "WantedBy=default.target",
    ] {
        assert!(unit.lines().any(|it| it == line), "{line} in {unit}");
    }
    let path = tmp.join("crewlog-test.service");
    fs::write(&path, &unit).expect("a file");
    let mut verify = Command::new("systemd-analyze");
    clean(&mut verify, &tmp);
    let verified = verify
        .args(["verify", "--user", "--man=no"])
        .arg(&path)
        .env("XDG_RUNTIME_DIR", &tmp)
        .output();
    let Ok(verified) = verified else {
        // There is no systemd here.
        return;
    };
    let named = said(&verified);
    // Other units of the machine may have problems of their own.
    let ours: Vec<&str> = named
        .lines()
        .filter(|it| it.contains("crewlog-test"))
        .collect();
    assert!(ours.is_empty(), "{named}\n{unit}");
    // Its command line, as systemd splits it, is one that this program understands.
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let start = start
        .expect("a command")
        .replace("$$", "\\$")
        .replace("%%", "%");
    let mut shell = Command::new("sh");
    clean(&mut shell, &tmp);
    let ran = shell
        .args(["-c", &format!("exec {start}")])
        .current_dir("/")
        .output();
    let ran = ran.expect("a shell");
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    fs::rename(&odd, &project.root).expect("a rename");
}
