//! Every prefix of a real run's log folds, and a scheduler that is started on one finishes the
//! run.

mod real;

use std::fs;

use crewlog::model::apply::apply;
use crewlog::model::ids::Sequence;
use crewlog::model::state::State;
use crewlog::queue::{EventLog, OpenOptions, SledLog, verify};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use real::Project;

const CONFIG: &str = r#"
[run]
branch = "prefix"
retry_backoff = "10ms"
retry_backoff_max = "20ms"
max_attempts = 10
[agent]
driver = "command"
program = "sh"
args = ["-c", '''grep -Eq '"attempt_number": ?1,' "$CREWLOG_JOB" && test $((CREWLOG_FEATURE % 3)) = 0 && echo x > junk && exit 1; echo x > "f$CREWLOG_FEATURE.txt"''']
"#;

fn backlog() -> String {
    let feature = |id: u32| {
        let on = if id > 1 {
            (id / 2).to_string()
        } else {
            String::new()
        };
        format!(
            "[[feature]]\nid = {id}\nname = \"feature {id}\"\nchecks = [\"test -s f{id}.txt\"]\ndepends_on = [{on}]\n"
        )
    };
    (1..=7).map(feature).collect()
}

#[test]
fn a_scheduler_started_on_any_prefix_finishes_the_run() {
    let seed = std::env::var("CREWLOG_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("CREWLOG_SEED={seed}");
    let project = Project::new(CONFIG);
    project.write(".crewlog/features.toml", &backlog());
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    let run = ["run", "--workers", "coding=2,testing=1"];
    let whole = project.scheduler(&run);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    project.wait_for_silence();
    let data = project.root.join(".git/crewlog/main");
    let log = SledLog::open(&data.join("log"), &OpenOptions::default()).expect("the log");
    let all = log.read(Sequence(1), usize::MAX).expect("all of it");
    let events = all.events(log.contents()).expect("events");
    let mut state = State::default();
    for recorded in &events {
        apply(&mut state, recorded);
        state.settle();
        let bytes = state.to_bytes().expect("bytes");
        let again = State::from_bytes(&bytes)
            .and_then(|state| state.to_bytes())
            .expect("bytes");
        assert_eq!(bytes, again, "the state after event {}", recorded.sequence);
    }
    drop(log);
    let envelopes: Vec<Vec<u8>> = all
        .envelopes()
        .map(|envelope| envelope.expect("sound").bytes.to_vec())
        .collect();
    let mut random = StdRng::seed_from_u64(seed);
    // The backlog itself is the first seven events or a few more.
    for _ in 0..4 {
        let length = random.random_range(12..envelopes.len());
        println!("a log of {length} of {} events", envelopes.len());
        fs::remove_dir_all(&data).expect("removed");
        fs::create_dir_all(&data).expect("made");
        let log = SledLog::open(&data.join("log"), &OpenOptions::default()).expect("a log");
        let epoch = log.lead().expect("the lead");
        let prefix = envelopes[..length].concat();
        log.append_copied(&prefix, Sequence(0), epoch)
            .expect("a copy");
        drop(log);
        let finished = project.scheduler(&run);
        assert_eq!(
            finished.status.code(),
            Some(0),
            "after {length} events: {finished:?}"
        );
        project.wait_for_silence();
        let log = SledLog::open(&data.join("log"), &OpenOptions::default()).expect("the log");
        verify(&log).expect("whole");
    }
}
