//! What earlier versions left: linked worktrees beside their private directories.

use std::fs;

use crewlog::model::ids::{AttemptId, CommitId};

use crate::fixture::{BRANCH, Fixture, run, write};

/// The worktree of an attempt as earlier versions made it.
fn old_worktree(fixture: &Fixture, attempt: u64, head: &CommitId) {
    let dir = fixture.worktrees.join(format!("crewlog-a{attempt}"));
    let private = format!("crewlog-a{attempt}.private");
    fixture.git(&[
        "worktree",
        "add",
        "-q",
        "--detach",
        &dir.display().to_string(),
        head.as_str(),
    ]);
    let notes = format!(
        "{{\"test\":false,\"base\":\"{head}\",\"commit\":null,\"admin\":\"crewlog-a{attempt}\"}}"
    );
    write(&fixture.worktrees, &format!("{private}/notes.json"), &notes);
    let registered = format!(".git/worktrees/crewlog-a{attempt}/index");
    let index = fixture.worktrees.join(private).join("index");
    fs::copy(fixture.repo.join(registered), index).expect("an index");
    let job = format!("job-a{attempt}");
    write(&fixture.worktrees, &format!("{job}/job.json"), "{}");
    write(&fixture.worktrees, &format!("{job}/tmp/scratch"), "x");
}

#[test]
fn worktrees_of_earlier_versions_are_cleaned_up_and_their_work_is_kept() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        for attempt in 1..=4 {
            old_worktree(&fixture, attempt, &head);
        }
        write(&fixture.worktrees, "crewlog-a1/work", "1");
        let second = fixture.worktrees.join("crewlog-a2");
        write(&second, "work", "2");
        fixture.git_in(&second, &["add", "-A"]);
        fixture.git_in(&second, &["commit", "-q", "-m", "agent's"]);
        // Killed before its checkout had ended; a number that is given out anew.
        let notes =
            format!("{{\"test\":false,\"base\":\"{head}\",\"commit\":null,\"admin\":null}}");
        write(&fixture.worktrees, "crewlog-a3.private/notes.json", &notes);
        write(&fixture.worktrees, "crewlog-a4/work", "4");
        let again = fixture.worktree(&repository, 4).await;
        again.remove().await.expect("removed");

        // Nothing but its job is left of one, and another's directory holds what nobody knows.
        write(&fixture.worktrees, "job-a5/prompt.md", "do");
        write(&fixture.worktrees, "job-a6/precious", "not ours");

        let swept = repository
            .sweep(&fixture.worktrees, &[], AttemptId(9), BRANCH)
            .await
            .expect("swept");
        assert!(swept.failed.is_empty(), "{swept:?}");
        assert_eq!(swept.removed, [1, 2, 3, 5].map(AttemptId));
        assert!(!fixture.worktrees.join("job-a5").exists());
        let theirs = fixture.worktrees.join("job-a6");
        assert!(theirs.join("precious").exists());
        fs::remove_dir_all(theirs).expect("removed by its owner");
        for attempt in [1, 2, 4] {
            let file = format!("refs/crewlog/preserved/{attempt}:work");
            assert_eq!(fixture.git(&["show", &file]), attempt.to_string());
        }
        assert!(fixture.has_ref("refs/crewlog/preserved/2-agent"));
        assert_eq!(fs::read_dir(&fixture.worktrees).expect("it").count(), 0);
        assert_eq!(fixture.git(&["worktree", "list"]).lines().count(), 1);
    });
}

#[test]
fn what_a_power_cut_left_of_a_registration_does_not_hide_the_branches() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        for number in 7..=10 {
            old_worktree(&fixture, number, &head);
        }
        for (lacking, number) in [("commondir", 8), ("HEAD", 9), ("gitdir", 10)] {
            let git_dir = fixture
                .repo
                .join(format!(".git/worktrees/crewlog-a{number}"));
            // The name had reached the disk, and the bytes not.
            fs::write(git_dir.join(lacking), "").expect("torn");
        }
        assert!(
            repository.ensure_branch(BRANCH).await.is_err(),
            "git refuses"
        );
        let live = [AttemptId(7)];
        repository
            .forget_torn(&live, AttemptId(99))
            .await
            .expect("forgotten");
        assert_eq!(
            repository.ensure_branch(BRANCH).await.expect("a head"),
            head
        );
        let swept = repository
            .sweep(&fixture.worktrees, &live, AttemptId(99), BRANCH)
            .await;
        assert_eq!(swept.expect("swept").removed, [8, 9, 10].map(AttemptId));
        let registered = fs::read_dir(fixture.repo.join(".git/worktrees")).expect("it");
        assert_eq!(registered.count(), 1, "only the living one is left");
    });
}
