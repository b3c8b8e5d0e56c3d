//! `scheduler report` and the end of a run, of a real run.

use crate::kit::{AGENT, BRANCH, RUN, json, project, succeeds};
use crate::real::said;

/// One feature passes, one asks, and one fails for good.
const MIXED: &str = r#"
case "$CREWLOG_FEATURE" in
1) printf 'x\n' > f1.txt ;;
2) echo '{"feature": 2, "verdict": "input", "question": "TOML or YAML?"}' > "$CREWLOG_VERDICT" ;;
3) echo half > work.txt ;;
esac
"#;

#[test]
fn a_night_is_reported_in_every_form() {
    let project = project(MIXED, "", 3);
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let end = crate::real::text(&run.stdout);
    let report = succeeds(&project.scheduler(&["report"]));
    let markdown = succeeds(&project.scheduler(&["report", "--markdown"]));
    for text in [&end, &report, &markdown] {
        assert!(text.contains("TOML or YAML?"), "{text}");
        assert!(text.contains("`scheduler answer 2 TEXT`"), "{text}");
        assert!(text.contains("check_failed 1"), "{text}");
    }
    let commit = project.git(&["rev-parse", BRANCH]);
    let short = commit.get(..10).expect("a commit");
    assert!(report.contains(short), "no commit {short} in {report}");
    assert!(markdown.contains(&format!("`{short}`")), "{markdown}");
    let told = json(&project.scheduler(&["report", "--format", "json"]));
    assert_eq!(told["passed"][0]["commit"], commit.trim());
    assert_eq!(told["failed"][0]["feature"], 3);
    assert_eq!(told["failed"][0]["status"], "parked");
    let kinds: Vec<&str> = (told["needs"].as_array().expect("needs").iter())
        .filter_map(|need| need["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["question", "parked"]);
    // The same run again, by time and as JSON of the run itself.
    let since = project.scheduler(&["report", "--since", "8h", "--format", "json"]);
    assert_eq!(json(&since)["passed"], told["passed"]);
    assert_eq!(json(&since)["runs"], 1);
    let none = project.scheduler(&["report", "--since", "0s", "--format", "json"]);
    assert_eq!(json(&none)["passed"], serde_json::json!([]));
    assert_eq!(json(&none)["needs"], told["needs"]);
    succeeds(&project.scheduler(&["answer", "2", "TOML"]));
    let again = project.scheduler(&[&RUN[..], &["--format", "json"]].concat());
    let again = json(&again);
    assert_eq!(again["report"]["passed"], serde_json::json!([]));
    assert_eq!(again["report"]["coding_attempts"], 1);
    let both = json(&project.scheduler(&["report", "--since", "8h", "--format", "json"]));
    assert_eq!(
        (&both["runs"], &both["coding_attempts"]),
        (&2.into(), &4.into())
    );
}

#[test]
fn times_are_local_with_their_zone() {
    let project = project(AGENT, "", 1);
    assert_eq!(project.scheduler(&RUN).status.code(), Some(0));
    let mut text = Vec::new();
    // No zone file is needed for this form.
    for zone in ["UTC0", "EAST-05:30"] {
        for command in [&["report"][..], &["log"], &["status"], &["why", "1"]] {
            let output = project.command(command).env("TZ", zone).output();
            text.push(succeeds(&output.expect("the scheduler")));
        }
        let events = project
            .command(&["log", "--format", "json"])
            .env("TZ", zone)
            .output();
        let events = succeeds(&events.expect("the scheduler"));
        assert!(!events.contains("+05:30"), "programs get UTC: {events}");
    }
    let (utc, east) = text.split_at(4);
    for (utc, east) in utc.iter().zip(east) {
        assert!(!utc.contains("+05:30"), "{utc}");
        assert!(east.contains("+05:30"), "{east}");
    }
}
