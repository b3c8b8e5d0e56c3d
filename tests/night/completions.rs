//! Completions in a real shell, of values that only the project knows.

use std::path::Path;
use std::process::Command;

use crate::kit::{RUN, project, succeeds};
use crate::real::{Project, clean, text};

/// What bash completes for the last of these words.
fn completed(project: &Project, program: &str, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(scheduler completions bash --for {program}); \
         COMP_WORDS=({program} {}); COMP_CWORD={}; \
         _clap_complete_{program} {program} \"${{COMP_WORDS[COMP_CWORD]}}\"; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len()
    );
    let mut bash = Command::new("bash");
    clean(&mut bash, &project.home());
    let programs = Path::new(env!("CARGO_BIN_EXE_scheduler")).parent();
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{path}", programs.expect("a directory").display());
    let output = bash
        .args(["-c", &script])
        .env("PATH", path)
        .current_dir(&project.root)
        .output();
    let output = output.expect("bash");
    assert_eq!(text(&output.stderr), "", "{words:?}");
    // For an empty word, the options are listed, too.
    let found = text(&output.stdout);
    let words = found
        .split_whitespace()
        .filter(|word| !word.starts_with('-'));
    words.map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_what_the_project_has() {
    let asks = r#"
case "$CREWLOG_FEATURE" in
1) printf 'x\n' > f1.txt ;;
*) echo '{"feature": 2, "verdict": "input", "question": "?"}' > "$CREWLOG_VERDICT" ;;
esac"#;
    let project = project(asks, "", 2);
    project.scheduler(&RUN);
    let table: [(&str, &[&str], &[&str]); 8] = [
        ("scheduler", &["why", ""], &["1", "2"]),
        ("scheduler", &["answer", ""], &["2"]),
        (
            "scheduler",
            &["-C", ".", "log", "--feature", ""],
            &["1", "2"],
        ),
        (
            "scheduler",
            &["set", "budget"],
            &["budget_tokens=", "budget_usd="],
        ),
        ("scheduler", &["completions", "z"], &["zsh"]),
        ("scheduler", &["attac"], &["attach"]),
        ("worker", &["--kind", ""], &["coding", "testing"]),
        ("worker", &["--progress", "b"], &["bar"]),
    ];
    for (program, words, expected) in table {
        let mut found = completed(&project, program, words);
        found.sort_unstable();
        assert_eq!(found, expected, "{program} {words:?}");
    }
    let shown = completed(&project, "scheduler", &["show", "a"]);
    assert!(
        !shown.is_empty() && shown.iter().all(|it| it.starts_with('a')),
        "{shown:?}"
    );
    succeeds(&project.scheduler(&["show", &shown[0]]));
    // Outside of a project there is nothing to complete, and nothing is said.
    let elsewhere = completed(&project, "scheduler", &["-C", "/", "why", ""]);
    assert_eq!(elsewhere, [""; 0]);
    // Other shells get the names, too.
    let mut fish = project.command(&["--", "scheduler", "why", ""]);
    let fish = fish
        .env("CREWLOG_COMPLETE", "fish")
        .output()
        .expect("the scheduler");
    assert!(succeeds(&fish).contains("1\tfeature 1"), "{fish:?}");
}
