//! The integration branch: made where nobody works on it, moved by compare-and-swap.

use std::fs;
use std::time::{Duration, SystemTime};

use crewlog::model::ids::CommitId;
use crewlog::scheduler::ports::{GitBranch, Integration};
use crewlog::workspace::{Advance, Error, Repository};

use crate::fixture::{BRANCH, Fixture, run, write};

/// A commit on `parent` that adds one file, made behind everybody's back.
fn make_commit(fixture: &Fixture, parent: &CommitId, name: &str) -> CommitId {
    let tree = fixture.id(&format!("{parent}^{{tree}}"));
    let parent = parent.as_str();
    let id = fixture.git(&["commit-tree", "-p", parent, "-m", name, tree.as_str()]);
    id.trim().parse().expect("an id")
}

fn no_such() -> CommitId {
    "12".repeat(20).parse().expect("an id")
}

#[test]
fn the_branch_starts_at_the_users_head_and_is_kept() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        assert_eq!(head, fixture.id("HEAD"));
        let next = make_commit(&fixture, &head, "next");
        let moved = repository.advance(BRANCH, &head, &next, "a1").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        fixture.git(&["commit", "-q", "--allow-empty", "-m", "user's own"]);
        fixture.git(&["pack-refs", "--all"]);
        assert_eq!(repository.ensure_branch(BRANCH).await.expect("found"), next);
        assert_eq!(repository.head(BRANCH).await.expect("found"), next);
        let reflog = fixture.git(&["reflog", "show", BRANCH]);
        assert!(reflog.contains("crewlog: a1"), "{reflog}");
    });
}

#[test]
fn a_deleted_branch_is_put_back_to_where_it_was() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let next = make_commit(&fixture, &head, "next");
        let advanced = repository.advance(BRANCH, &head, &next, "a1").await;
        assert_eq!(advanced.expect("moved"), Advance::Moved);
        let delete = || fixture.git(&["branch", "-D", BRANCH]);
        let put_back = async |known: &CommitId| {
            let ensured = repository.ensure_branch_from(BRANCH, Some(known)).await;
            ensured.expect("the branch")
        };
        delete();
        assert_eq!(put_back(&next).await, next);
        // Nobody's branch is moved.
        assert_eq!(put_back(&head).await, next);
        // In a repository that has never seen the commit.
        delete();
        assert_eq!(put_back(&no_such()).await, head);

        // While a merge is on its way.
        let branch = BRANCH.to_owned();
        let git = GitBranch {
            repository: repository.clone(),
            branch,
        };
        delete();
        let merged = git.merge(&head, &next).await.expect("merged");
        assert_eq!((merged.merged, &merged.head), (true, &next));
        assert_eq!(repository.head(BRANCH).await.expect("found"), next);
    });
}

#[test]
fn names_that_cannot_be_a_branch_are_refused() {
    run(async {
        let fixture = Fixture::new();
        let repository = fixture.repository().await;
        let names = [
            "", "-x", "a..b", "a b", "a.lock", "/a", "a/", "a//b", "@{", "a~1", "a\nb", ".a",
        ];
        for name in names {
            let refused = repository.ensure_branch(name).await;
            assert!(
                matches!(refused, Err(Error::BranchName { .. })),
                "{name:?}: {refused:?}"
            );
        }
        let missing = repository.head("crewlog/none").await;
        assert!(
            matches!(missing, Err(Error::BranchMissing { .. })),
            "{missing:?}"
        );
    });
}

#[test]
fn a_branch_that_somebody_works_on_is_refused() {
    run(async {
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        fixture.git(&["checkout", "-q", BRANCH]);
        let refused = repository.ensure_branch(BRANCH).await;
        let at = fixture.repo.display().to_string();
        assert!(
            matches!(&refused, Err(Error::BranchCheckedOut { at: found, .. }) if *found == at),
            "{refused:?}"
        );

        // A rebase of it takes HEAD off the branch, but will move the branch in the end.
        fixture.write("README", "ours\n");
        fixture.git(&["commit", "-q", "-a", "-m", "ours"]);
        fixture.git(&["checkout", "-q", "main"]);
        fixture.write("README", "theirs\n");
        fixture.git(&["commit", "-q", "-a", "-m", "theirs"]);
        fixture.git(&["checkout", "-q", BRANCH]);
        let conflict = fixture.try_git_in(&fixture.repo, &["rebase", "main"]);
        assert!(!conflict.status.success());
        let refused = repository.ensure_branch(BRANCH).await;
        assert!(
            matches!(refused, Err(Error::BranchCheckedOut { .. })),
            "{refused:?}"
        );
        fixture.git(&["rebase", "--abort"]);
        fixture.git(&["checkout", "-q", "main"]);
        repository.ensure_branch(BRANCH).await.expect("free again");

        let linked = fixture.top().join("linked");
        let path = linked.display().to_string();
        fixture.git(&["worktree", "add", "-q", &path, BRANCH]);
        let refused = repository.ensure_branch(BRANCH).await.expect_err("refused");
        assert!(refused.to_string().contains(&path), "{refused}");
    });
}

#[test]
fn a_rebase_of_another_branch_does_not_matter() {
    run(async {
        let fixture = Fixture::new();
        fixture.git(&["checkout", "-q", "-b", "topic"]);
        fixture.write("README", "ours\n");
        fixture.git(&["commit", "-q", "-a", "-m", "ours"]);
        fixture.git(&["checkout", "-q", "main"]);
        fixture.write("README", "theirs\n");
        fixture.git(&["commit", "-q", "-a", "-m", "theirs"]);
        fixture.git(&["checkout", "-q", "topic"]);
        let conflict = fixture.try_git_in(&fixture.repo, &["rebase", "main"]);
        assert!(!conflict.status.success());
        let before = fixture.users_state();
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 1).await;
        write(worktree.path(), "x", "1");
        let done = crate::fixture::commit(&mut worktree).await;
        let moved = repository.advance(BRANCH, &head, &done.commit, "a1").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        assert_eq!(fixture.users_state(), before);
    });
}

#[test]
fn a_branch_in_the_way_is_named() {
    run(async {
        for (there, wanted) in [
            ("crewlog", "crewlog/main"),
            ("crewlog/main/sub", "crewlog/main"),
            ("crewlog/main", "crewlog/main/deep/er"),
        ] {
            let fixture = Fixture::new();
            fixture.git(&["branch", there]);
            let repository = fixture.repository().await;
            let refused = repository.ensure_branch(wanted).await;
            let Err(Error::BranchBlocked { by, .. }) = refused else {
                panic!("{there}, {wanted}: {refused:?}");
            };
            assert_eq!(by, there);
        }
        // Similar names are not in the way.
        let fixture = Fixture::new();
        fixture.git(&["branch", "crewlog/mainly"]);
        fixture.git(&["branch", "crewlogs"]);
        fixture.begun().await;
    });
}

#[test]
fn contains_answers_recoverys_question() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let merged = make_commit(&fixture, &head, "merged");
        let other = make_commit(&fixture, &head, "other");
        repository
            .advance(BRANCH, &head, &merged, "x")
            .await
            .expect("moved");
        for (commit, expected) in [
            (&head, true),
            (&merged, true),
            (&other, false),
            (&no_such(), false),
        ] {
            let answer = repository.contains(BRANCH, commit).await;
            assert_eq!(answer.expect("an answer"), expected, "{commit}");
        }
        let missing = repository.contains("crewlog/none", &head).await;
        assert!(
            matches!(missing, Err(Error::BranchMissing { .. })),
            "{missing:?}"
        );
    });
}

#[test]
fn advance_moves_once_and_only_from_where_it_was_told() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let one = make_commit(&fixture, &head, "one");
        let two = make_commit(&fixture, &head, "two");
        let three = make_commit(&fixture, &one, "three");
        let moves = |onto: &CommitId, commit: &CommitId| {
            let (repository, onto, commit) = (repository.clone(), onto.clone(), commit.clone());
            async move { repository.advance(BRANCH, &onto, &commit, "x").await }
        };
        assert_eq!(moves(&head, &one).await.expect("moved"), Advance::Moved);
        assert_eq!(moves(&head, &one).await.expect("repeated"), Advance::Moved);
        let refused = Advance::Refused { head: one.clone() };
        assert_eq!(moves(&head, &two).await.expect("refused"), refused);
        for (onto, commit) in [(&head, &three), (&one, &two), (&one, &head), (&one, &one)] {
            let wrong = moves(onto, commit).await;
            assert!(matches!(wrong, Err(Error::NotOnHead { .. })), "{wrong:?}");
        }
        moves(&one, &no_such())
            .await
            .expect_err("an unknown commit");
        assert_eq!(repository.head(BRANCH).await.expect("found"), one);
        fixture.git(&["update-ref", "-d", "refs/heads/crewlog/main"]);
        let gone = moves(&one, &three).await;
        assert!(matches!(gone, Err(Error::BranchMissing { .. })), "{gone:?}");
    });
}

async fn race(repository: Repository, onto: CommitId, commit: CommitId) -> bool {
    let moved = repository.advance(BRANCH, &onto, &commit, "race").await;
    match moved.expect("no error") {
        Advance::Moved => true,
        Advance::Refused { head } => {
            assert_ne!(head, onto);
            false
        }
    }
}

#[test]
fn of_several_who_race_one_wins() {
    run(async {
        let fixture = Fixture::new();
        let (repository, mut head) = fixture.begun().await;
        for round in 0..4 {
            let racers: Vec<CommitId> = (0..4)
                .map(|racer| make_commit(&fixture, &head, &format!("{round} {racer}")))
                .collect();
            let races = racers
                .iter()
                .map(|commit| tokio::spawn(race(repository.clone(), head.clone(), commit.clone())));
            let races: Vec<_> = races.collect();
            let mut winners = Vec::new();
            for (race, commit) in races.into_iter().zip(&racers) {
                if race.await.expect("no panic") {
                    winners.push(commit.clone());
                }
            }
            let [winner] = winners.as_slice() else {
                panic!("round {round}: {winners:?}");
            };
            assert_eq!(repository.head(BRANCH).await.expect("found"), *winner);
            head = winner.clone();
        }
    });
}

#[test]
fn a_held_lock_is_waited_for_and_a_dead_gits_lock_is_taken_away() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let one = make_commit(&fixture, &head, "one");
        let lock = fixture.repo.join(".git/refs/heads/crewlog/main.lock");
        fs::write(&lock, "").expect("locked");
        fixture.calls();
        let (moving, path, calls) = (
            repository.clone(),
            lock.clone(),
            fixture.top().join("calls"),
        );
        let (onto, commit) = (head.clone(), one.clone());
        let moving = tokio::spawn(async move { moving.advance(BRANCH, &onto, &commit, "x").await });
        // Let go only after the first try has failed and the head was looked at.
        while !fs::read_to_string(&calls).is_ok_and(|calls| calls.contains("rev-parse")) {
            assert!(!moving.is_finished(), "{:?}", moving.await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        fs::remove_file(&path).expect("unlocked");
        let moved = moving.await.expect("no panic");
        assert_eq!(moved.expect("moved"), Advance::Moved);

        let two = make_commit(&fixture, &one, "two");
        let held = fs::File::create(&lock).expect("locked");
        let hour = SystemTime::now() - Duration::from_secs(3_600);
        held.set_modified(hour).expect("made old");
        let moved = repository.advance(BRANCH, &one, &two, "x").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        assert!(!lock.exists());
    });
}
