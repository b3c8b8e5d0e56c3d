//! Names of files that look like something else: an agent chooses them.

use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use crewlog::workspace::{Advance, Error, Ignored, Rebase};

use crate::fixture::{BRANCH, Fixture, commit, message, run, write};

/// A path that is laid out like git's own `:MODE MODE ID ID STATUS`.
const LIKE_AN_ENTRY: &str = ":1 2 3 aa";

#[test]
fn a_path_cannot_make_us_open_a_file_elsewhere() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let pipe = fixture.top().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        let mut worktree = fixture.worktree(&repository, 1).await;
        // Whoever takes this for an entry syncs the pipe as an object, and waits for ever.
        let path = format!("{LIKE_AN_ENTRY}{} M", pipe.display());
        write(worktree.path(), &path, "x");
        let done = commit(&mut worktree).await;
        let moving = repository.advance(BRANCH, &head, &done.commit, "pass");
        let moved = tokio::time::timeout(Duration::from_secs(20), moving).await;
        // Whoever waits for it is let go before the test says so.
        drop(File::options().read(true).write(true).open(&pipe));
        let moved = moved.expect("the pipe was opened").expect("moved");
        assert_eq!(moved, Advance::Moved);
        let changes = repository.changes(&head, &done.commit).await;
        assert_eq!(changes.expect("changes").touched, [path]);
    });
}

#[test]
fn a_repository_inside_is_found_whatever_it_is_called() {
    run(async {
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 1).await;
        let name = format!("{LIKE_AN_ENTRY} M");
        let inside = worktree.path().join(&name);
        write(&inside, "code.txt", "precious");
        fixture.git_in(&inside, &["init", "-q"]);
        fixture.git_in(&inside, &["add", "-A"]);
        fixture.git_in(&inside, &["commit", "-q", "-m", "inner"]);
        let refused = worktree.commit(&message(1), None).await;
        let Err(Error::NestedRepository { paths }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(paths, [name]);
    });
}

#[test]
fn a_conflict_names_its_files_as_they_are() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let names = [" ", " a\n", "b\tc"];
        let mut first = fixture.worktree(&repository, 1).await;
        let mut second = fixture.worktree(&repository, 2).await;
        for name in names {
            fs::write(first.path().join(name), "1\n").expect("written");
            fs::write(second.path().join(name), "2\n").expect("written");
        }
        let done = commit(&mut first).await.commit;
        let moved = repository.advance(BRANCH, &head, &done, "pass").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        commit(&mut second).await;
        let rebased = second
            .rebase(&done, Ignored::Keep)
            .await
            .expect("an answer");
        let Rebase::Conflict { files, .. } = rebased else {
            panic!("{rebased:?}");
        };
        assert_eq!(files, names);
    });
}
