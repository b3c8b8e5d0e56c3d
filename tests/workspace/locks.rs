//! Locks that killed gits leave in the main repository.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use crewlog::workspace::{Advance, Ignored};

use crate::fixture::{BRANCH, Fixture, commit, run, write};

const LOCKS: [&str; 5] = [
    "packed-refs.lock",
    "index.lock",
    "HEAD.lock",
    "config.lock",
    "shallow.lock",
];

#[test]
fn locks_in_the_main_repository_are_named_and_cost_no_attempt_anything() {
    run(async {
        let fixture = Fixture::new();
        let (repository, mut head) = fixture.begun().await;
        fixture.git(&["pack-refs", "--all"]);
        let hour = SystemTime::now() - Duration::from_secs(3_600);
        for lock in LOCKS {
            let file = fs::File::create(fixture.repo.join(".git").join(lock));
            file.expect("made").set_modified(hour).expect("old");
        }
        let mut found = repository.stale_locks().await.expect("listed");
        let names = |path: &std::path::PathBuf| path.file_name().map(|it| it.to_owned());
        found.sort();
        let mut wanted = LOCKS
            .map(|lock| Some(std::ffi::OsString::from(lock)))
            .to_vec();
        wanted.sort();
        assert_eq!(found.iter().map(names).collect::<Vec<_>>(), wanted);
        for attempt in 1..=3 {
            fixture.calls();
            let start = Instant::now();
            let mut worktree = fixture.worktree(&repository, attempt).await;
            write(worktree.path(), &format!("work{attempt}"), "w");
            let done = commit(&mut worktree).await.commit;
            worktree
                .rebase(&head, Ignored::Keep)
                .await
                .expect("rebased");
            let moved = repository.advance(BRANCH, &head, &done, "x").await;
            assert_eq!(moved.expect("moved"), Advance::Moved);
            worktree.preserve("as well").await.expect("preserved");
            worktree.remove().await.expect("removed");
            head = done;
            // No ref was asked for twice, as it is while a lock is waited for.
            let calls = fixture.calls();
            let moves = calls.iter().filter(|call| call.contains(" update-ref "));
            assert!(moves.count() <= 3, "{calls:?}");
            assert!(start.elapsed() < Duration::from_secs(60));
        }
        // They are nobody's of ours.
        for lock in LOCKS {
            assert!(fixture.repo.join(".git").join(lock).exists(), "{lock}");
        }
    });
}
