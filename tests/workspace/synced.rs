//! git is told to bring to the disk what it writes, whatever the user's configuration says.

use std::fs;
use std::path::Path;

use crewlog::model::ids::AttemptId;
use crewlog::workspace::{Git, Ignored, Repository, Version};

use crate::fixture::{BRANCH, Fixture, commit, run, write, write_script};

/// How many files each call has synced, from git's own account of it.
fn synced(trace: &Path) -> u64 {
    let text = fs::read_to_string(trace).unwrap_or_default();
    let _ = fs::remove_file(trace);
    let rows = text.lines().filter(|row| row.contains("hardware-flush"));
    rows.filter_map(|row| {
        let (_, count) = row.split_once("\"count\":")?;
        let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    })
    .sum()
}

#[test]
fn objects_and_refs_are_synced_by_git_itself() {
    run(async {
        let fixture = Fixture::new();
        fixture.git(&["config", "core.fsync", "none"]);
        fixture.git(&["config", "core.fsyncMethod", "writeout-only"]);
        let traced = fixture.top().join("traced-git");
        let trace = fixture.top().join("trace");
        let script = format!(
            "#!/bin/sh\nGIT_TRACE2_EVENT='{}' exec '{}' \"$@\"\n",
            trace.display(),
            fixture.git.display()
        );
        write_script(&traced, &script);
        let repository = Repository::discover_with(&fixture.repo, Git::at(&traced)).await;
        let repository = repository.expect("the repository");
        if repository.version() < Version(2, 43) {
            eprintln!("skipped: this git keeps no account of what it syncs");
            return;
        }
        let head = repository.ensure_branch(BRANCH).await.expect("the branch");
        assert!(synced(&trace) >= 1, "the branch");
        let made = repository.create_worktree(&fixture.worktrees, AttemptId(1), &head);
        let mut worktree = made.await.expect("a worktree");
        for name in ["one", "two", "three/four"] {
            write(worktree.path(), name, name);
        }
        synced(&trace);
        let done = commit(&mut worktree).await;
        // Three files, two trees, the commit.
        assert!(synced(&trace) >= 6, "what was committed");
        let rebased = worktree.rebase(&head, Ignored::Keep).await;
        rebased.expect("in order");
        synced(&trace);
        let moved = repository.advance(BRANCH, &head, &done.commit, "it").await;
        moved.expect("moved");
        assert!(synced(&trace) >= 1, "the branch has moved");
        worktree.remove().await.expect("removed");
    });
}

#[test]
fn an_older_git_is_told_in_its_own_words() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        fixture.calls();
        repository.tree_of(&head).await.expect("a tree");
        let older = repository.pretend_version(Version(2, 30));
        older.tree_of(&head).await.expect("a tree");
        let calls = fixture.calls();
        let said = |at: usize, words: &str| calls[at].contains(words);
        assert!(said(0, "-c core.fsync=committed "), "{calls:?}");
        assert!(!said(0, "fsyncObjectFiles"), "{calls:?}");
        assert!(said(1, "-c core.fsyncObjectFiles=true "), "{calls:?}");
        assert!(!said(1, "core.fsync="), "{calls:?}");
    });
}
