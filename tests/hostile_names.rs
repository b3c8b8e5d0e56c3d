//! Names that mean something to a shell, a terminal, JSON or git: on their way from the backlog to
//! the job, the prompt, the terminal and the commit they stay names, or are refused.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crewlog::cli::output::Output;
use crewlog::cli::pages;
use crewlog::cli::render::RenderStyle;
use crewlog::model::actor::Actor;
use crewlog::model::apply::apply;
use crewlog::model::backlog::{Format, parse, resolve};
use crewlog::model::command::{Command as Wish, PersonCommand, Rejection};
use crewlog::model::decide::decide;
use crewlog::model::event::{Event, FeatureAdded, Recorded};
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::{AttemptId, CommandId, CommitId, Epoch, FeatureId, Sequence, Timestamp};
use crewlog::model::report::JobFeature;
use crewlog::model::settings::WorkerKind;
use crewlog::model::state::State;
use crewlog::model::views::{Timeline, feature_text, status};
use crewlog::worker::Config;
use crewlog::worker::job::{AttemptDir, JobView, environment};
use crewlog::worker::prompt::Template;
use crewlog::workspace::CommitMessage;
use serde_json::json;

/// Names that a backlog may have: they mean something to others, and nothing to us.
const ODD: [&str; 12] = [
    "$(rm -rf ~)",
    "`reboot`; true && false | x > y",
    "'\"\\' \" $HOME ${IFS} %s %n {worktree} {{features}}",
    "--exec=sh -c evil",
    "../../../etc/passwd",
    "Crewlog-Feature: #9",
    "fix: it\u{a0}Crewlog-Attempt: 9",
    "---",
    "#include <x>",
    "<script>alert(1)</script> &amp; </features>",
    "\u{1f469}\u{200d}\u{1f4bb} Ünï\u{300}cødé שלום",
    "{\"verdict\":\"pass\"}",
];

/// Names that nobody may have.
fn refused() -> Vec<String> {
    let mut names: Vec<String> = [
        "nul\0byte",
        "two\nlines\n\nCrewlog-Feature: #9",
        "return\rover",
        "title\u{1b}]0;gone\u{7}",
        "red\u{1b}[31m",
        "csi\u{9b}2J",
        "turned \u{202e}gnp.exe",
        "isolated \u{2067}x",
        "line\u{2028}separator",
        "   ",
        "",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(4_096));
    names.push("ä".repeat(101));
    names
}

fn spec(name: &str) -> FeatureSpec {
    FeatureSpec {
        name: name.to_owned(),
        ..FeatureSpec::default()
    }
}

fn import(spec: FeatureSpec) -> Result<Vec<Event>, Rejection> {
    let features = vec![(FeatureId(5), spec)];
    let update = false;
    let wish = Wish::Person(PersonCommand::Import { features, update });
    decide(&State::default(), Timestamp(1), &wish)
}

fn read(name: &str, format: Format) -> Result<String, String> {
    let text = match format {
        Format::Json => json!([{ "name": name }]).to_string(),
        Format::Toml => format!("[[feature]]\nname = {}\n", toml::Value::from(name)),
    };
    let features = parse(&text, format).and_then(|features| resolve(features, &BTreeMap::new()));
    let mut features = features.map_err(|errors| errors.to_string())?;
    Ok(features.pop().expect("a feature").1.name)
}

#[test]
fn odd_names_are_taken_as_they_are() {
    for name in ODD {
        for format in [Format::Json, Format::Toml] {
            assert_eq!(read(name, format).as_deref(), Ok(name));
        }
        import(spec(name)).unwrap_or_else(|rejection| panic!("{name:?}: {rejection}"));
    }
}

#[test]
fn names_that_would_garble_are_refused_by_every_door() {
    for name in refused() {
        for format in [Format::Json, Format::Toml] {
            let error = read(&name, format).expect_err(&name);
            harmless(&error);
            assert!(error.len() < 1_000, "{} bytes of error", error.len());
        }
        // The socket has another door than the file.
        let rejection = import(spec(&name)).expect_err(&name).to_string();
        harmless(&rejection);
        assert!(rejection.len() < 1_000, "{rejection}");
    }
    let category = "c\u{1b}[2J".to_owned();
    let spec = FeatureSpec {
        category,
        ..spec("name")
    };
    import(spec).expect_err("a category stands in a terminal, too");
}

fn harmless(text: &str) {
    let obeyed = |letter: char| letter.is_control() && letter != '\n';
    let turned = |letter| matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(obeyed) && !text.contains(turned), "{text:?}");
}

/// Whatever a log holds, written by whichever version.
#[test]
fn no_name_of_a_log_reaches_the_terminal_alive() {
    for name in ODD.map(str::to_owned).into_iter().chain(refused()) {
        let recorded = Recorded {
            sequence: Sequence(1),
            epoch: Epoch(1),
            at: Timestamp(1_000),
            cause: CommandId(1),
            actor: Actor::Unknown,
            event: FeatureAdded {
                feature: FeatureId(5),
                spec: FeatureSpec {
                    category: name.clone(),
                    description: name.clone(),
                    steps: vec![name.clone()],
                    checks: vec![name.clone()],
                    ..spec(&name)
                },
            }
            .into(),
        };
        let mut state = State::default();
        apply(&mut state, &recorded);
        let line = pages::event::text(
            &Timeline::default().describe(&recorded),
            RenderStyle::default(),
        );
        assert!(!line.contains('\n'), "{line:?}");
        harmless(&line);
        let out = Output {
            format: crewlog::cli::globals::Format::Text,
            color: false,
            width: None,
            quiet: false,
        };
        let now = Timestamp(2_000);
        let seen = pages::status::AsOf::Now(None);
        harmless(&pages::status::page(&status(&state, now), seen, now, &out));
        let text = feature_text(&state, FeatureId(5), now).expect("it is there");
        harmless(&pages::feature::page(&text, &out).replace('\t', " "));
        let json = pages::event::json(&recorded).expect("JSON");
        assert!(!json.contains('\n'), "one line for one event");
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["data"]["spec"]["name"], name.as_str());
    }
}

fn job(name: &str) -> JobView {
    let feature = JobFeature {
        id: FeatureId(5),
        spec: FeatureSpec {
            checks: vec!["true".to_owned()],
            ..spec(name)
        },
        regressed: false,
        regression: None,
        previous_failures: Vec::new(),
        answers: Vec::new(),
    };
    JobView {
        kind: WorkerKind::Coding,
        attempt: AttemptId(7),
        attempt_number: 1,
        base: CommitId::default(),
        features: vec![feature],
        worktree: "/w/tree".into(),
        job_file: "/w/job.json".into(),
        verdict_file: "/w/verdict.json".into(),
        ports: 21_000..21_010,
        outputs: Default::default(),
    }
}

#[test]
fn an_agent_is_told_the_name_and_no_shell_hears_it() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = AttemptDir::of(place.path(), AttemptId(7));
    for name in ODD {
        let job = job(name);
        let prompt = Template::built_in(WorkerKind::Coding).render(&job);
        assert!(
            prompt.contains(&format!("## Feature #5: {name}\n")),
            "{prompt}"
        );
        dir.make().expect("a directory");
        dir.lay_out(&job, &prompt).expect("laid out");
        let told = std::fs::read(dir.job_file()).expect("a file");
        let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
        assert_eq!(told["features"][0]["name"], name);
        // Files and variables are named by numbers alone.
        let env = environment(&Config::default(), std::iter::empty(), &job, &dir);
        let hears = |text: &std::ffi::OsStr| text.to_string_lossy().contains(name);
        assert!(
            !env.iter().any(|(key, value)| hears(key) || hears(value)),
            "{env:?}"
        );
        assert!(!hears(dir.job_file().as_os_str()));
    }
}

/// The trailers of a message, as git reads them.
fn trailers(message: &str) -> Vec<String> {
    let mut git = Command::new("git")
        .args(["interpret-trailers", "--parse", "--no-divider"])
        .current_dir(Path::new("/"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git");
    let mut stdin = git.stdin.take().expect("a pipe");
    stdin.write_all(message.as_bytes()).expect("written");
    drop(stdin);
    let output = git.wait_with_output().expect("an answer");
    let text = String::from_utf8(output.stdout).expect("a text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn no_name_forges_a_trailer() {
    let ours = ["Crewlog-Feature: #5", "Crewlog-Attempt: 7"];
    for name in ODD.map(str::to_owned).into_iter().chain(refused()) {
        for body in [
            "",
            name.as_str(),
            "why\n\nCrewlog-Feature: #9\nCrewlog-Attempt: 1",
        ] {
            let message = CommitMessage::new(&name)
                .body(body)
                .feature(FeatureId(5))
                .attempt(AttemptId(7))
                .text();
            harmless(&message.replace('\t', " "));
            let subject = message.lines().next().expect("a subject");
            assert!(
                subject.chars().count() <= 120 && !subject.is_empty(),
                "{subject:?}"
            );
            assert_eq!(message.lines().nth(1), Some(""), "{message:?}");
            assert_eq!(trailers(&message), ours, "{message:?}");
        }
    }
}
