//! One attempt from its worktree to the merge, and what ends up in its commit.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use crewlog::model::ids::AttemptId;
use crewlog::workspace::{Advance, Author, Ignored, Rebase};

use crate::fixture::{BRANCH, Fixture, commit, message, read, run, write};

#[test]
fn the_users_tree_index_and_head_stay_as_they_are() {
    run(async {
        let fixture = Fixture::new();
        // A user in the middle of something: staged, changed, untracked and deleted files.
        fixture.write("src/a.txt", "alpha\nstaged\n");
        fixture.git(&["add", "src/a.txt"]);
        fixture.write("src/a.txt", "alpha\nstaged\nand changed\n");
        fixture.write("new file", "untracked");
        fs::remove_file(fixture.repo.join("src/b.txt")).expect("deleted");
        let before = fixture.users_state();

        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 12).await;
        assert_eq!(read(worktree.path(), "src/a.txt"), "alpha\nbeta\ngamma\n");
        write(worktree.path(), "src/c.txt", "c\n");
        let other = fixture.worktree(&repository, 13).await;
        commit(&mut worktree).await;
        let mut other = other;
        write(other.path(), "src/d.txt", "d\n");
        let first = commit(&mut other).await;
        let moved = repository
            .advance(BRANCH, &head, &first.commit, "a13")
            .await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        let rebased = worktree
            .rebase(&first.commit, Ignored::RemoveBut(&[]))
            .await;
        let Rebase::Clean(rebased) = rebased.expect("rebased") else {
            panic!("a conflict");
        };
        let moved = repository
            .advance(BRANCH, &first.commit, &rebased.commit, "a12")
            .await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        worktree.preserve("tried out").await.expect("preserved");
        worktree.remove().await.expect("removed");
        drop(other);
        let swept = repository
            .sweep(&fixture.worktrees, &[], AttemptId(99), BRANCH)
            .await;
        assert_eq!(swept.expect("swept").removed, [AttemptId(13)]);

        assert_eq!(fixture.users_state(), before);
        let log = fixture.git(&["log", "--format=%s", BRANCH]);
        assert_eq!(log, "Do it\nDo it\nstart\n");
        let branches = fixture.git(&["branch", "--format=%(refname:short)"]);
        assert_eq!(branches, format!("{BRANCH}\nmain\n"));
        assert_eq!(fixture.git(&["worktree", "list"]).lines().count(), 1);
        let left = fs::read_dir(&fixture.worktrees).expect("readable").count();
        assert_eq!(left, 0, "nothing is left of the worktrees");
    });
}

#[test]
fn everything_but_ignored_files_is_committed() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 7).await;
        let dir = worktree.path().to_owned();
        write(&dir, "with space.txt", "1");
        write(&dir, "with\nnewline\".txt", "2");
        fs::write(dir.join(OsStr::from_bytes(b"latin-\xe9.txt")), "3").expect("written");
        write(&dir, "-n", "an option?");
        write(&dir, ":(top)x", "a pathspec?");
        write(&dir, "junk.o", "ignored");
        write(&dir, "build/out", "ignored");
        fs::remove_file(dir.join("src/b.txt")).expect("deleted");
        symlink("/etc/passwd", dir.join("link")).expect("linked");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.join("src/a.txt"), executable).expect("executable");

        let done = commit(&mut worktree).await;
        let raw = fixture.git(&["ls-tree", "-r", "-z", done.commit.as_str()]);
        let entries = raw.trim_end_matches('\0').split('\0');
        let mut files: Vec<String> = entries
            .filter_map(|entry| entry.split_once('\t'))
            .map(|(about, path)| format!("{} {path}", about.split(' ').next().unwrap_or_default()))
            .collect();
        files.sort_unstable();
        assert_eq!(
            files,
            [
                "100644 -n",
                "100644 .gitignore",
                "100644 :(top)x",
                "100644 README",
                "100644 latin-\u{fffd}.txt",
                "100644 with\nnewline\".txt",
                "100644 with space.txt",
                "100755 src/a.txt",
                "120000 link",
            ]
        );
        assert_eq!(
            done.tree,
            repository.tree_of(&done.commit).await.expect("a tree")
        );
        let changes = repository
            .changes(&head, &done.commit)
            .await
            .expect("changes");
        assert_eq!((changes.total, changes.touched.len()), (8, 8));
        assert!(changes.touched.contains(&"with\nnewline\".txt".to_owned()));
        assert_eq!((changes.insertions, changes.deletions), (6, 1));
        assert_eq!(fixture.git_in(&dir, &["status", "--porcelain"]), "");
    });
}

#[test]
fn a_commit_says_who_and_for_what() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 123).await;
        write(worktree.path(), "x", "1");
        let text = message(123).body("Why.\n\nCrewlog-Attempt: 999");
        let author = Author {
            name: "Agent Smith".to_owned(),
            email: "smith@example.org".to_owned(),
        };
        let done = worktree.commit(&text, Some(&author)).await;
        let id = done.expect("a commit").expect("a difference").commit;
        let show = |format: &str| fixture.git(&["show", "-s", format, id.as_str()]);
        let trailers = "Crewlog-Feature: #5\nCrewlog-Attempt: 123\n\n";
        assert_eq!(show("--format=%(trailers)"), trailers);
        let people = show("--format=%an <%ae> %cn <%ce>");
        let expected = "Agent Smith <smith@example.org> Ada Lovelace <ada@example.org>\n";
        assert_eq!(people, expected);
        assert_eq!(show("--format=%P"), format!("{head}\n"));

        // Without an identity in the configuration it is Crewlog's, not a guess from the host.
        fs::write(fixture.top().join("home/.gitconfig"), "").expect("written");
        let repository = fixture.repository().await;
        let mut worktree = fixture.worktree(&repository, 124).await;
        write(worktree.path(), "y", "1");
        let id = commit(&mut worktree).await.commit;
        let people = fixture.git(&["show", "-s", "--format=%an <%ae> %cn <%ce>", id.as_str()]);
        let us = "Crewlog <crewlog@localhost>";
        assert_eq!(people, format!("{us} {us}\n"));
    });
}

#[test]
fn no_difference_is_no_commit_and_more_work_is_still_one_commit() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 3).await;
        let none = worktree.commit(&message(3), None).await;
        assert_eq!(none.expect("worked"), None);
        write(worktree.path(), "x", "1");
        commit(&mut worktree).await;
        write(worktree.path(), "y", "2");
        let second = commit(&mut worktree).await.commit;
        let parent = fixture.id(&format!("{second}^"));
        assert_eq!(parent, head);
        let files = repository.changes(&head, &second).await.expect("changes");
        assert_eq!(files.touched, ["x", "y"]);
        for file in ["x", "y"] {
            fs::remove_file(worktree.path().join(file)).expect("deleted");
        }
        let none = worktree.commit(&message(3), None).await;
        assert_eq!(none.expect("worked"), None);
        assert_eq!(worktree.commit_id(), None);
    });
}

#[test]
fn configuration_that_would_lose_or_refuse_work_is_overruled() {
    run(async {
        let fixture = Fixture::new();
        for (key, value) in [
            ("core.safecrlf", "true"),
            ("core.autocrlf", "input"),
            ("core.splitIndex", "true"),
            ("core.untrackedCache", "true"),
            ("commit.gpgSign", "true"),
            ("gpg.program", "false"),
            ("core.sparseCheckout", "true"),
            ("submodule.recurse", "true"),
            ("i18n.commitEncoding", "ISO-8859-1"),
            ("core.quotePath", "true"),
            ("color.ui", "always"),
            ("status.showUntrackedFiles", "no"),
        ] {
            fixture.git(&["config", key, value]);
        }
        fixture.write(".git/info/sparse-checkout", "/README\n");
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 3).await;
        assert_eq!(read(worktree.path(), "src/b.txt"), "b\n", "the whole tree");
        write(worktree.path(), "src/crlf.txt", "a\r\nb\r\n");
        let done = commit(&mut worktree).await;
        let changes = repository
            .changes(&head, &done.commit)
            .await
            .expect("changes");
        assert_eq!(changes.touched, ["src/crlf.txt"]);
    });
}

#[test]
fn the_number_of_git_processes_per_attempt_is_bounded() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let settings = repository.read_settings().await.expect("the settings");
        let repository = repository.with_settings(settings);
        fixture.calls();
        let mut worktree = fixture.worktree(&repository, 12).await;
        write(worktree.path(), "x", "1");
        let create = fixture.calls().len();
        let done = commit(&mut worktree).await;
        let committing = fixture.calls().len();
        let moved = repository.advance(BRANCH, &head, &done.commit, "a12").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        let advancing = fixture.calls().len();
        worktree.remove().await.expect("removed");
        let removing = fixture.calls().len();
        // The fixture itself asks for the head before it makes the worktree. Of the calls that
        // commit, one reads what was written (another git may have left halves of the same
        // objects), and one lists the submodules.
        assert_eq!([create, committing, advancing, removing], [3, 6, 2, 0]);
    });
}

/// A worker may be started by a git hook or alias, which leaves its directories in the environment.
#[test]
fn git_variables_of_the_environment_change_nothing() {
    let this = std::env::current_exe().expect("this test's program");
    let output = std::process::Command::new(this)
        .args(["--exact", "lifecycle::a_commit_says_who_and_for_what"])
        .env("GIT_DIR", "/nonexistent")
        .env("GIT_WORK_TREE", "/nonexistent")
        .env("GIT_INDEX_FILE", "/nonexistent/index")
        .env("GIT_OBJECT_DIRECTORY", "/nonexistent")
        .env("GIT_AUTHOR_NAME", "Nobody")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "user.name")
        .env("GIT_CONFIG_VALUE_0", "Nobody")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn of_a_worktree_that_was_taken_away_only_the_commit_is_kept() {
    run(async {
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        let mut bare = fixture.worktree(&repository, 7).await;
        let mut worked = fixture.worktree(&repository, 8).await;
        write(worked.path(), "done.txt", "done\n");
        commit(&mut worked).await;
        for worktree in [&bare, &worked] {
            fs::remove_dir_all(worktree.path()).expect("taken away");
        }
        assert_eq!(bare.preserve("gone").await.expect("nothing to keep"), None);
        let kept = worked.preserve("gone").await.expect("kept").expect("a ref");
        assert_eq!(
            fixture.git(&["show", &format!("{kept}:done.txt")]),
            "done\n"
        );
        bare.remove().await.expect("removed");
        worked.remove().await.expect("removed");
        let left = fs::read_dir(&fixture.worktrees).expect("readable").count();
        assert_eq!(left, 0, "nothing is left of the worktrees");
    });
}
