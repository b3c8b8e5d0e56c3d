//! `scheduler verify` and `scheduler repair`, of logs on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use crewlog::cli::error::Error;
use crewlog::cli::exit::ExitCode;
use crewlog::cli::output::Output;
use crewlog::cli::pages::damage;
use crewlog::cli::pages::repair::{self as page, Plan};
use crewlog::cli::pages::verify::{self, Proven, Snapshots};
use crewlog::model::ids::{AttemptId, ContentHash, FeatureId, Sequence};
use crewlog::queue::log::EventLog;
use crewlog::queue::repair::{self, Findings};
use crewlog::queue::{LostText, OpenOptions, SledLog, Text, Verified};

use crate::kit::{self, Screen};
use crate::story::every_status;

/// Where the damaged log is kept.
const ASIDE: &str = "/home/ann/project/.git/crewlog/main/log.damaged-20261122T150405Z";

/// A log on the disk.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// A closed log with every event of the story.
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().expect("a directory"),
        };
        let (story, _) = every_status();
        let log = SledLog::open(&place.log(), &OpenOptions::default()).expect("a log");
        let epoch = log.lead().expect("the first epoch");
        let mut events = story.events;
        events.iter_mut().for_each(|event| event.epoch = epoch);
        for batch in events.chunks(10) {
            let head = log.head().sequence;
            log.append(batch, head, epoch).expect("appended");
        }
        log.close().expect("closed");
        place
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn look(&self) -> Findings {
        repair::look(&self.log(), &self.dir.path().join("snapshots")).expect("it can be read")
    }

    /// Flips a bit in every copy of an event, so that it is lost for good.
    fn lose(&self, sequence: u64) {
        let db = self.log().join("sled/db");
        let mut bytes = fs::read(&db).expect("the database");
        let copies: Vec<usize> = (0..bytes.len().saturating_sub(96))
            .filter(|&at| {
                bytes[at..].starts_with(b"CWLG")
                    && bytes[at + 10..at + 18] == sequence.to_le_bytes()
            })
            .collect();
        assert!(!copies.is_empty(), "event {sequence}");
        copies.iter().for_each(|at| bytes[at + 90] ^= 4);
        fs::write(&db, bytes).expect("written");
    }
}

fn lost(altered: bool, what: Text) -> LostText {
    LostText {
        content: ContentHash([0xab; 32]),
        altered,
        event: Sequence(24),
        what,
    }
}

fn output() -> Text {
    Text::Output {
        feature: FeatureId(1),
        attempt: AttemptId(21),
        check: 1,
    }
}

fn proven(sound: &Verified, lost: Vec<LostText>) -> Proven {
    let lost_count = lost.len() as u64;
    Proven {
        events: Verified {
            lost,
            lost_count,
            outputs_missing: 0,
            ..sound.clone()
        },
        snapshots: Snapshots {
            agree: Vec::new(),
            unused: Vec::new(),
        },
        unlawful: Vec::new(),
    }
}

/// Results of `verify` for a log that can be read to its end.
fn readable(sound: &Verified) -> Vec<(&'static str, Proven)> {
    let mut good = proven(sound, Vec::new());
    good.events.outputs = 12;
    good.events.long_bodies = 1;
    good.events.outputs_missing = 1;
    good.snapshots.agree = vec![Sequence(40), Sequence(60)];
    good.snapshots.unused = vec!["of event 20: another version of Crewlog wrote it".to_owned()];
    let mut unlawful = proven(sound, Vec::new());
    unlawful.unlawful =
        vec!["event 24 (FeaturePassed): feature #1 is passing, so it has no attempt".to_owned()];
    let missing = vec![
        lost(false, Text::Body("FeatureAdded")),
        lost(false, output()),
    ];
    vec![
        ("a sound log", good),
        ("an unlawful event", unlawful),
        (
            "an altered output",
            proven(sound, vec![lost(true, output())]),
        ),
        ("a missing text", proven(sound, missing)),
    ]
}

fn verify(title: &str, proven: &Proven, out: &Output) -> Screen {
    let code = match proven.next() {
        None => ExitCode::Passing,
        Some(_) => ExitCode::LogDamaged,
    };
    let mut text = verify::page(proven, out);
    if let Some(next) = proven.next() {
        let next = crewlog::cli::text::paragraph(next, out.width, 2);
        text.push_str(&next);
    }
    (format!("verify, {title}, exit {}", code.code()), text)
}

fn plan(title: &str, findings: &Findings, beside: (usize, usize), out: &Output) -> Screen {
    let plan = Plan {
        findings,
        results: beside.0,
        transcripts: beside.1,
        aside: Path::new(ASIDE),
    };
    let text = page::plan(&plan, out) + page::UNCHANGED;
    (format!("repair, {title}"), text)
}

#[test]
fn damaged_logs() {
    let sound = Place::new();
    let log = SledLog::open(&sound.log(), &OpenOptions::default()).expect("a log");
    let verified = crewlog::queue::verify(&log).expect("a sound log");
    log.close().expect("closed");
    let damaged = Place::new();
    damaged.lose(60);
    let end = Place::new();
    end.lose(verified.events);
    let texts = || {
        let mut findings = sound.look();
        findings.lost = vec![lost(true, output())];
        findings
    };
    kit::check("damage", |out| {
        let mut screens = Vec::new();
        for (title, proven) in readable(&verified) {
            screens.push(verify(title, &proven, out));
        }
        let findings = damaged.look();
        let error = Error::new(
            ExitCode::LogDamaged,
            damage::what(&findings),
            damage::why(&findings).join("\n"),
            damage::NEXT,
        );
        let code = error.code.code();
        screens.push((
            format!("verify, a damaged log, exit {code}"),
            error.text(out.width),
        ));
        screens.push(plan("a damaged log", &findings, (1, 2), out));
        screens.push(plan("the last event is damaged", &end.look(), (0, 0), out));
        let text = page::texts(&texts(), Path::new(ASIDE), out);
        screens.push((
            "repair, an altered text".to_owned(),
            text + page::TEXTS_MOVED,
        ));
        screens.push((
            "repair, a sound log".to_owned(),
            page::whole(&sound.look(), out),
        ));
        screens.push(("repair, done".to_owned(), done(out)));
        screens
    });
}

/// A repair that is carried out.
fn done(out: &Output) -> String {
    let _alone = crate::alone();
    let place = Place::new();
    place.lose(60);
    let snapshots = place.dir.path().join("snapshots");
    let aside = place.dir.path().join("aside");
    let findings = repair::examine(&place.log(), &snapshots).expect("it can be read");
    let options = OpenOptions::default();
    let repaired = repair::repair(findings, &place.log(), &snapshots, &aside, &options);
    page::repaired(&repaired.expect("repaired"), Path::new(ASIDE), out)
}
