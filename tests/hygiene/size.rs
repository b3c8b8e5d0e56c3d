//! A huge repository, and outputs without an end.

use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::kit::{
    BRANCH, assert_nothing_left, assert_passes, assert_untouched, events, project, users_state,
};
use crate::real::Project;

/// Adds a commit with so many small files to the user's branch, and checks it out.
fn grow(project: &Project, files: u32) {
    let mut command = Command::new("git");
    crate::real::clean(&mut command, &project.home());
    command.current_dir(&project.root).stdin(Stdio::piped());
    let mut import = command
        .args(["fast-import", "--quiet"])
        .spawn()
        .expect("git");
    let mut to = BufWriter::new(import.stdin.take().expect("its input"));
    let mut say = |text: &str| to.write_all(text.as_bytes()).expect("written");
    say(
        "commit refs/heads/main\ncommitter A <a@b> 0 +0000\ndata 4\nhuge\nfrom refs/heads/main^0\n",
    );
    for number in 0..files {
        let text = number.to_string();
        let (dir, length) = (number / 500, text.len());
        say(&format!(
            "M 644 inline many/{dir}/{number}\ndata {length}\n{text}\n"
        ));
    }
    say("done\n");
    drop(to);
    assert!(import.wait().expect("its end").success());
    project.git(&["reset", "-q", "--hard"]);
}

#[test]
fn fifty_thousand_files_are_no_matter() {
    const FILES: u32 = 50_000;
    // One file of each directory, and a whole directory.
    let agent = "for dir in many/*; do echo x > $dir/new; done; rm -r many/7; echo done > f1.txt";
    let project = project(agent, "", 1);
    grow(&project, FILES);
    let before = users_state(&project);
    let began = Instant::now();
    assert_passes(&project);
    let took = began.elapsed();
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    let tree = project.git(&["ls-tree", "-r", "--name-only", BRANCH, "many/"]);
    assert_eq!(tree.lines().count(), 50_000 + 100 - 1 - 500);
    // Two checkouts, a commit, a rebase and three clean-ups; a minute would be a loop in a loop.
    assert!(took.as_secs() < 60, "it took {took:?}");
    eprintln!("a run in a repository of {FILES} files took {took:?}");
    let events = events(&project);
    let merge = events.iter().find(|event| event.contains("MergeStarted"));
    let merge = merge.expect("a merge");
    assert!(merge.len() < 200_000, "an event of {} bytes", merge.len());
}

#[test]
fn outputs_without_an_end_are_cut() {
    let agent = "yes 'a line of an agent that talks' | head -c 3000000; echo done > f1.txt";
    let project = project(agent, "", 1);
    let feature = "[[feature]]\nid = 2\nname = \"loud\"\ndepends_on = [1]\nchecks = \
                   [\"yes | head -c 30000000; head -c 30000000 /dev/zero; test -s f1.txt\"]\n";
    project.write(".crewlog/loud.toml", feature);
    assert!(
        project
            .scheduler(&["import", ".crewlog/loud.toml"])
            .status
            .success()
    );
    assert_passes(&project);
    assert_nothing_left(&project);
    // The log with the outputs of the checks beside it, which were run three times.
    let mut du = Command::new("du");
    let du = du
        .args(["-sk", ".git/crewlog/main/log"])
        .current_dir(&project.root);
    let text = String::from_utf8(du.output().expect("du").stdout).expect("text");
    let first = text
        .split_whitespace()
        .next()
        .and_then(|it| it.parse().ok());
    let kilobytes: u64 = first.expect("a size");
    assert!(kilobytes < 20_000, "{kilobytes} KiB were kept of 180 MB");
}
