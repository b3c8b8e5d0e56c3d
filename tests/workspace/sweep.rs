//! Left-overs: found, preserved where they hold work, and removed. Nothing else is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crewlog::model::ids::{AttemptId, CommitId};
use crewlog::workspace::{Error, Ignored, Rebase, Repository, Swept};

use crate::fixture::{BRANCH, Fixture, commit, read, run, write};

async fn sweep(fixture: &Fixture, repository: &Repository, live: &[u64], before: u64) -> Swept {
    let live: Vec<AttemptId> = live.iter().copied().map(AttemptId).collect();
    let swept = repository.sweep(&fixture.worktrees, &live, AttemptId(before), BRANCH);
    swept.await.expect("swept")
}

fn names(fixture: &Fixture) -> Vec<String> {
    let entries = fs::read_dir(&fixture.worktrees)
        .expect("readable")
        .flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn only_what_is_over_and_ours_is_swept() {
    run(async {
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        assert!(
            sweep(&fixture, &repository, &[], 9)
                .await
                .removed
                .is_empty()
        );
        for attempt in [1, 2, 3, 40] {
            fixture.worktree(&repository, attempt).await;
        }
        write(&fixture.worktrees, "a5/precious", "not ours");
        write(&fixture.worktrees, "a6/private/precious", "not ours");
        write(&fixture.worktrees, "notes", "not ours");
        write(&fixture.worktrees, "ax/private/notes.json", "not ours");
        write(&fixture.worktrees, "job-a7/precious", "not ours");
        write(&fixture.worktrees, ".crewlog-trash-1/x", "half deleted");
        write(&fixture.worktrees, ".crewlog-new-a8-1/x", "half made");
        write(&fixture.worktrees, ".crewlog-new-a41-1/x", "being made");
        let gone = fixture.top().join("on a stick").display().to_string();
        fixture.git(&["worktree", "add", "-q", "--detach", &gone]);
        fs::remove_dir_all(&gone).expect("unplugged");

        let swept = sweep(&fixture, &repository, &[2], 40).await;
        assert_eq!(swept.removed, [AttemptId(1), AttemptId(3)]);
        assert!(
            swept.preserved.is_empty() && swept.failed.is_empty(),
            "{swept:?}"
        );
        let left = [
            ".crewlog-new-a41-1",
            "a2",
            "a40",
            "a5",
            "a6",
            "ax",
            "job-a7",
            "notes",
        ];
        assert_eq!(names(&fixture), left);
        let listed = fixture.git(&["worktree", "list", "--porcelain"]);
        assert!(
            listed.contains("on a stick"),
            "the user's own entry stays: {listed}"
        );
        let head = fixture.id("HEAD");
        for (attempt, precious) in [(5, "a5/precious"), (6, "a6/private/precious")] {
            let refused = repository
                .create_worktree(&fixture.worktrees, AttemptId(attempt), &head)
                .await;
            assert!(matches!(refused, Err(Error::NotOurs { .. })), "{refused:?}");
            assert_eq!(read(&fixture.worktrees, precious), "not ours");
        }
    });
}

#[test]
fn work_that_nobody_reported_is_preserved() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        // 1: only uncommitted. 2: committed. 3: committed and more. 4: committed, directory gone.
        // 5: merged. 6: merged and more. 7: a test. 8: nothing. 9: agent's own commit, and a lock.
        let mut committed = Vec::new();
        for attempt in 1..=9 {
            let mut worktree = match attempt {
                7 => {
                    let made =
                        repository.create_test_worktree(&fixture.worktrees, AttemptId(7), &head);
                    made.await.expect("a worktree")
                }
                _ => fixture.worktree(&repository, attempt).await,
            };
            let dir = worktree.path().to_owned();
            if attempt != 8 {
                write(&dir, &format!("work{attempt}"), "w");
            }
            if (2..=6).contains(&attempt) {
                committed.push((attempt, commit(&mut worktree).await.commit));
            }
            match attempt {
                3 | 6 => write(&dir, "more", "m"),
                4 => fs::remove_dir_all(&dir).expect("deleted"),
                9 => {
                    fixture.git_in(&dir, &["add", "-A"]);
                    fixture.git_in(&dir, &["commit", "-q", "-m", "agent's"]);
                    write(&fixture.worktrees, "a9/private/stage.lock", "");
                }
                _ => {}
            }
            if let (5 | 6, Some((_, commit))) = (attempt, committed.last()) {
                let onto = worktree.base().clone();
                repository
                    .advance(BRANCH, &onto, commit, "x")
                    .await
                    .expect("moved");
            }
        }
        let swept = sweep(&fixture, &repository, &[], 10).await;
        assert!(swept.failed.is_empty(), "{swept:?}");
        assert_eq!(swept.removed.len(), 9);
        let preserved: Vec<u64> = swept
            .preserved
            .iter()
            .map(|(attempt, _)| attempt.0)
            .collect();
        assert_eq!(preserved, [1, 2, 3, 4, 6, 9]);
        for (attempt, files) in [
            (1, "work1\n"),
            (2, "work2\n"),
            (3, "more\nwork3\n"),
            (4, "work4\n"),
            (6, "more\n"),
            (9, "work9\n"),
        ] {
            let name = format!("refs/crewlog/preserved/{attempt}");
            let changed = fixture.git(&["diff-tree", "-r", "--name-only", "--no-commit-id", &name]);
            assert_eq!(changed, files, "{attempt}");
        }
        assert!(fixture.has_ref("refs/crewlog/preserved/9-agent"));
        assert!(names(&fixture).is_empty());
        assert_eq!(fixture.git(&["worktree", "list"]).lines().count(), 1);
    });
}

#[test]
fn an_interrupted_creation_or_removal_is_finished() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        // Killed before git had begun, in its middle, after the directory was moved aside.
        write(&fixture.worktrees, "a1/private/notes.json", "{\"test\":fal");
        fixture.worktree(&repository, 2).await;
        let notes =
            format!("{{\"test\":false,\"base\":\"{head}\",\"commit\":null,\"ready\":false}}");
        write(&fixture.worktrees, "a2/private/notes.json", &notes);
        fs::remove_file(fixture.worktrees.join("a2/tree/README")).expect("half checked out");
        let third = fixture.worktree(&repository, 3).await;
        let trash = fixture.worktrees.join(".crewlog-trash-x");
        let root = third.path().parent().expect("its directory");
        fs::rename(root, &trash).expect("moved aside");
        // An agent's read-only directory.
        let mode = fs::Permissions::from_mode(0o500);
        fs::set_permissions(trash.join("tree/src"), mode).expect("set");

        let swept = sweep(&fixture, &repository, &[], 10).await;
        assert!(
            swept.failed.is_empty() && swept.preserved.is_empty(),
            "{swept:?}"
        );
        assert!(names(&fixture).is_empty(), "{:?}", names(&fixture));
        // The same numbers can be used again, also where git still has a stale entry.
        for attempt in [1, 2, 3] {
            let worktree = fixture.worktree(&repository, attempt).await;
            assert_eq!(read(worktree.path(), "src/b.txt"), "b\n");
        }
    });
}

#[test]
fn a_number_that_is_used_again_loses_no_work() {
    run(async {
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        for round in ["first", "second"] {
            let worktree = fixture.worktree(&repository, 1).await;
            assert_eq!(
                fixture.git_in(worktree.path(), &["status", "--porcelain"]),
                ""
            );
            write(worktree.path(), "work", round);
        }
        fixture.worktree(&repository, 1).await;
        for (name, text) in [("1", "first"), ("1-2", "second")] {
            let file = format!("refs/crewlog/preserved/{name}:work");
            assert_eq!(fixture.git(&["show", &file]), text);
        }
    });
}

#[test]
fn many_create_commit_and_remove_while_others_sweep() {
    run(async {
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        let workers: Vec<_> = (100..116)
            .map(|attempt| {
                let (repository, dir) = (repository.clone(), fixture.worktrees.clone());
                tokio::spawn(async move {
                    let head = repository.head(BRANCH).await?;
                    let made = repository.create_worktree(&dir, AttemptId(attempt), &head);
                    let mut worktree = made.await?;
                    write(worktree.path(), &format!("{attempt}"), "x");
                    let message = crate::fixture::message(attempt);
                    let done = worktree.commit(&message, None).await?;
                    assert!(done.is_some());
                    worktree.remove().await
                })
            })
            .collect();
        for _ in 0..3 {
            let swept = sweep(&fixture, &repository, &[], 100).await;
            assert!(
                swept.removed.is_empty() && swept.failed.is_empty(),
                "{swept:?}"
            );
        }
        for worker in workers {
            worker.await.expect("no panic").expect("no error");
        }
        assert!(names(&fixture).is_empty());
        assert_eq!(fixture.git(&["worktree", "list"]).lines().count(), 1);
    });
}

#[test]
fn a_commit_that_waits_for_its_merge_outlives_a_garbage_collection() {
    run(async {
        let refs: &[&[&str]] = match Fixture::new().try_git_in(Path::new("/"), &["init", "-h"]) {
            help if String::from_utf8_lossy(&help.stdout).contains("--ref-format") => {
                &[&[], &["--ref-format=reftable"]]
            }
            _ => &[&[]],
        };
        for refs in refs {
            let fixture = Fixture::empty(&[&["init", "-q", "-b", "main"], *refs].concat());
            fixture.write("README", "one\n");
            fixture.git(&["add", "-A"]);
            fixture.git(&["commit", "-q", "-m", "start"]);
            let (repository, head) = fixture.begun().await;
            let mut kept = Vec::new();
            for attempt in 1..=3 {
                let mut worktree = fixture.worktree(&repository, attempt).await;
                write(worktree.path(), "new", &format!("{attempt}"));
                commit(&mut worktree).await;
                let rebased = worktree
                    .rebase(&head, Ignored::Keep)
                    .await
                    .expect("rebased");
                let Rebase::Clean(committed) = rebased else {
                    panic!("{rebased:?}");
                };
                kept.push((worktree, committed.commit));
            }
            fixture.git(&["gc", "-q", "--prune=now"]);
            let there = |commit: &CommitId| {
                let read = ["cat-file", "-e", commit.as_str()];
                fixture.try_git_in(&fixture.repo, &read).status.success()
            };
            assert!(kept.iter().all(|(_, commit)| there(commit)));
            let (merged, commit) = kept.remove(0);
            repository
                .advance(BRANCH, &head, &commit, "x")
                .await
                .expect("merged");
            merged.remove().await.expect("removed");
            // The second one's worker has been killed; the third one is still at work.
            let (killed, lost) = kept.remove(0);
            drop(killed);
            fs::remove_dir_all(fixture.worktrees.join("a2")).expect("deleted");
            sweep(&fixture, &repository, &[3], 10).await;
            let open = fixture.git(&["for-each-ref", "--format=%(refname)", "refs/crewlog/open"]);
            let open: Vec<&str> = open.lines().collect();
            assert!(
                matches!(open.as_slice(), [one] if one.ends_with("/3")),
                "{open:?}"
            );
            sweep(&fixture, &repository, &[], 10).await;
            let open = fixture.git(&["for-each-ref", "refs/crewlog/open"]);
            assert_eq!(open, "");
            fixture.git(&["gc", "-q", "--prune=now"]);
            assert!(there(&commit) && !there(&lost), "nothing else keeps it");
        }
    });
}
