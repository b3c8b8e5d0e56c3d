//! What agents and backlogs write, as real agents and shells meet it.

use crewlog::model::evidence::{CheckEnd, FailureKind};
use crewlog::model::report::Report;

use super::worker_support::{Project, only_agent, report_of};
use super::{failed, mergeable};

/// What the worker reports of feature 5 with these checks.
/// An agent that works, and then writes this into its verdict file.
fn agent(verdict: &str) -> String {
    format!("echo work >new.txt; cat >\"$CREWLOG_VERDICT\" <<'END'\n{verdict}\nEND\n")
}

#[tokio::test]
async fn a_verdict_in_a_markdown_fence_costs_no_work() {
    let fenced =
        "I am done.\n\n```json\n{\"feature\": \"#5\", \"verdict\": \"Passed\",}\n```\nBye!";
    let project = Project::new(&agent(fenced));
    let work = mergeable(report_of(&project, &["test -s new.txt"]).await);
    assert_eq!(work.touched, ["new.txt"]);
    assert_eq!(work.notes, [""; 0]);

    let fenced = "```\n{\"verdict\": \"fail\", \"reason\": \"no network\"}\n```";
    let project = Project::new(&agent(fenced));
    let (kind, reason) = failed(report_of(&project, &["true"]).await);
    assert_eq!(
        (kind, reason.as_str()),
        (FailureKind::AgentGaveUp, "no network")
    );
}

#[tokio::test]
async fn a_verdict_that_nobody_can_read_leaves_the_decision_to_the_checks() {
    let project = Project::new(&agent("well, mostly"));
    let work = mergeable(report_of(&project, &["test -s new.txt"]).await);
    let [note] = work.notes.as_slice() else {
        panic!("{:?}", work.notes);
    };
    assert!(
        note.contains("could not be read") && note.contains("\"well, mostly\""),
        "{note}"
    );

    let project = Project::new(&agent("well, mostly"));
    let (kind, reason) = failed(report_of(&project, &["test -s other.txt"]).await);
    assert_eq!(kind, FailureKind::CheckFailed);
    assert!(
        reason.contains("exited with 1") && reason.contains("well, mostly"),
        "{reason}"
    );
    let kept = project.git(&["show", "refs/crewlog/preserved/7:new.txt"]);
    assert_eq!(kept, "work");
}

/// 200 KB, with all that a shell could make of it in another way when it comes from a file.
#[tokio::test]
async fn checks_and_hooks_of_any_allowed_size_run() {
    let filler = "# 0123456789 abcdefghijklmnopqrstuvwxyz 0123456789\n".repeat(4_000);
    assert!(filler.len() > 200_000);
    let show = "printf '%s|' \"$0\" \"$#\" \"$PWD\" \"$CREWLOG_FEATURE\"; cat; exit 3";
    let long = format!("{filler}{show}");
    let here = format!(
        "cat >here.txt <<'END'\n{filler}END\ntest $(wc -c <here.txt) = {}",
        filler.len()
    );
    let mut project = Project::new("echo work >new.txt");
    project.config.hooks.before_run = format!("{filler}echo hook >>from-hook.txt");
    let report = report_of(&project, &[&here, &long]).await;
    let Report::Failed { failures, .. } = &report else {
        panic!("{report:?}");
    };
    let runs = &failures[0].1.checks;
    assert_eq!(
        runs.iter().map(|run| run.end).collect::<Vec<_>>(),
        [CheckEnd::Exited(0), CheckEnd::Exited(3)]
    );
    let from_file = project.outputs.text(&runs[1].output);
    let kept = project.git(&["show", "refs/crewlog/preserved/7:from-hook.txt"]);
    assert_eq!(kept, "hook");

    // The same command as an argument.
    let project = Project::new("echo work >new.txt");
    let report = report_of(&project, &[show]).await;
    let Report::Failed { failures, .. } = &report else {
        panic!("{report:?}");
    };
    let from_argument = project.outputs.text(&failures[0].1.checks[0].output);
    let place = |text: &str| {
        let fields: Vec<String> = text.split('|').map(str::to_owned).collect();
        let tree = fields[2].rsplit('/').next().map(str::to_owned);
        (
            fields[0].clone(),
            fields[1].clone(),
            tree,
            fields[3].clone(),
        )
    };
    assert_eq!(place(&from_file), place(&from_argument));
}

#[tokio::test]
async fn an_argument_that_no_program_can_be_given_is_named() {
    let mut project = Project::new("true");
    only_agent(&mut project.config)
        .args
        .push("x".repeat(140_000));
    let (_, reason) = failed(report_of(&project, &["true"]).await);
    assert!(
        reason.contains("has 140001 bytes") && reason.contains("{prompt_file}"),
        "{reason}"
    );

    let mut project = Project::new("true");
    project
        .config
        .env
        .insert("BIG".to_owned(), "x".repeat(140_000));
    let (_, reason) = failed(report_of(&project, &["true"]).await);
    assert!(
        reason.contains("variable BIG") && reason.contains("pass_env"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_port_with_a_listener_is_not_handed_out() {
    // Whatever worker comes first gets the first range that is free, so that this listens there.
    let taken: Vec<_> = (27_000..27_010)
        .filter_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok())
        .collect();
    let mut project = Project::new("echo \"$CREWLOG_PORT\" >new.txt");
    project.config.ports.base = 27_000;
    let work = mergeable(report_of(&project, &["test -s new.txt"]).await);
    let port = project.git(&["show", &format!("{}:new.txt", work.commit)]);
    let port: u16 = port.trim().parse().expect("a port");
    assert!(port >= 27_010, "{port} is in use");
    drop(taken);
}

/// The agent's key is in the environment of its own process and nowhere else.
#[tokio::test]
async fn no_secret_is_kept() {
    let secret = "correct-horse-battery";
    let agent = r#"
        echo "my key is $MY_API_KEY"; echo "$MY_API_KEY" >&2
        echo "sk-ant-REST" >new.txt; echo work >>new.txt
        echo "{\"verdict\": \"fail\", \"reason\": \"$MY_API_KEY does not work\"}" >"$CREWLOG_VERDICT"
    "#
    .replace("REST", &"a1".repeat(20));
    let mut project = Project::new(&agent);
    only_agent(&mut project.config)
        .env
        .insert("MY_API_KEY".to_owned(), secret.to_owned());
    let (_, reason) = failed(report_of(&project, &["true"]).await);
    assert_eq!(reason, "[masked] does not work");
    let base = project.root().join("data/transcripts/7");
    let (mut rows, _) = crewlog::agent::transcript::open(&base)
        .expect("readable")
        .expect("there");
    let mut text = String::new();
    while let Some(row) = rows.row(u64::MAX).expect("a row") {
        text.push_str(&String::from_utf8_lossy(&row));
    }
    assert!(
        text.contains("my key is [masked]") && !text.contains(secret),
        "{text}"
    );

    // A check that prints a file with a key in it.
    let agent = agent.replace("fail", "pass");
    let mut project = Project::new(&agent);
    only_agent(&mut project.config)
        .env
        .insert("MY_API_KEY".to_owned(), secret.to_owned());
    let check = format!("cat new.txt; echo {secret}; exit 1");
    let report = report_of(&project, &[&check]).await;
    let Report::Failed { failures, .. } = &report else {
        panic!("{report:?}");
    };
    let output = project.outputs.text(&failures[0].1.checks[0].output);
    assert_eq!(output, "[masked]\nwork\n[masked]\n");
}

/// A plain command that tells of its provider's limit, and what it used until then.
#[tokio::test]
async fn a_plain_command_can_say_that_its_provider_limits_it() {
    let script = r#"
        echo '{"verdict": "limited", "until": "2030-01-02T03:04:05Z", "reason": "429: slow down",
               "usage": {"input_tokens": 1200, "output_tokens": 34, "cost_usd": 0.5}}' >"$CREWLOG_VERDICT"
        exit CODE
    "#;
    for code in ["0", "1"] {
        let project = Project::new(&script.replace("CODE", code));
        let report = report_of(&project, &["true"]).await;
        let Report::Failed {
            failures,
            limited_until,
        } = &report
        else {
            panic!("{report:?}");
        };
        let failure = &failures[0].1;
        assert_eq!(failure.kind, FailureKind::ProviderLimited, "exit {code}");
        assert!(failure.reason.contains("429: slow down"), "{failure:?}");
        let until = limited_until.map(|until| until.0);
        assert_eq!(until, Some(1_893_553_445_000), "exit {code}");
    }
}
