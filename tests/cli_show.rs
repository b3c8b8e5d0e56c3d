//! From `why` to what stands behind it: a feature's text, an attempt's session, a check's output.

mod real;

use real::{Project, text};
use serde_json::Value;

/// Speaks in colours and with a title for the window, and gets it right at the second try.
const AGENT: &str = r#"
prompt=$(cat)
printf '\033]0;mine\007\033[31mworking\033[0m on it\n'
echo 'careful' >&2
case $prompt in
*"This is attempt 1."*) echo no > f.txt ;;
*) echo yes > f.txt ;;
esac
"#;

const BACKLOG: &str = r#"
[[feature]]
id = 7
name = "say yes"
category = "manners"
description = "The file f.txt says yes."
steps = ["Write it."]
checks = ['''printf '\033[1mlooking\033[0m\n'; cat f.txt; grep -q yes f.txt''']
[[feature]]
id = 8
name = "never"
depends_on = [7]
priority = -3
"#;

/// A project whose run is over; #8 was skipped, so that it ends with 0.
fn done() -> Project {
    let config = format!(
        "[run]\ntesting = 0\nretry_backoff = \"10ms\"\nretry_backoff_max = \"10ms\"\n\
         [agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", '''{AGENT}''']\n"
    );
    let project = Project::new(&config);
    project.write("features.toml", BACKLOG);
    good(&project, &["import", "features.toml"]);
    good(&project, &["skip", "8"]);
    good(&project, &["run", "--workers", "coding=1"]);
    project
}

fn good(project: &Project, args: &[&str]) -> String {
    let output = project.scheduler(args);
    let said = text(&output.stdout);
    assert!(
        output.status.success(),
        "{args:?}: {said}{}",
        text(&output.stderr)
    );
    said
}

fn bad(project: &Project, args: &[&str], expected: &str) {
    let output = project.scheduler(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.contains(expected), "{args:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
}

/// The arguments of the command that a page offers for this.
fn offered<'a>(page: &'a str, about: &str) -> Vec<&'a str> {
    let line = page.lines().find(|line| line.contains(about));
    let line = line.unwrap_or_else(|| panic!("nothing for {about:?} in {page}"));
    let command = line.trim().split("  ").next().unwrap_or_default();
    let mut words = command.split(' ');
    assert_eq!(words.next(), Some("scheduler"), "{line}");
    words.collect()
}

#[test]
fn what_why_names_can_be_shown() {
    let project = done();
    let why = good(&project, &["why", "7"]);
    // The failed check's last words stand below it, and nothing reaches the terminal as it is.
    assert!(
        why.contains("| looking\n") && why.contains("| no\n"),
        "{why}"
    );
    assert!(!why.contains('\x1b'), "{why:?}");

    let feature = good(&project, &offered(&why, "the feature's text"));
    for words in [
        "#7 say yes: passing",
        "manners",
        "says yes.",
        "1. Write it.",
        "grep -q yes",
    ] {
        assert!(feature.contains(words), "{words:?} in {feature}");
    }
    assert!(feature.contains("#8 never (skipped)"), "{feature}");

    let attempt = good(&project, &offered(&why, "what the agent did"));
    for words in [
        "coding #7 say yes, try 2",
        "git show ",
        "working on it",
        "stderr  careful",
    ] {
        assert!(attempt.contains(words), "{words:?} in {attempt}");
    }
    assert!(
        !attempt.contains('\x1b') && !attempt.contains('\x07'),
        "{attempt:?}"
    );

    let output = offered(&why, "the whole output of a check");
    assert_eq!(good(&project, &output), "looking\nno\n");
    let raw = good(&project, &[&output[..], &["--raw"]].concat());
    assert_eq!(raw, "\x1b[1mlooking\x1b[0m\nno\n");
    let json = good(&project, &[&output[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["text"], raw);
    let hash = json["hash"].as_str().expect("a hash");
    assert_eq!(good(&project, &["show", hash]), "looking\nno\n");
}

#[test]
fn a_prompt_can_be_read_and_a_transcript_be_had() {
    let project = done();
    let failed = good(&project, &["log", "--feature", "7", "--format", "json"]);
    let failed = failed.lines().find(|line| line.contains("FeatureFailed"));
    let failed: Value = serde_json::from_str(failed.expect("a failure")).expect("JSON");
    let attempt = format!("a{}", failed["data"]["attempt"].as_u64().expect("a number"));
    let page = good(&project, &["show", &attempt]);
    assert!(
        page.contains("not merged; git show refs/crewlog/preserved/"),
        "{page}"
    );
    let prompt = good(&project, &["show", &attempt, "--prompt"]);
    assert!(prompt.starts_with("You are working on"), "{prompt}");
    assert!(prompt.contains("The file f.txt says yes."), "{prompt}");
    let raw = good(&project, &["show", &attempt, "--raw"]);
    for line in raw.lines() {
        serde_json::from_str::<Value>(line).expect("a line of JSON");
    }
    let json = good(&project, &["show", &attempt, "--format", "json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["attempt"]["features"][0][0], 7);
    let transcript = json["transcript"].as_str().expect("a path");
    let record = json["record"].as_str().expect("a path");
    assert!(
        page.contains(" end     the program exited with 0"),
        "{page}"
    );
    // Sessions of older versions have no record.
    std::fs::remove_file(record).expect("it is there");
    let page = good(&project, &["show", &attempt]);
    assert!(page.contains("working on it"), "{page}");
    let same = good(&project, &["show", &attempt, "--prompt"]);
    assert_eq!(same, prompt);
    std::fs::remove_file(transcript).expect("it is there");
    let page = good(&project, &["show", &attempt]);
    assert!(page.contains("there is no transcript "), "{page}");
    bad(
        &project,
        &["show", &attempt, "--raw"],
        "there is no transcript ",
    );
    bad(
        &project,
        &["show", &attempt, "--prompt"],
        "there is no transcript ",
    );
}

#[test]
fn what_is_not_there_is_said() {
    let project = Project::new("");
    bad(&project, &["show", "a3"], "the log has no such attempt");
    bad(&project, &["show", "3"], "no such feature");
    bad(
        &project,
        &["show", "0123456789ab"],
        "no output has this hash",
    );
    bad(
        &project,
        &["show", "lunch"],
        "it must be a feature (118), an attempt (a2034)",
    );
    bad(
        &project,
        &["show", "3", "--prompt"],
        "only attempts have prompts",
    );
    bad(
        &project,
        &["show", "a3", "--prompt", "--raw"],
        "cannot be used together",
    );
}

#[test]
fn a_test_without_a_verdict_is_named() {
    let project = Project::new(
        "[agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", \"echo > f$CREWLOG_FEATURE.txt\"]\n\
         [agent.testing]\ndriver = \"command\"\nprogram = \"true\"\n",
    );
    project.write("features.toml", "[[feature]]\nid = 4\nname = \"a\"\n[[feature]]\nid = 5\nname = \"b\"\nchecks = [\"true\"]\ndepends_on = [4]\n");
    good(&project, &["import", "features.toml"]);
    let run = ["run", "--workers", "coding=1,testing=1"];
    let output = project.scheduler(&run);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let reason = text(&output.stdout);
    assert!(
        reason.contains("1 without a verdict from its last tests (#4; "),
        "{reason}"
    );
    let status = good(&project, &["status"]);
    assert!(status.contains("without a verdict (1)"), "{status}");
    assert!(status.contains("(`scheduler retry 4`)"), "{status}");
    let why = good(&project, &["why", "4"]);
    assert!(why.contains("its last tests gave no verdict"), "{why}");
    assert!(
        why.contains("wrote no verdict to $CREWLOG_VERDICT"),
        "{why}"
    );
    let said = good(&project, &["retry"]);
    assert!(said.contains("failures are forgiven"), "{said}");
    assert!(!good(&project, &["status"]).contains("without a verdict (1)"));
}
