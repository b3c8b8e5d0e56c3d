//! A worker's results: once written they are there, and a worker that cannot write one says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crewlog::model::evidence::Usage;
use crewlog::model::ids::{AttemptId, CommandId};
use crewlog::model::report::{AttemptReport, Report};
use crewlog::model::settings::WorkerKind;
use crewlog::worker::spool::{self, Entry, SpoolError, SpoolFile};

use crate::faults::{MODES, REFUSED};
use crate::project;
use crate::real::wait;
use crate::rounds::{Cut, cut_everywhere, time_to_go_on};
use crate::run::{self, Watched, marks, must_be_complete, temporary};
use crate::trace::mark;

const ATTEMPTS: u64 = 4;

fn result(attempt: u64, version: u64) -> AttemptReport {
    AttemptReport {
        attempt: AttemptId(attempt),
        command: CommandId(u128::from(attempt * 10 + version)),
        report: Report::Released {
            detail: String::new(),
            reason: format!("attempt {attempt}, version {version}")
                .repeat(100)
                .into(),
        },
        usage: Usage::default(),
        workless: false,
    }
}

#[test]
#[ignore = "started by the tests of this file"]
fn worker() {
    let (data, trace, _) = run::child();
    if let Err(error) = work(&data, &trace) {
        println!("\nrefused: {error}");
        assert!(error.to_string().contains("cannot "), "{error}");
        std::process::exit(REFUSED);
    }
}

fn work(data: &Path, trace: &Path) -> Result<(), SpoolError> {
    for attempt in 1..=ATTEMPTS {
        let entry = Entry {
            attempt: AttemptId(attempt),
            kind: WorkerKind::Coding,
            branch: "crewlog/main".to_owned(),
            result: None,
        };
        let mut file = SpoolFile::create(data, entry)?;
        // The second one is another result, after a rebase.
        for version in 1..=2 {
            file.write(&result(attempt, version))?;
            mark(trace, &format!("{attempt} {version}"));
        }
        if attempt.is_multiple_of(2) {
            mark(trace, &format!("{attempt} 9"));
            file.remove()?;
        }
    }
    Ok(())
}

/// What was said to be written is there, or what came after it.
fn must_be_kept(cut: &Cut<'_>) {
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    for text in marks(cut.before) {
        let (attempt, version) = text.split_once(' ').expect("two numbers");
        let numbers = (attempt.parse(), version.parse());
        told.insert(numbers.0.expect("a number"), numbers.1.expect("a number"));
    }
    for attempt in 1..=ATTEMPTS {
        let found = spool::read(cut.dir, AttemptId(attempt));
        let expected = match told.get(&attempt).copied() {
            None => vec![None, Some(result(attempt, 1))],
            Some(1) => vec![Some(result(attempt, 1)), Some(result(attempt, 2))],
            Some(2) => vec![Some(result(attempt, 2))],
            Some(_) => vec![Some(result(attempt, 2)), None],
        };
        assert!(expected.contains(&found), "attempt {attempt}: {found:?}");
    }
    let taken = spool::take_up(cut.dir).expect("a list");
    for (kept, file) in taken {
        assert_eq!(kept.report, spool::read(cut.dir, kept.attempt));
        file.remove().expect("removed");
    }
}

#[test]
fn a_result_that_was_written_survives_a_power_cut_at_any_moment() {
    let dir = temporary();
    let watched = Watched::new(dir.path());
    let output = watched.run("spool::worker", "", None);
    assert!(output.status.success(), "{output:?}");
    let root = watched.root.clone();
    let (disk, records) = watched.recorded();
    let mut whole = disk.clone();
    records.iter().for_each(|record| whole.apply(record));
    must_be_complete(&whole, &root);
    let time = time_to_go_on(Duration::from_secs(1));
    let cuts = cut_everywhere(&disk, &records, 1, time, must_be_kept);
    println!("{cuts} cuts of {} records", records.len());
    assert!(marks(&records).count() > 9);
}

#[test]
fn a_spool_that_cannot_be_written_is_reported_and_keeps_what_it_had() {
    let dir = temporary();
    let watched = Watched::new(dir.path());
    let output = watched.run("spool::worker", "", None);
    assert!(output.status.success(), "{output:?}");
    let calls = watched.calls();
    let mut refused = 0;
    for call in 1..=calls {
        for mode in MODES.into_iter().skip((call % 2) as usize).step_by(2) {
            let dir = temporary();
            let watched = Watched::new(dir.path());
            let output = watched.run("spool::worker", "", Some(&format!("{call},{mode}")));
            let code = output.status.code();
            assert!(
                code == Some(0) || code == Some(REFUSED),
                "{call}, {mode}: {output:?}"
            );
            refused += u64::from(code == Some(REFUSED));
            let (_, records) = watched.recorded();
            println!("call {call}, {mode}");
            must_be_kept(&Cut {
                dir: dir.path(),
                before: &records,
                number: 0,
            });
        }
    }
    assert!(refused > calls, "{refused} of {calls}");
}

/// The fourth call in the spool makes the file for the first result.
#[test]
fn a_worker_that_cannot_write_its_result_holds_the_crew_up_and_another_does_the_work() {
    let project = project::project();
    let dir = project.root.join(".git/crewlog/main/spool");
    std::fs::create_dir_all(&dir).expect("directories");
    let watched = Watched::new(&dir);
    let mut scheduler = project.start(&["run", "--workers", "testing=1"]);
    let mut worker = project.command(&["worker", "--kind", "coding"]);
    watched.prepare(&mut worker, Some("4,full"));
    let mut worker = worker.spawn().expect("a worker");
    let mut follower = project.command(&["log", "--follow", "--format", "json"]);
    let mut follower = follower
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a follower");
    let events = std::io::BufReader::new(follower.stdout.take().expect("piped"));
    let mut lines = std::io::BufRead::lines(events).map_while(Result::ok);
    let told = lines.find(|line| line.contains("CrewTroubled"));
    let told = told.expect("the crew is held up");
    assert!(told.contains("No space left"), "{told}");
    follower.kill().expect("it is ours");
    follower.wait().expect("it ends");
    worker.kill().expect("it is ours");
    worker.wait().expect("it ends");
    let mut another = project.start(&["worker", "--kind", "coding"]);
    assert_eq!(wait(&mut scheduler), Some(0));
    assert_eq!(wait(&mut another), Some(0));
    project.wait_for_silence();
}
