//! How long each operation takes; `cargo test --test workspace -- --ignored --nocapture speed`.

use std::time::{Duration, Instant};

use crewlog::model::ids::AttemptId;
use crewlog::workspace::{Ignored, Repository};

use crate::fixture::{BRANCH, Fixture, commit, run, write};

const ROUNDS: u64 = 25;

#[derive(Default)]
struct Times(Vec<(&'static str, Vec<Duration>)>);

impl Times {
    fn add(&mut self, name: &'static str, since: Instant) {
        let took = since.elapsed();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => times.push(took),
            None => self.0.push((name, vec![took])),
        }
    }
}

impl Times {
    fn tell(self) {
        for (name, mut taken) in self.0 {
            taken.sort();
            let median = taken[taken.len() / 2];
            let most = taken[taken.len() - 1];
            eprintln!("{name:20} median {median:>9.2?}  most {most:>9.2?}");
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    run(async {
        let fixture = Fixture::new();
        let repository = Repository::discover(&fixture.repo).await.expect("found");
        let mut head = repository.ensure_branch(BRANCH).await.expect("the branch");
        let mut times = Times::default();
        for round in 0..ROUNDS {
            let start = Instant::now();
            Repository::discover(&fixture.repo).await.expect("found");
            times.add("discover", start);
            let start = Instant::now();
            let id = AttemptId(2 * round + 1);
            let made = repository.create_worktree(&fixture.worktrees, id, &head);
            let mut other = made.await.expect("made");
            times.add("create_worktree", start);
            let id = AttemptId(2 * round + 2);
            let made = repository.create_worktree(&fixture.worktrees, id, &head);
            let mut worktree = made.await.expect("made");
            for file in 0..3 {
                write(other.path(), &format!("lib/o{round}-{file}"), "x\n");
                write(worktree.path(), &format!("lib/w{round}-{file}"), "x\n");
            }
            let start = Instant::now();
            let first = commit(&mut other).await.commit;
            times.add("commit", start);
            commit(&mut worktree).await;
            let start = Instant::now();
            let moved = repository.advance(BRANCH, &head, &first, "other").await;
            times.add("advance", start);
            moved.expect("moved");
            let start = Instant::now();
            let rebased = worktree.rebase(&first, Ignored::Keep).await;
            times.add("rebase", start);
            rebased.expect("rebased");
            let start = Instant::now();
            worktree
                .rebase(&first, Ignored::Keep)
                .await
                .expect("in order");
            times.add("rebase (in order)", start);
            let start = Instant::now();
            repository.changes(&head, &first).await.expect("compared");
            times.add("changes", start);
            let start = Instant::now();
            repository.contains(BRANCH, &first).await.expect("answered");
            times.add("contains", start);
            let start = Instant::now();
            worktree.preserve("measured").await.expect("preserved");
            times.add("preserve", start);
            let start = Instant::now();
            worktree.remove().await.expect("removed");
            times.add("remove", start);
            other.remove().await.expect("removed");
            head = first;
        }
        times.tell();
    });
}

/// An attempt's repository beside `git worktree add`, of so many files.
const FILES: usize = 50_000;

/// A measurement of each, by turns.
const TURNS: u64 = 5;

#[test]
#[ignore = "a measurement"]
fn an_attempt_beside_worktree_add() {
    run(async {
        let fixture = Fixture::new();
        for file in 0..FILES {
            let path = format!("dir{:03}/file{file}", file / 100);
            write(&fixture.repo, &path, &format!("{file}\n").repeat(100));
        }
        // One pack instead of a synced file for each object: that is what a clone has, too.
        let quick = ["-c", "core.fsync=none"];
        fixture.git(&[&quick[..], &["add", "-A"]].concat());
        fixture.git(&[&quick[..], &["commit", "-q", "-m", "large"]].concat());
        fixture.git(&["-c", "core.fsync=none", "repack", "-a", "-d", "-q"]);
        let repository = Repository::discover(&fixture.repo).await.expect("found");
        let head = repository.ensure_branch(BRANCH).await.expect("the branch");
        let mut times = Times::default();
        for turn in 1..=TURNS {
            let start = Instant::now();
            let made = repository.create_worktree(&fixture.worktrees, AttemptId(turn), &head);
            let made = made.await.expect("made");
            times.add("an attempt", start);
            let start = Instant::now();
            made.remove().await.expect("removed");
            times.add("removing it", start);
            let dir = fixture.top().join("linked").display().to_string();
            let start = Instant::now();
            fixture.git(&["worktree", "add", "-q", "--detach", &dir]);
            times.add("git worktree add", start);
            let start = Instant::now();
            fixture.git(&["worktree", "remove", "-f", &dir]);
            times.add("git worktree remove", start);
        }
        times.tell();
    });
}
