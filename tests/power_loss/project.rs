//! Whole processes on a project: setting it up, importing, and runs with workers and agents.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crewlog::cli::client::{self, Client};
use crewlog::model::event::Event;
use crewlog::model::ids::Sequence;
use crewlog::protocol::{ClientMessage, ToClient};
use crewlog::queue::log::EventLog;
use crewlog::queue::{encoding, verify};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::faults::MODES;
use crate::real::{Project, clean};
use crate::rounds::{Cut, cut_everywhere, cut_everywhere_in, first_seed, time_to_go_on};
use crate::run::{Watched, finish, marks, open_log, temporary};
use crate::storage_common::dirs::all;
use crate::trace::mark;

const FEATURES: u32 = 3;
const RUN: [&str; 3] = ["run", "--workers", "coding=1,testing=1"];

fn backlog() -> String {
    let feature = |id: u32| {
        format!("[[feature]]\nid = {id}\nname = \"part {id}\"\nchecks = [\"test -s part{id}\"]\n")
    };
    (1..=FEATURES).map(feature).collect()
}

const CONFIG: &str = "[run]\nbranch = \"power\"\nretry_backoff = \"10ms\"\n\
     retry_backoff_max = \"20ms\"\nmax_attempts = 50\n\
     [agent]\ndriver = \"command\"\nprogram = \"sh\"\n\
     args = [\"-c\", '''echo part > part$CREWLOG_FEATURE''']\n";

#[test]
fn a_project_that_was_set_up_and_filled_survives_a_power_cut_at_any_moment() {
    let dir = temporary();
    let root = dir.path().join("project");
    std::fs::create_dir_all(&root).expect("directories");
    for args in [
        &["init", "-q"][..],
        &["commit", "-q", "--allow-empty", "-m", "first"],
    ] {
        let mut git = Command::new("git");
        clean(&mut git, dir.path());
        let named = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
        let output = finish({
            git.current_dir(&root).args(named).args(args);
            git
        });
        assert!(output.status.success(), "{output:?}");
    }
    let watched = Watched::new(&root);
    let scheduler = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
        clean(&mut command, dir.path());
        command.current_dir(&root).args(args);
        watched.prepare(&mut command, None);
        let output = finish(command);
        assert!(output.status.success(), "{output:?}");
    };
    scheduler(&["init"]);
    mark(&watched.trace(), "initialised");
    let written = |name: &str| std::fs::read(root.join(name)).expect("it is there");
    let names = [".crewlog/config.toml", "features.toml"];
    let files = names.map(|name| (name, written(name)));
    scheduler(&["import", "features.toml"]);
    let log = open_log(&root.join(".git/crewlog/main/log")).expect("the log");
    let imported = all(&log);
    drop(log);
    mark(&watched.trace(), "imported");
    let (disk, records) = watched.recorded();
    let look = |cut: &Cut<'_>| {
        let told = |what: &str| marks(cut.before).any(|text| text == what);
        for (name, expected) in &files {
            match std::fs::read(cut.dir.join(name)) {
                Ok(found) => assert_eq!(&found, expected, "half of {name}"),
                Err(error) => assert!(!told("initialised"), "{name}: {error}"),
            }
        }
        let dir = cut.dir.join(".git/crewlog/main/log");
        if told("imported") {
            let log = open_log(&dir).expect("it opens");
            verify(&log).expect("all of it checks");
            assert_eq!(all(&log), imported);
        } else if dir.is_dir() {
            let found = all(&open_log(&dir).expect("it opens"));
            assert!(found.is_empty() || found == imported, "half an import");
        }
    };
    let time = time_to_go_on(Duration::from_secs(1));
    let cuts = cut_everywhere(&disk, &records, 2, time, look);
    println!("{cuts} cuts of {} records", records.len());
}

/// Events that somebody was told of: acknowledged, for ever.
type Told = BTreeMap<Sequence, Vec<u8>>;

/// Runs the scheduler to its end, and listens to what it says; `trace` is told of it, too.
fn run(project: &Project, watched: &Watched, fault: Option<&str>, told: &mut Told) -> Output {
    let mut command = project.command(&RUN);
    watched.prepare(&mut command, fault);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime");
            while !ended.load(Ordering::SeqCst) {
                runtime.block_on(listen(project, watched, told));
            }
        });
        let _ended = Ended(&ended);
        finish(command)
    })
}

/// Tells who listens that nobody speaks any more, also when a test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn listen(project: &Project, watched: &Watched, told: &mut Told) {
    let socket = project.root.join(".git/crewlog/main/socket");
    let Ok(Some(mut client)) = Client::connect(&socket).await else {
        return client::pause().await;
    };
    let from = told
        .last_key_value()
        .map_or(Sequence(1), |(last, _)| last.next());
    let read = ClientMessage::Read { from, follow: true };
    if client.send(&read).await.is_err() {
        return;
    }
    while let Ok(Some(message)) = client.next().await {
        let ToClient::Events { envelopes } = message else {
            continue;
        };
        for bytes in envelopes {
            let sequence = encoding::decode(&bytes).expect("an envelope").sequence;
            told.insert(sequence, bytes);
            mark(&watched.trace(), &format!("event {}", sequence.0));
        }
    }
}

pub fn project() -> Project {
    let project = Project::new(CONFIG);
    project.write(".crewlog/features.toml", &backlog());
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    project
}

/// All of `told` is in the log, which checks, and what it says was merged is in the branch.
fn must_be_kept(project: &Project, told: &Told) {
    let log = open_log(&project.root.join(".git/crewlog/main/log")).expect("it opens");
    verify(&log).expect("all of it checks");
    for (sequence, bytes) in told {
        let chunk = log.read(*sequence, 1).expect("a read");
        assert_eq!(&chunk.bytes, bytes, "event {sequence} was acknowledged");
    }
    for recorded in all(&log) {
        if let Event::FeaturePassed(passed) = recorded.event {
            let commit = passed.evidence.commit.to_string();
            project.git(&["merge-base", "--is-ancestor", &commit, "crewlog/power"]);
            project.git(&["fsck", "--connectivity-only", "--no-dangling", &commit]);
        }
    }
}

/// Ends what a scheduler that died has left running, as the end of the machine would.
fn end_the_rest(project: &Project) {
    for pid in project.processes().keys() {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
    }
    project.wait_for_silence();
}

/// One more start, without any trouble, finishes the run.
fn must_finish(project: &Project) {
    let output = project.scheduler(&RUN);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut merged = project.merged("crewlog/power");
    merged.sort();
    let wanted: Vec<String> = (1..=FEATURES).map(|id| format!("#{id}")).collect();
    assert_eq!(merged, wanted, "each feature was merged once");
}

#[test]
fn a_run_survives_a_power_cut_at_any_moment() {
    let project = project();
    let watched = Watched::new(&project.root);
    let mut told = Told::new();
    let output = run(&project, &watched, None, &mut told);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    project.wait_for_silence();
    let (disk, records) = watched.recorded();
    let look = |cut: &Cut<'_>| {
        let last = marks(cut.before).last().map_or(0, |text| {
            let number = text.strip_prefix("event ").expect("an event");
            number.parse().expect("a number")
        });
        let known = told.range(..=Sequence(last));
        let known = known.map(|(sequence, bytes)| (*sequence, bytes.clone()));
        must_be_kept(&project, &known.collect());
        if cut.number.is_multiple_of(4) {
            must_finish(&project);
        }
    };
    let time = time_to_go_on(Duration::ZERO);
    let step = records.len() / 5;
    let cuts = cut_everywhere_in(&project.root, &disk, &records, step, time, look);
    println!("{cuts} cuts of {} records", records.len());
}

#[test]
fn a_scheduler_whose_disk_fails_says_so_and_the_next_one_finishes() {
    let seed = first_seed();
    let mut dice = StdRng::seed_from_u64(seed);
    let calls = {
        let (project, mut told) = (project(), Told::new());
        let watched = Watched::new(&log_of(&project));
        let output = run(&project, &watched, None, &mut told);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        watched.calls()
    };
    let (began, time) = (Instant::now(), time_to_go_on(Duration::ZERO));
    let (mut failed, mut refused) = (0, 0);
    while failed < 4 || began.elapsed() < time {
        let (project, mut told) = (project(), Told::new());
        let watched = Watched::new(&log_of(&project));
        let mode = MODES[failed % MODES.len()];
        let call = dice.random_range(1..=calls);
        println!("CREWLOG_SEED={seed}: call {call} of {calls}, {mode}");
        let output = run(
            &project,
            &watched,
            Some(&format!("{call},{mode}")),
            &mut told,
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => {}
            Some(1) => {
                for part in ["error: ", "  why: ", " next: "] {
                    assert!(said.contains(part), "no {part:?}: {said}");
                }
                refused += 1;
            }
            // Its workers' disk fails as well; what they could not prove waits for a person.
            Some(3 | 4) => {
                end_the_rest(&project);
                project.scheduler(&["retry"]);
            }
            _ => panic!("it did not end in good order: {output:?}"),
        }
        // Workers that are left still have the failing disk, and would go on with it.
        end_the_rest(&project);
        must_be_kept(&project, &told);
        must_finish(&project);
        failed += 1;
    }
    println!("{failed} calls failed, {refused} of them ended the scheduler");
}

fn log_of(project: &Project) -> std::path::PathBuf {
    let dir: &Path = &project.root;
    dir.join(".git/crewlog/main/log")
}
