//! Plays the scripts of the shipped example by themselves, without scheduler, worker or agent: in
//! many orders that the dependencies permit, each feature's last script makes its checks pass, and
//! every seeded trouble is real.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

#[path = "example/player.rs"]
mod player;

use player::{Example, Repository, files, read, root, said};

/// Broken by [`BREAKER`], mended by its own `[[regressed]]` script.
const BROKEN: u32 = 9;
const BREAKER: u32 = 10;
/// Both insert a line at the same place of `shoebox`.
const RIVALS: [u32; 2] = [1, 2];
/// What the checks say of first attempts that are wrong, hollow, cut off by a crash, or hanging.
const REFUSED: [(u32, &str); 4] = [
    (4, "but got: 119.5\n"),
    (15, "there is no command 'chart'"),
    (8, "yntax error"),
    (13, "there are no tests named export"),
];

/// Small and good enough to draw an order with (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn the_backlog_is_wide_deep_and_complete() {
    let example = Example::load();
    assert!((12..=16).contains(&example.features.len()));
    for (id, feature) in &example.features {
        assert!(
            feature.depends_on.iter().all(|d| d < id),
            "#{id} depends on a later one"
        );
        for text in [&feature.category, &feature.name, &feature.description] {
            assert!(!text.is_empty(), "#{id} has an empty text");
        }
        assert!(!feature.steps.is_empty(), "#{id} has no steps");
        let rival = RIVALS.contains(id);
        assert_eq!(
            feature.priority != 0,
            rival,
            "#{id}: only the rivals have to come first"
        );
    }
    let unchecked = example.features.values().filter(|f| f.checks.is_empty());
    assert_eq!(unchecked.map(|f| f.id).collect::<Vec<_>>(), [16]);
    assert!(example.features.keys().any(|id| example.chain(*id) >= 4));
    let roots = example
        .features
        .values()
        .filter(|f| f.depends_on.is_empty());
    assert!(
        roots.count() >= 4,
        "as many workers have something to do at once"
    );
    assert!(example.features[&BREAKER].depends_on.contains(&BROKEN));
}

#[test]
fn the_scripts_are_short_and_every_file_is_used() {
    let example = Example::load();
    let mut used = BTreeSet::new();
    for (id, script) in &example.scripts {
        used.insert(root().join(format!("script/{id}.toml")));
        for turn in script.attempt.iter().chain(&script.regressed) {
            let pauses: u64 = turn.steps.iter().filter_map(|step| step.pause_ms).sum();
            assert!(
                pauses <= 2_200,
                "#{id} pauses for {pauses} ms, the demo is to be short"
            );
        }
        let turns = script
            .attempt
            .iter()
            .chain(&script.regressed)
            .chain(&script.test);
        for step in turns.flat_map(|turn| &turn.steps) {
            let named = step.patch.iter().chain(&step.from);
            used.extend(named.map(|name| root().join("script").join(name)));
            assert!(
                step.pause_ms.is_none_or(|ms| ms <= 700),
                "#{id}: near the idle limit"
            );
            let does = [
                step.patch.is_some(),
                step.write.is_some(),
                step.run.is_some(),
            ];
            let tells = [
                step.say.is_some(),
                step.think.is_some(),
                step.pause_ms.is_some(),
            ];
            let ends = [
                step.verdict.is_some(),
                step.judge.is_some(),
                step.usage.is_some(),
            ];
            let breaks = [step.crash_writing.is_some(), step.hang_detached.is_some()];
            let flags = [&does[..], &tells, &ends, &breaks].concat();
            assert_eq!(
                flags.iter().filter(|f| **f).count(),
                1,
                "#{id}: one thing at a time"
            );
        }
        let judges = script.test.iter().flat_map(|turn| &turn.steps);
        let judges: Vec<_> = judges.filter_map(|step| step.judge.as_ref()).collect();
        let checks = &example.features[id].checks;
        let known = judges
            .iter()
            .all(|judge| checks.is_empty() || checks.contains(judge));
        assert!(
            judges.len() == 1 && known,
            "#{id}: {judges:?} against {checks:?}"
        );
    }
    let there: BTreeSet<_> = files(&root().join("script")).into_iter().collect();
    assert_eq!(
        there, used,
        "files of script/ against those that a script names"
    );
    let bytes: u64 = files(&root())
        .iter()
        .map(|f| fs::metadata(f).unwrap().len())
        .sum();
    assert!(bytes < 150_000, "{bytes} bytes are too much to embed");
}

/// Plays all features in one permitted order, the repair somewhere behind the breaker.
fn play_in_order(example: &Example, seed: u64) {
    let mut dice = Dice(seed | 1);
    let repository = Repository::new();
    let (mut done, mut broken) = (BTreeSet::new(), false);
    while done.len() < example.features.len() || broken {
        let ready = example.features.values().filter(|f| !done.contains(&f.id));
        let ready = ready.filter(|f| f.depends_on.iter().all(|d| done.contains(d)));
        let mut choice: Vec<u32> = ready.map(|f| f.id).collect();
        // The repair is one more thing that may come next.
        choice.extend(broken.then_some(BROKEN));
        let id = choice[dice.below(choice.len())];
        let repair = broken && id == BROKEN;
        repository.play(if repair {
            &example.scripts[&id].regressed[0]
        } else {
            example.last(id)
        });
        repository.commit(&format!("feature-{id}"));
        done.insert(id);
        broken = !repair && (broken || id == BREAKER);

        let verdict = repository.check(&example.features[&id]);
        assert_eq!(verdict, Ok(()), "#{id} after {done:?}, seed {seed}");
        if id == BREAKER {
            let lost = repository.check(&example.features[&BROKEN]).unwrap_err();
            assert!(lost.contains("but got: 3.33\n"), "seed {seed}: {lost}");
        }
        // Nothing but the broken feature suffers, and nothing but the mended one is changed.
        let others: Vec<u32> = match (id, repair) {
            (BREAKER, _) => done
                .iter()
                .copied()
                .filter(|other| *other != BROKEN)
                .collect(),
            (_, true) => vec![BREAKER],
            _ => Vec::new(),
        };
        for other in others {
            let verdict = repository.check(&example.features[&other]);
            assert_eq!(
                verdict,
                Ok(()),
                "#{other} beside #{id}, {done:?}, seed {seed}"
            );
        }
    }
    for feature in example.features.values() {
        assert_eq!(
            repository.check(feature),
            Ok(()),
            "#{} at the end, seed {seed}",
            feature.id
        );
    }
    for feature in example.features.values().filter(|f| f.checks.is_empty()) {
        let verdict = repository.judge(&example.scripts[&feature.id]);
        assert_eq!(verdict, Ok(()), "#{}, seed {seed}", feature.id);
    }
    assert_eq!(
        repository.git("status --porcelain"),
        "",
        "checks leave files, seed {seed}"
    );
    assert!(
        files(&repository.dir.path().join("tmp")).is_empty(),
        "seed {seed}"
    );
}

#[test]
fn every_order_that_the_dependencies_permit_ends_complete() {
    let example = Example::load();
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let given = std::env::var("CREWLOG_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or(clock.as_nanos() as u64);
    let began = Instant::now();
    for round in 0..6_u64 {
        // Two orders in any case, more on a quick machine.
        if round >= 2 && began.elapsed() > Duration::from_secs(4) {
            break;
        }
        let seed = seed.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        println!("CREWLOG_SEED={seed}");
        play_in_order(&example, seed);
    }
}

type Made = BTreeMap<BTreeSet<u32>, String>;

/// The commit at which just these features are done, made once.
fn base(
    example: &Example,
    repository: &Repository,
    set: &BTreeSet<u32>,
    made: &mut Made,
) -> String {
    if let Some(commit) = made.get(set) {
        return commit.clone();
    }
    let mut before = set.clone();
    let Some(id) = before.pop_last() else {
        return "start".to_owned();
    };
    let under = base(example, repository, &before, made);
    repository.start_from(&under);
    repository.play(example.last(id));
    let commit = repository.commit(&format!("feature-{id}"));
    made.insert(set.clone(), commit.clone());
    commit
}

#[test]
fn every_feature_works_on_nothing_but_what_it_depends_on() {
    let example = Example::load();
    let (repository, mut made) = (Repository::new(), Made::new());
    for (id, feature) in &example.features {
        let mut set = example.ancestors(*id);
        let before = base(&example, &repository, &set, &mut made);
        repository.start_from(&before);
        let early = repository.check(feature);
        assert_eq!(
            early.is_ok(),
            feature.checks.is_empty(),
            "#{id} passes without being done"
        );
        if let Some((_, told)) = REFUSED.iter().find(|(refused, _)| refused == id) {
            repository.play(example.first(*id));
            let why = repository.check(feature).unwrap_err();
            assert!(why.contains(told), "#{id} was refused, but for {why}");
            repository.start_from(&before);
        }
        repository.play(example.last(*id));
        assert_eq!(repository.check(feature), Ok(()), "#{id} on {set:?}");
        set.insert(*id);
        made.insert(set, repository.commit(&format!("feature-{id}")));
    }
}

#[test]
fn wrong_and_hollow_work_looks_right_to_its_author() {
    let example = Example::load();
    let (repository, mut made) = (Repository::new(), Made::new());
    for id in [4, 15] {
        let before = base(&example, &repository, &example.ancestors(id), &mut made);
        repository.start_from(&before);
        repository.play(example.first(id));
        let checks = &example.features[&id].checks;
        assert_eq!(
            repository.shell(&checks[0]),
            Ok(()),
            "#{id}: its own tests are green"
        );
        assert!(
            checks[1..]
                .iter()
                .any(|check| repository.shell(check).is_err()),
            "#{id}"
        );
    }
}

#[test]
fn the_rivals_conflict_when_cut_from_the_same_head() {
    let example = Example::load();
    for (winner, loser) in [(RIVALS[0], RIVALS[1]), (RIVALS[1], RIVALS[0])] {
        let repository = Repository::new();
        let mut cut = Vec::new();
        for id in [winner, loser] {
            repository.start_from("start");
            repository.play(example.first(id));
            assert_eq!(repository.check(&example.features[&id]), Ok(()));
            cut.push(repository.commit(&format!("feature-{id}")));
        }
        let rebase = repository.try_git(&format!("rebase {}", cut[0]));
        assert!(
            !rebase.status.success() && said(&rebase).contains("CONFLICT"),
            "#{loser}"
        );
        repository.git("rebase --abort");

        // The next attempt starts from the new head; so does one that never raced at all.
        for turn in [example.last(loser), example.first(loser)] {
            repository.start_from(&cut[0]);
            repository.play(turn);
            for id in [winner, loser] {
                assert_eq!(repository.check(&example.features[&id]), Ok(()), "#{id}");
            }
        }
    }
}

/// All that the program and its tests may call: utilities of POSIX.
const UTILITIES: &str =
    "sh awk cat cmp cp cut date dirname grep mkdir mv printf rm sed sort touch tr wc";

#[test]
fn the_program_needs_nothing_but_posix() {
    let example = Example::load();
    let repository = Repository::new();
    for id in example.features.keys() {
        repository.play(example.last(*id));
    }
    repository.play(&example.scripts[&BROKEN].regressed[0]);

    let bin = repository.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| {
        std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|file| file.is_file())
    };
    for name in UTILITIES.split(' ') {
        // The strictest shell that is at hand.
        let dash = if name == "sh" { find("dash") } else { None };
        let found = dash
            .or_else(|| find(name))
            .unwrap_or_else(|| panic!("no {name} in PATH"));
        std::os::unix::fs::symlink(found, bin.join(name)).unwrap();
    }
    let shell = bin.join("sh");
    let mut suite = repository.command(shell.to_str().unwrap());
    let suite = suite
        .env("PATH", &bin)
        .arg("tests/run.sh")
        .output()
        .unwrap();
    assert!(
        suite.status.success() && said(&suite).ends_with(" 0 failed\n"),
        "{}",
        said(&suite)
    );

    let scripts = files(&root().join("script"))
        .into_iter()
        .chain(files(&repository.work()));
    for file in scripts.filter(|f| f.extension().is_some_and(|e| e == "sh")) {
        let output = repository
            .command("sh")
            .arg("-n")
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}: {}",
            file.display(),
            said(&output)
        );
        let text = read(&file);
        for word in [
            "[[ ", "local ", "$'", "<<<", "<(", "echo -", "&>", "sed -i", "mktemp", "seq ",
        ] {
            assert!(
                !text.contains(word),
                "{}: {word} is not POSIX",
                file.display()
            );
        }
    }
}
