//! Everything that the fuzzers found worth keeping goes through the same checks again, without a
//! fuzzer. A file that fails here is run alone by `just fuzz TARGET FILE`.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crewlog::model::evidence::SessionEnd;
use targets::{Check, TARGETS};

/// No input takes so long, in a debug build on a busy machine: the longest takes a tenth of it.
const FILE_LIMIT: Duration = Duration::from_secs(10);
/// The repository carries it for ever.
const CORPUS_BYTES_MAX: u64 = 2 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

/// Says which file it was when a check panics.
struct Running<'a>(&'a Path);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this happened with {}", self.0.display());
        }
    }
}

fn replay(name: &str) {
    let (_, check): &(&str, Check) = TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("a target");
    let files = files(&root().join("corpus").join(name));
    assert!(files.len() >= 3, "{name} has hardly a corpus");
    // What is in no corpus, but is what a fuzzer tries first.
    check(&[]);
    check(&[255; 300]);
    for file in &files {
        let bytes = fs::read(file).expect("readable");
        let running = Running(file);
        let begun = Instant::now();
        check(&bytes);
        let took = begun.elapsed();
        assert!(took < FILE_LIMIT, "took {took:?}");
        drop(running);
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed_and_can_be_fuzzed() {
            let replayed = BTreeSet::from([$(stringify!($name).to_owned()),*]);
            let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            let names = |directory: &str| -> BTreeSet<String> {
                let files = files(&root().join(directory));
                let name = |file: &PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
                files.iter().filter_map(name).collect()
            };
            assert_eq!(replayed, known);
            assert_eq!(names("fuzz_targets"), known);
            assert_eq!(names("corpus"), known);
            let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
            for name in &known {
                let path = format!("path = \"fuzz_targets/{name}.rs\"");
                assert!(manifest.contains(&path), "{name} is no target in fuzz/Cargo.toml");
            }
        }
    };
}

replays! { acp backlog claims claude codex config events fold frames git portable reader record snapshot spool system transcript }

#[test]
fn the_corpus_is_small() {
    let directories = files(&root().join("corpus"));
    let all = directories.iter().flat_map(|directory| files(directory));
    let bytes: u64 = all
        .map(|file| fs::metadata(file).expect("a file").len())
        .sum();
    assert!(
        bytes < CORPUS_BYTES_MAX,
        "{bytes} bytes; keep fewer and smaller files"
    );
}

/// The inputs that were made of recordings still play them to their ends: otherwise the fuzzer
/// would only ever see the beginnings of sessions.
#[test]
fn sessions_in_the_corpus_come_to_their_ends() {
    let table = [
        ("claude", SessionEnd::Completed),
        ("claude-err401", SessionEnd::AuthFailed),
        ("claude-err429", SessionEnd::Limited),
        ("codex", SessionEnd::Completed),
        ("codex-errctx", SessionEnd::ContextOverflow),
        ("gemini", SessionEnd::Completed),
        ("opencode", SessionEnd::Completed),
    ];
    for (name, end) in table {
        let bytes = fs::read(root().join("corpus/acp").join(name)).expect("a recording");
        let result = targets::acp::play(&bytes);
        assert_eq!(result.end, end, "{name}: {result:?}");
    }
}
