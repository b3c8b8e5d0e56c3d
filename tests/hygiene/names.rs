//! File names that are no words: in worktrees, in commits, in the evidence, in patches.

use std::collections::BTreeSet;
use std::process::Command;

use crate::kit::{
    BRANCH, RUN, assert_nothing_left, assert_passes, assert_untouched, config, events, project,
    said, users_state,
};
use crate::real::Project;

/// In the shell's `printf` form: names that a careless program takes for something else.
const NAMES: [&str; 12] = [
    "with space",
    " leading and trailing ",
    "two\\nlines",
    "tab\\there",
    "\"double\" and '\\''single'\\''",
    "-rf",
    "--all",
    "back\\\\slash",
    ":(exclude)*",
    "not utf8 \\377\\376",
    "\\303\\244",
    "[a]*?",
];

/// A shell script that makes all of these files, each with its number in it.
fn make_all() -> String {
    let lines = NAMES.iter().enumerate().map(|(number, name)| {
        format!("name=$(printf '%b.' '{name}'); printf '%s' {number} > \"./odd/${{name%.}}\"\n")
    });
    let make: String = lines.collect();
    // The dot keeps a line feed at the end of a name.
    format!("mkdir -p odd\n{make}echo done > f$CREWLOG_FEATURE.txt\n")
}

/// A project whose agent runs this script, which a config file could not quote.
fn with_script(script: &str, features: u32) -> Project {
    let project = project(". \"$HOME/agent.sh\"", "", features);
    std::fs::write(project.home().join("agent.sh"), script).expect("a script");
    project
}

/// The names that the branch has below `odd`, as bytes.
fn names_on(project: &Project, revision: &str) -> BTreeSet<Vec<u8>> {
    let mut command = Command::new("git");
    crate::real::clean(&mut command, &project.home());
    let args = ["ls-tree", "-r", "-z", "--name-only", revision, "odd/"];
    let output = command.arg("-C").arg(&project.root).args(args).output();
    let output = output.expect("git");
    assert!(output.status.success(), "{output:?}");
    let names = output.stdout.split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    names.map(<[u8]>::to_vec).collect()
}

fn expected() -> BTreeSet<Vec<u8>> {
    let output = Command::new("sh")
        .args([
            "-c",
            "for name; do printf 'odd/%b\\0' \"$name\"; done",
            "sh",
        ])
        .args(NAMES.map(|name| name.replace("'\\''", "'")))
        .output();
    let output = output.expect("a shell").stdout;
    let names = output.split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    names.map(<[u8]>::to_vec).collect()
}

#[test]
fn odd_names_are_committed_checked_and_named_in_the_evidence() {
    let project = with_script(&make_all(), 2);
    let before = users_state(&project);
    assert_passes(&project);
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    let (found, expected) = (names_on(&project, BRANCH), expected());
    assert_eq!(expected.len(), NAMES.len());
    assert_eq!(found, expected);
    let events = events(&project);
    let merge = events.iter().find(|event| event.contains("MergeStarted"));
    let merge: serde_json::Value = serde_json::from_str(merge.expect("a merge")).expect("JSON");
    let text = merge.to_string();
    for word in [
        "odd/with space",
        "odd/two\\nlines",
        "odd/-rf",
        "odd/ä",
        "odd/not utf8 \u{fffd}",
    ] {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}

#[test]
fn odd_names_in_work_that_is_thrown_away_are_preserved() {
    let project = with_script(&format!("{}exit 1\n", make_all()), 1);
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let kept = project.git(&["for-each-ref", "--format=%(refname)", "refs/crewlog"]);
    assert_eq!(names_on(&project, kept.trim()), expected());
    assert_nothing_left(&project);
}

#[test]
fn odd_names_pass_through_patches() {
    let project = project("true", "", 1);
    // The patch of a user who has such files, made by git in a repository of its own.
    let scratch = project.home().join("scratch");
    let script = format!(
        "git init -q -b main {0} && cd {0} && git config user.name A && git config user.email a@b \
         && git commit -q --allow-empty -m start && CREWLOG_FEATURE=1 && {1} \
         git add -A && git diff --cached --binary > ../odd.patch",
        scratch.display(),
        make_all()
    );
    let made = crate::kit::shell(&project, &script).output();
    let made = made.expect("a shell");
    assert!(made.status.success(), "{}", said(&made));
    let script = "[[attempt]]\nsteps = [{ patch = \"odd.patch\" }]\n";
    std::fs::write(project.home().join("1.toml"), script).expect("a script");
    let driver = "driver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", '''true''']";
    let scripted = format!(
        "program = \"{}\"\nargs = [\"scripted-agent\", \"--script\", \"{}\"]",
        env!("CARGO_BIN_EXE_scheduler"),
        project.home().display()
    );
    let config = config("true", "").replace(driver, &scripted);
    assert!(config.contains("scripted-agent"), "{config}");
    project.write(".crewlog/config.toml", &config);
    assert_passes(&project);
    assert_eq!(names_on(&project, BRANCH), expected());
    assert_nothing_left(&project);
}
