//! Finding a repository, in every state that users have theirs in.

use std::fs;
use std::path::Path;

use crewlog::workspace::{Error, Git, Repository, Version};

use crate::fixture::{BRANCH, Fixture, commit, run, write, write_script};

async fn at(fixture: &Fixture, dir: &Path) -> Result<Repository, Error> {
    Repository::discover_with(dir, Git::at(&fixture.git)).await
}

#[test]
fn git_that_is_missing_or_too_old_is_named() {
    run(async {
        let fixture = Fixture::new();
        for missing in ["/nonexistent/git", "no-such-git-anywhere"] {
            let found = Repository::discover_with(&fixture.repo, Git::at(missing)).await;
            let error = found.expect_err("refused");
            assert!(matches!(error, Error::GitMissing { .. }), "{error:?}");
            assert!(error.to_string().contains("Install git 2.30"), "{error}");
        }
        let old = fixture.top().join("old-git");
        for said in ["git version 2.29.3", "git version 1.99", "hg 6", ""] {
            write_script(&old, &format!("#!/bin/sh\necho '{said}'\n"));
            let found = Repository::discover_with(&fixture.repo, Git::at(&old)).await;
            let error = found.expect_err("refused");
            assert!(
                matches!(error, Error::GitTooOld { .. }),
                "{said:?}: {error:?}"
            );
        }
    });
}

#[test]
fn versions_are_read_whatever_a_vendor_appends() {
    for (text, expected) in [
        ("git version 2.47.3", Some(Version(2, 47))),
        ("git version 2.39.5 (Apple Git-154)", Some(Version(2, 39))),
        ("git version 2.45.rc1", Some(Version(2, 45))),
        ("git version 3.0", Some(Version(3, 0))),
        ("git version two", None),
        ("git version 99999999999.1", None),
        ("", None),
    ] {
        assert_eq!(Version::parse(text), expected, "{text}");
    }
    assert!(Version(2, 100) > Version(2, 40) && Version(3, 0) > Version(2, 100));
}

#[test]
fn what_is_no_repository_is_refused_with_advice() {
    run(async {
        let fixture = Fixture::empty(&["init", "-q"]);
        let unborn = at(&fixture, &fixture.repo).await.expect_err("refused");
        assert!(matches!(unborn, Error::NoCommit { .. }), "{unborn:?}");
        let outside = fixture.top().join("home");
        let none = at(&fixture, &outside).await.expect_err("refused");
        assert!(matches!(none, Error::NotARepository { .. }), "{none:?}");
        assert!(none.to_string().contains("git init"), "{none}");
        let nowhere = fixture.top().join("nowhere");
        let none = at(&fixture, &nowhere).await.expect_err("refused");
        assert!(matches!(none, Error::NoDirectory { .. }), "{none:?}");
    });
}

#[test]
fn somebody_elses_repository_is_refused_with_gits_reason() {
    run(async {
        let fixture = Fixture::new();
        // Only root may give a directory away; others cannot set this up.
        if std::os::unix::fs::chown(&fixture.repo, Some(12_345), None).is_err() {
            return;
        }
        std::os::unix::fs::chown(fixture.repo.join(".git"), Some(12_345), None).expect("given");
        let refused = at(&fixture, &fixture.repo).await.expect_err("refused");
        assert!(
            matches!(refused, Error::DubiousOwnership { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("safe.directory"), "{refused}");
    });
}

/// One attempt in a repository, from the worktree to the merge.
async fn works(fixture: &Fixture, repository: &Repository) {
    let head = repository.ensure_branch(BRANCH).await.expect("the branch");
    let mut worktree = fixture.worktree(repository, 1).await;
    write(worktree.path(), "work", "1");
    let done = commit(&mut worktree).await;
    let moved = repository.advance(BRANCH, &head, &done.commit, "a1").await;
    moved.expect("moved");
    let contained = repository.contains(BRANCH, &done.commit).await;
    assert!(contained.expect("an answer"));
    worktree.remove().await.expect("removed");
}

#[test]
fn bare_linked_shallow_and_nested_projects_work() {
    run(async {
        let fixture = Fixture::new();
        fixture.git(&["commit", "-q", "--allow-empty", "-m", "second"]);
        let top = fixture.top();
        let path = |name: &str| top.join(name).display().to_string();
        fixture.git(&["clone", "-q", "--bare", ".", &path("bare")]);
        let url = format!("file://{}", fixture.repo.display());
        fixture.git(&["clone", "-q", "--depth", "1", &url, &path("shallow")]);
        fixture.git(&["worktree", "add", "-q", &path("linked"), "-b", "linked"]);
        for (name, common, prefix) in [
            ("bare", "bare", ""),
            ("shallow", "shallow/.git", ""),
            ("repo/src", "repo/.git", "src/"),
            ("linked/src", "repo/.git", "src/"),
        ] {
            let repository = at(&fixture, &top.join(name)).await.expect(name);
            assert_eq!(repository.common_dir(), top.join(common), "{name}");
            assert_eq!(repository.prefix(), Path::new(prefix), "{name}");
            works(&fixture, &repository).await;
            if common == "repo/.git" {
                fixture.git(&["branch", "-D", BRANCH]);
            }
        }
    });
}

#[test]
fn sha256_and_reftable_repositories_work() {
    run(async {
        for init in [
            &["init", "-q", "--object-format=sha256"][..],
            &["init", "-q", "--ref-format=reftable"][..],
        ] {
            let probe = Fixture::new();
            let mut args = init.to_vec();
            let dir = probe.top().join("probe").display().to_string();
            args.push(&dir);
            // The reference storage is younger than the oldest git that works.
            if !probe.try_git_in(&probe.repo, &args).status.success() {
                continue;
            }
            let fixture = Fixture::empty(init);
            fixture.git(&["commit", "-q", "--allow-empty", "-m", "start"]);
            works(&fixture, &fixture.repository().await).await;
        }
    });
}

#[test]
fn directories_that_cannot_be_written_are_named() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let attempt = crewlog::model::ids::AttemptId(1);
        let file = fixture.top().join("file");
        fs::write(&file, "in the way").expect("written");
        let below = file.join("worktrees");
        let refused = repository.create_worktree(&below, attempt, &head).await;
        let error = refused.expect_err("refused").to_string();
        assert!(error.contains("cannot create a worktree"), "{error}");
        assert!(error.contains("file/worktrees"), "{error}");

        // What nobody can write, not even root.
        let sealed = Path::new("/proc/self/fdinfo");
        let refused = repository.create_worktree(sealed, attempt, &head).await;
        let error = refused.expect_err("refused").to_string();
        assert!(error.contains("fdinfo/a1"), "{error}");
        let unknown = "12".repeat(20).parse().expect("an id");
        let refused = repository
            .create_worktree(&fixture.worktrees, attempt, &unknown)
            .await;
        assert!(matches!(refused, Err(Error::Failed { .. })), "{refused:?}");
        let left = fs::read_dir(&fixture.worktrees).expect("readable").count();
        assert_eq!(left, 0, "a failed creation leaves nothing");
    });
}
