//! Real processes, killed with -9 at seeded moments: the run completes all the same, every
//! feature is merged exactly once, nothing that was acknowledged is missing, and no process
//! survives its worker.

mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command};

use crewlog::cli::client::Client;
use crewlog::model::event::Event;
use crewlog::model::ids::Sequence;
use crewlog::protocol::{ClientMessage, ToClient};
use crewlog::queue::encoding::decode;
use crewlog::queue::{EventLog, OpenOptions, SledLog, verify};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use real::{Project, wait, wait_until};

const FEATURES: u32 = 36;
const KILLS: u32 = 24;

/// An agent that takes a moment, leaves a detached child behind, and does its work in two writes.
const AGENT: &str = r#"
setsid sleep 300 & sleep 0.05
printf 'half' > "f$CREWLOG_FEATURE.txt"; sleep 0.05
printf 'feature %s\n' "$CREWLOG_FEATURE" > "f$CREWLOG_FEATURE.txt"
"#;

fn config() -> String {
    format!(
        "[run]\nbranch = \"crash\"\nmax_attempts = 100\nretry_backoff = \"10ms\"\nretry_backoff_max = \"50ms\"\nidle_limit = \"20s\"\n\
         [agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", '''{AGENT}''']\n"
    )
}

fn backlog() -> String {
    let feature = |id: u32| {
        let on = if id > 3 {
            format!("{}", id - 3)
        } else {
            String::new()
        };
        format!(
            "[[feature]]\nid = {id}\nname = \"feature {id}\"\nchecks = ['grep -qx \"feature {id}\" f{id}.txt']\ndepends_on = [{on}]\n"
        )
    };
    (1..=FEATURES).map(feature).collect()
}

/// What a follower of the log has seen: events that were acknowledged, for ever.
#[derive(Default)]
struct Seen {
    envelopes: BTreeMap<Sequence, Vec<u8>>,
    workers: BTreeSet<u32>,
}

impl Seen {
    fn note(&mut self, bytes: &[u8]) {
        let envelope = decode(bytes).expect("an envelope");
        let sequence = envelope.sequence;
        if envelope.content().is_none()
            && let Event::WorkerJoined(joined) = envelope.recorded().expect("an event").event
        {
            self.workers.insert(joined.process.pid);
        }
        let before = self.envelopes.insert(sequence, bytes.to_vec());
        assert!(
            before.is_none_or(|before| before == bytes),
            "event {sequence} was acknowledged and is another one now"
        );
    }

    fn next(&self) -> Sequence {
        self.envelopes
            .last_key_value()
            .map_or(Sequence(1), |(last, _)| last.next())
    }
}

/// Follows the log until `count` more events have come or the scheduler is gone.
async fn follow(project: &Project, seen: &mut Seen, count: u32, child: &mut Child) -> bool {
    let socket = project.root.join(".git/crewlog/main/socket");
    let mut client = loop {
        if child.try_wait().expect("its status").is_some() {
            return false;
        }
        match Client::connect(&socket).await {
            Ok(Some(client)) => break client,
            _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    };
    let from = seen.next();
    let read = ClientMessage::Read { from, follow: true };
    if client.send(&read).await.is_err() {
        return true;
    }
    let until = from.0 + u64::from(count);
    while seen.next().0 < until {
        match client.next().await {
            Ok(Some(ToClient::Events { envelopes })) => {
                envelopes.iter().for_each(|bytes| seen.note(bytes));
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    true
}

fn kill(pid: u32) {
    let pid = pid.to_string();
    let _ = Command::new("kill")
        .args(["-9", &pid])
        .stderr(std::process::Stdio::null())
        .status();
}

fn victims(project: &Project, seen: &Seen, scheduler: &Child, random: &mut StdRng) -> Vec<u32> {
    let all = project.processes();
    let others: Vec<u32> = all
        .keys()
        .copied()
        .filter(|&pid| pid != scheduler.id())
        .collect();
    let workers: Vec<u32> = others
        .iter()
        .copied()
        .filter(|pid| seen.workers.contains(pid))
        .collect();
    let agents: Vec<u32> = others
        .iter()
        .copied()
        .filter(|pid| !seen.workers.contains(pid))
        .collect();
    let mut pick = |from: &[u32]| {
        let at = random.next_u64() as usize % from.len().max(1);
        from.get(at).copied().into_iter().collect::<Vec<u32>>()
    };
    let choice = pick(&[0, 0, 1, 1, 2, 2, 3, 4])
        .first()
        .copied()
        .unwrap_or(0);
    match choice {
        0 => vec![scheduler.id()],
        1 => pick(&workers),
        2 => pick(&agents),
        3 => [vec![scheduler.id()], pick(&workers), pick(&agents)].concat(),
        _ => all.keys().copied().collect(),
    }
}

#[test]
fn kills_at_any_moment_lose_nothing() {
    let seed = std::env::var("CREWLOG_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("CREWLOG_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let project = Project::new(&config());
    project.write(".crewlog/features.toml", &backlog());
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    let before = project.git(&["rev-parse", "main"]);
    let run = ["run", "--workers", "coding=3,testing=1"];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let mut seen = Seen::default();
    let mut child = project.start(&run);
    let mut kills = 0;
    while kills < KILLS {
        let events = random.random_range(1..9);
        if !runtime.block_on(follow(&project, &mut seen, events, &mut child)) {
            break;
        }
        for pid in victims(&project, &seen, &child, &mut random) {
            kill(pid);
            kills += 1;
        }
        if child
            .try_wait()
            .expect("its status")
            .is_some_and(|status| status.code().is_some())
        {
            break;
        }
        let dead =
            !Path::new(&format!("/proc/{}/fd", child.id())).exists() || wait_briefly(&mut child);
        if dead {
            child = project.start(&run);
        }
    }
    // Whatever state it was left in, one more start finishes it.
    let code = wait(&mut child);
    let code = if code == Some(0) {
        code
    } else {
        wait(&mut project.start(&run))
    };
    assert_eq!(code, Some(0), "the run did not complete");
    project.wait_for_silence();
    println!("{kills} kills, {} events", seen.envelopes.len());
    must_be_whole(&project, &seen);
    assert_eq!(
        project.git(&["rev-parse", "main"]),
        before,
        "the user's branch moved"
    );
    assert_eq!(
        project.git(&["status", "--porcelain"]),
        "",
        "the user's tree changed"
    );
}

/// A killed process is gone within moments; one that was not killed stays.
fn wait_briefly(child: &mut Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
    let dead = stat.is_ok_and(|stat| stat.contains(") Z "));
    dead && wait_until("it is reaped", || child.try_wait().expect("its status"))
        .code()
        .is_none()
}

fn must_be_whole(project: &Project, seen: &Seen) {
    let dir = project.root.join(".git/crewlog/main/log");
    let log = SledLog::open(&dir, &OpenOptions::default()).expect("the log");
    verify(&log).expect("an unbroken chain");
    for (&sequence, bytes) in &seen.envelopes {
        let chunk = log.read(sequence, 1).expect("a read");
        let envelope = chunk.envelopes().next().expect("an event").expect("sound");
        assert_eq!(
            envelope.bytes,
            &bytes[..],
            "event {sequence} was acknowledged"
        );
    }
    let mut merged: BTreeMap<u32, u32> = BTreeMap::new();
    let all = log.read(Sequence(1), usize::MAX).expect("all of it");
    for recorded in all.events(log.contents()).expect("events") {
        if let Event::FeaturePassed(passed) = recorded.event {
            *merged.entry(passed.feature.0).or_default() += 1;
        }
    }
    let once: BTreeMap<u32, u32> = (1..=FEATURES).map(|id| (id, 1)).collect();
    assert_eq!(merged, once, "each feature passed exactly once");
    let mut commits = project.merged("crewlog/crash");
    commits.sort();
    let mut wanted: Vec<String> = (1..=FEATURES).map(|id| format!("#{id}")).collect();
    wanted.sort();
    assert_eq!(commits, wanted, "each feature has exactly one commit");
    let worktrees = project.git(&["worktree", "list", "--porcelain"]);
    let count = worktrees
        .lines()
        .filter(|line| line.starts_with("worktree "))
        .count();
    assert_eq!(count, 1, "worktrees were left behind:\n{worktrees}");
}
