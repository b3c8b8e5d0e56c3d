//! Bringing work onto a head that has moved, by both ways that versions of git allow.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crewlog::model::ids::AttemptId;
use crewlog::workspace::{Advance, Ignored, Rebase, Repository, Version};

use crate::fixture::{BRANCH, Fixture, commit, read, run, write};

type Change = fn(&Path);

struct Case {
    name: &'static str,
    theirs: Change,
    ours: Change,
    /// The files of the result that are not as they were, with what they hold; or the conflicts.
    expected: Result<&'static [(&'static str, &'static str)], &'static [&'static str]>,
}

fn delete(dir: &Path, path: &str) {
    fs::remove_file(dir.join(path)).expect("deleted");
}

fn rename(dir: &Path, from: &str, to: &str) {
    fs::rename(dir.join(from), dir.join(to)).expect("renamed");
}

const CASES: [Case; 10] = [
    Case {
        name: "different files",
        theirs: |dir| write(dir, "theirs", "t"),
        ours: |dir| write(dir, "ours", "o"),
        expected: Ok(&[("theirs", "t"), ("ours", "o")]),
    },
    Case {
        name: "different lines of a file",
        theirs: |dir| write(dir, "README", "1\ntwo\nthree\nfour\nfive\nsix\nseven\n"),
        ours: |dir| write(dir, "README", "one\ntwo\nthree\nfour\nfive\nsix\n7\n"),
        expected: Ok(&[("README", "1\ntwo\nthree\nfour\nfive\nsix\n7\n")]),
    },
    Case {
        name: "the same line",
        theirs: |dir| write(dir, "src/b.txt", "theirs\n"),
        ours: |dir| write(dir, "src/b.txt", "ours\n"),
        expected: Err(&["src/b.txt"]),
    },
    Case {
        name: "the same new file, and a path with a newline",
        theirs: |dir| write(dir, "new\nfile", "theirs\n"),
        ours: |dir| write(dir, "new\nfile", "ours\n"),
        expected: Err(&["new\nfile"]),
    },
    Case {
        name: "deleted there, changed here",
        theirs: |dir| delete(dir, "README"),
        ours: |dir| write(dir, "README", "one\ntwo\n"),
        expected: Err(&["README"]),
    },
    Case {
        name: "renamed there, changed here",
        theirs: |dir| rename(dir, "README", "READ ME"),
        ours: |dir| write(dir, "README", "one\ntwo\nthree\nfour\nfive\nsix\n7\n"),
        expected: Ok(&[
            ("READ ME", "one\ntwo\nthree\nfour\nfive\nsix\n7\n"),
            ("README", "<gone>"),
        ]),
    },
    Case {
        name: "mode here, text there",
        theirs: |dir| write(dir, "src/b.txt", "theirs\n"),
        ours: |dir| {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(dir.join("src/b.txt"), mode).expect("set");
        },
        expected: Ok(&[("src/b.txt", "theirs\n")]),
    },
    Case {
        name: "a link in place of a file, and a directory in place of another",
        theirs: |dir| write(dir, "theirs", "t"),
        ours: |dir| {
            delete(dir, "src/b.txt");
            symlink("a.txt", dir.join("src/b.txt")).expect("linked");
            delete(dir, "README");
            write(dir, "README/inside", "i");
        },
        expected: Ok(&[
            ("src/b.txt", "alpha\nbeta\ngamma\n"),
            ("README/inside", "i"),
            ("theirs", "t"),
        ]),
    },
    Case {
        name: "already there",
        theirs: |dir| write(dir, "same", "s"),
        ours: |dir| write(dir, "same", "s"),
        expected: Ok(&[("same", "s")]),
    },
    Case {
        name: "ignored here, tracked there",
        theirs: |dir| {
            write(dir, ".gitignore", "*.nothing\n");
            write(dir, "build/out", "tracked");
        },
        ours: |dir| {
            write(dir, "build/out", "product");
            write(dir, "ours", "o");
        },
        expected: Ok(&[("build/out", "tracked"), ("ours", "o")]),
    },
];

async fn play(case: &Case, version: Option<Version>) {
    let name = case.name;
    let fixture = Fixture::new();
    let (mut repository, head) = fixture.begun().await;
    if let Some(version) = version {
        repository = repository.pretend_version(version);
    }
    let mut ours = fixture.worktree(&repository, 2).await;
    let onto = theirs(&fixture, &repository, case.theirs).await;
    let dir = ours.path().to_owned();
    (case.ours)(&dir);
    write(&dir, "product.o", "ignored");
    let before = commit(&mut ours).await;
    write(&dir, "left by a check", "untracked");
    let rebased = ours.rebase(&onto, Ignored::Keep).await.expect(name);
    match (&case.expected, rebased) {
        (Ok(files), Rebase::Clean(done)) => {
            for (path, expected) in *files {
                let held = read(&dir, path);
                let gone = *expected == "<gone>" && held.starts_with('<');
                assert!(held == *expected || gone, "{name}: {path} holds {held:?}");
            }
            assert_eq!(fixture.id(&format!("{}^", done.commit)), onto, "{name}");
            assert_eq!(
                fixture.id(&format!("{}^{{tree}}", done.commit)),
                done.tree,
                "{name}"
            );
            assert_eq!(ours.base(), &onto);
            let subject = fixture.git(&["show", "-s", "--format=%B", done.commit.as_str()]);
            assert!(subject.contains("Crewlog-Attempt: 2"), "{name}: {subject}");
            assert!(!dir.join("left by a check").exists(), "{name}");
            // An attempt that removes an ignore rule makes its own products untracked.
            if !name.starts_with("ignored") {
                assert_eq!(read(&dir, "product.o"), "ignored", "{name}");
            }
            assert_eq!(
                fixture.git_in(&dir, &["status", "--porcelain"]),
                "",
                "{name}"
            );
            let moved = repository.advance(BRANCH, &onto, &done.commit, name).await;
            assert_eq!(moved.expect(name), Advance::Moved);
        }
        (Err(conflicts), Rebase::Conflict { files, detail }) => {
            assert_eq!(files, *conflicts, "{name}");
            assert!(detail.contains("CONFLICT"), "{name}: {detail}");
            assert_eq!(
                (ours.base(), ours.commit_id()),
                (&head, Some(&before.commit))
            );
            let diff = fixture.git_in(&dir, &["diff", "--stat", before.commit.as_str()]);
            assert_eq!(diff, "", "{name}: the working tree is as it was");
        }
        (expected, other) => panic!("{name}: {other:?} instead of {expected:?}"),
    }
}

/// Merges somebody else's change, and tells the new head.
async fn theirs(
    fixture: &Fixture,
    repository: &Repository,
    change: Change,
) -> crewlog::model::ids::CommitId {
    let mut worktree = fixture.worktree(repository, 1).await;
    change(worktree.path());
    let head = worktree.base().clone();
    let done = commit(&mut worktree).await;
    let moved = repository
        .advance(BRANCH, &head, &done.commit, "theirs")
        .await;
    assert_eq!(moved.expect("moved"), Advance::Moved);
    worktree.remove().await.expect("removed");
    done.commit
}

#[test]
fn work_is_rebased_or_its_conflicts_are_named() {
    run(async {
        for case in &CASES {
            play(case, None).await;
        }
    });
}

#[test]
fn an_older_git_gives_the_same_results() {
    run(async {
        for case in &CASES {
            play(case, Some(Version::OLDEST)).await;
        }
    });
}

#[test]
fn only_the_attempts_own_change_is_moved() {
    // Where the user has rewritten the branch, a merge would bring back what was dropped.
    run(async {
        let fixture = Fixture::new();
        let (repository, start) = fixture.begun().await;
        for version in [None, Some(Version::OLDEST)] {
            let repository = match version {
                Some(version) => repository.pretend_version(version),
                None => repository.clone(),
            };
            let dropped = theirs(&fixture, &repository, |dir| write(dir, "dropped", "d")).await;
            let mut ours = fixture.worktree(&repository, 2).await;
            assert_eq!(*ours.base(), dropped);
            write(ours.path(), "ours", "o");
            commit(&mut ours).await;
            fixture.git(&["update-ref", "refs/heads/crewlog/main", start.as_str()]);
            let rebased = ours.rebase(&start, Ignored::Keep).await.expect("rebased");
            let Rebase::Clean(done) = rebased else {
                panic!("{rebased:?}");
            };
            let changes = repository.changes(&start, &done.commit).await;
            assert_eq!(changes.expect("changes").touched, ["ours"]);
            assert!(!ours.path().join("dropped").exists());
            ours.remove().await.expect("removed");
        }
    });
}

#[test]
fn ignored_files_stay_or_go_as_asked_and_checks_leave_no_trace() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 1).await;
        let dir = worktree.path().to_owned();
        write(&dir, "work", "1");
        write(&dir, "build/product", "p");
        let done = commit(&mut worktree).await;
        for (ignored, stays) in [(Ignored::Keep, true), (Ignored::RemoveBut(&[]), false)] {
            // A check that changes a tracked file, of the same length, and leaves another.
            write(&dir, "work", "2");
            write(&dir, "report", "r");
            let again = worktree.rebase(&head, ignored).await.expect("in order");
            assert_eq!(again, Rebase::Clean(done.clone()));
            assert_eq!(read(&dir, "work"), "1");
            assert!(!dir.join("report").exists());
            assert_eq!(dir.join("build/product").exists(), stays);
        }
    });
}

#[test]
fn a_worktree_without_work_just_moves() {
    run(async {
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        let head = repository.head(BRANCH).await.expect("the head");
        let made = repository.create_test_worktree(&fixture.worktrees, AttemptId(9), &head);
        let mut worktree = made.await.expect("a worktree");
        let onto = theirs(&fixture, &repository, |dir| write(dir, "theirs", "t")).await;
        let moved = worktree.rebase(&onto, Ignored::Keep).await.expect("moved");
        assert!(matches!(moved, Rebase::Clean(done) if done.commit == onto));
        assert_eq!(read(worktree.path(), "theirs"), "t");
        assert_eq!(worktree.commit_id(), None);
    });
}

#[test]
fn a_tree_without_ignored_files_is_as_a_fresh_one() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        // The main repository has the submodule's commits, so that work in it can be kept.
        fixture.git(&["clone", "-q", "--bare", ".", ".git/modules/m"]);
        let mut worktree = fixture.worktree(&repository, 1).await;
        let dir = worktree.path().to_owned();
        let module = format!("160000,{head},module");
        write(
            &dir,
            ".gitmodules",
            "[submodule \"m\"]\npath = module\nurl = ./m\n",
        );
        let in_dir = |args: &[&str]| fixture.git_in(&dir, args);
        in_dir(&["update-index", "--add", "--cacheinfo", &module]);
        in_dir(&["init", "-q", "module"]);
        in_dir(&["-C", "module", "fetch", "-q", "..", head.as_str()]);
        in_dir(&["-C", "module", "checkout", "-q", head.as_str()]);
        write(&dir, "build/product", "p");
        write(&dir, "build/kept/product", "p");
        let done = commit(&mut worktree).await;
        write(&dir, "module/answer", "faked");
        write(&dir, "kept/untracked", "not ignored, so it goes");
        let kept = ["kept/".to_owned()];
        let again = worktree.rebase(&head, Ignored::RemoveBut(&kept)).await;
        assert_eq!(again.expect("in order"), Rebase::Clean(done));
        assert_eq!(read(&dir, "build/kept/product"), "p");
        assert!(!dir.join("build/product").exists());
        assert!(!dir.join("kept").exists());
        let inside = std::fs::read_dir(dir.join("module")).expect("the submodule's directory");
        assert_eq!(inside.count(), 0, "a submodule is not checked out");
    });
}
