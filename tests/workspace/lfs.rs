//! git-lfs: objects that the main repository has are not asked for again, and what is committed is
//! in the main repository.

use std::fs;
use std::path::Path;

use crewlog::workspace::{Advance, Ignored, Rebase};

use crate::fixture::{BRANCH, Fixture, commit, run};

/// All files below a directory.
fn files(top: &Path) -> Vec<String> {
    let (mut dirs, mut found) = (vec![top.to_owned()], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.path().is_dir() {
                true => dirs.push(entry.path()),
                false => found.push(entry.file_name().to_string_lossy().into_owned()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn objects_of_git_lfs_are_shared_with_the_main_repository() {
    run(async {
        let fixture = Fixture::new();
        let lfs = fixture.try_git_in(&fixture.repo, &["lfs", "version"]);
        assert!(
            lfs.status.success(),
            "git-lfs is needed for this test: install the system's package git-lfs"
        );
        // In the repository's own configuration, and with a server that nobody can reach.
        fixture.git(&["lfs", "install", "--local", "--skip-repo"]);
        fixture.git(&["config", "lfs.url", "http://127.0.0.1:9/nobody"]);
        fixture.git(&["lfs", "track", "*.bin"]);
        fs::write(fixture.repo.join("old.bin"), vec![1; 100_000]).expect("written");
        fixture.git(&["add", "-A"]);
        fixture.git(&["commit", "-q", "-m", "large"]);
        let store = fixture.repo.join(".git/lfs/objects");
        assert_eq!(files(&store).len(), 1);

        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 1).await;
        let dir = worktree.path().to_owned();
        let old = fs::read(dir.join("old.bin")).expect("it is there");
        assert_eq!(old.len(), 100_000, "the content, not a pointer");
        // The agent's own git finds it, too.
        fs::remove_file(dir.join("old.bin")).expect("deleted");
        fixture.git_in(&dir, &["checkout", "-q", "--", "old.bin"]);
        assert_eq!(fs::read(dir.join("old.bin")).expect("it").len(), 100_000);
        assert_eq!(fixture.git_in(&dir, &["status", "--porcelain"]), "");

        fs::write(dir.join("new.bin"), vec![2; 50_000]).expect("written");
        fixture.git_in(&dir, &["add", "-A"]);
        fixture.git_in(&dir, &["commit", "-q", "-m", "agent's"]);
        let done = commit(&mut worktree).await;
        let rebased = worktree.rebase(&head, Ignored::RemoveBut(&[])).await;
        assert!(matches!(rebased, Ok(Rebase::Clean(_))), "{rebased:?}");
        assert_eq!(fs::read(dir.join("new.bin")).expect("it").len(), 50_000);
        let moved = repository.advance(BRANCH, &head, &done.commit, "x").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        worktree.remove().await.expect("removed");
        let pointer = fixture.git(&["show", &format!("{BRANCH}:new.bin")]);
        assert!(pointer.starts_with("version https://git-lfs"), "{pointer}");
        assert_eq!(
            files(&store).len(),
            2,
            "the new one is in the main repository"
        );
        fixture.git(&["checkout", "-q", BRANCH]);
        assert_eq!(
            fs::read(fixture.repo.join("new.bin")).expect("it").len(),
            50_000
        );
    });
}
