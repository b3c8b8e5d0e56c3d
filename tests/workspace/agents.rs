//! What agents do to a worktree, on purpose or not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crewlog::model::ids::AttemptId;
use crewlog::workspace::{Advance, Error, Ignored, Rebase};

use crate::fixture::{BRANCH, Fixture, commit, message, read, run, write, write_script};

#[test]
fn commits_of_the_agent_become_one_and_stay_reachable() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 12).await;
        let dir = worktree.path().to_owned();
        write(&dir, "one", "1");
        fixture.git_in(&dir, &["add", "-A"]);
        fixture.git_in(&dir, &["commit", "-q", "-m", "agent's first"]);
        write(&dir, "two", "2");
        fixture.git_in(
            &dir,
            &["commit", "-q", "--allow-empty", "-m", "agent's second"],
        );
        let agents = fixture.git_in(&dir, &["rev-parse", "HEAD"]);

        let done = commit(&mut worktree).await;
        assert_eq!(fixture.id(&format!("{}^", done.commit)), head);
        let changes = repository
            .changes(&head, &done.commit)
            .await
            .expect("changes");
        assert_eq!(changes.touched, ["one", "two"]);
        let kept = fixture.id("refs/crewlog/preserved/12-agent");
        assert_eq!(kept.as_str(), agents.trim());
        let shown = fixture.git_in(&dir, &["rev-parse", "HEAD"]);
        assert_eq!(shown.trim(), done.commit.as_str(), "HEAD is our commit now");
        assert_eq!(fixture.git_in(&dir, &["status", "--porcelain"]), "");
    });
}

/// Ways to spoil a worktree; each gets the worktree and the user's repository.
type Spoil = fn(&Fixture, &Path);

const SPOILS: [(&str, Spoil); 14] = [
    (".git deleted", |_, dir| {
        fs::remove_dir_all(dir.join(".git")).expect("deleted");
    }),
    (
        ".git is a file that names the user's repository",
        |fixture, dir| {
            fs::remove_dir_all(dir.join(".git")).expect("deleted");
            let link = format!("gitdir: {}/.git\n", fixture.repo.display());
            fs::write(dir.join(".git"), link).expect("written");
        },
    ),
    (".git is a link to the user's repository", |fixture, dir| {
        fs::remove_dir_all(dir.join(".git")).expect("deleted");
        symlink(fixture.repo.join(".git"), dir.join(".git")).expect("linked");
    }),
    (".git is another repository", |fixture, dir| {
        fs::remove_dir_all(dir.join(".git")).expect("deleted");
        fixture.git_in(dir, &["init", "-q"]);
        fixture.git_in(dir, &["add", "-A"]);
        fixture.git_in(dir, &["commit", "-q", "-m", "mine"]);
    }),
    ("HEAD on a branch", |fixture, dir| {
        fixture.git_in(dir, &["switch", "-q", "-c", "mine"]);
    }),
    ("HEAD is garbage", |_, dir| {
        fs::write(dir.join(".git/HEAD"), "\0\u{1}nonsense").expect("written");
    }),
    ("HEAD is a pipe", |_, dir| {
        let head = dir.join(".git/HEAD");
        fs::remove_file(&head).expect("deleted");
        let made = std::process::Command::new("mkfifo").arg(&head).status();
        assert!(made.expect("mkfifo").success());
    }),
    ("hooks and filters in its configuration", |fixture, dir| {
        let marker = fixture.top().join("executed");
        let run = format!("touch '{}'; cat", marker.display());
        let attributes = fixture.top().join("attributes");
        fs::write(&attributes, "* filter=evil\n").expect("written");
        for (key, value) in [
            ("filter.evil.clean", run.as_str()),
            ("filter.evil.smudge", &run),
            ("core.fsmonitor", &run),
            ("core.attributesFile", &attributes.display().to_string()),
            ("core.hooksPath", &dir.join("hooks").display().to_string()),
        ] {
            fixture.git_in(dir, &["config", key, value]);
        }
        write(dir, ".git/info/attributes", "work filter=evil\n");
        write(dir, ".gitattributes", "work filter=evil\n");
    }),
    ("commondir is elsewhere, with filters", |fixture, dir| {
        let evil = fixture.top().join("evil");
        fixture.git(&["init", "-q", "--bare", &evil.display().to_string()]);
        let marker = fixture.top().join("executed");
        let run = format!("touch '{}'; cat", marker.display());
        fixture.git_in(&evil, &["config", "filter.evil.clean", &run]);
        write(dir, ".gitattributes", "work filter=evil\n");
        let line = format!("{}\n", evil.display());
        fs::write(dir.join(".git/commondir"), line).expect("written");
    }),
    ("its objects deleted", |_, dir| {
        fs::remove_dir_all(dir.join(".git/objects")).expect("deleted");
    }),
    ("locks left by a killed git", |_, dir| {
        for lock in ["index.lock", "HEAD.lock", "packed-refs.lock", "config.lock"] {
            fs::write(dir.join(".git").join(lock), "").expect("written");
        }
    }),
    ("index says to ignore changes", |fixture, dir| {
        fixture.git_in(dir, &["update-index", "--skip-worktree", "src/a.txt"]);
        fixture.git_in(dir, &["update-index", "--assume-unchanged", "README"]);
        fs::write(dir.join("README"), "changed").expect("written");
    }),
    ("a repository that is bare", |fixture, dir| {
        fixture.git_in(dir, &["config", "core.bare", "true"]);
    }),
    ("a stash, a branch and a tag", |fixture, dir| {
        fs::write(dir.join("README"), "to be stashed").expect("written");
        fixture.git_in(dir, &["stash"]);
        fixture.git_in(dir, &["branch", "theirs"]);
        fixture.git_in(dir, &["tag", "theirs"]);
    }),
];

#[test]
fn whatever_an_agent_does_to_git_the_work_is_what_lies_in_the_directory() {
    for (name, spoil) in SPOILS {
        run(async {
            let fixture = Fixture::new();
            let before = fixture.users_state();
            let (repository, head) = fixture.begun().await;
            let mut worktree = fixture.worktree(&repository, 12).await;
            let dir = worktree.path().to_owned();
            spoil(&fixture, &dir);
            write(&dir, "work", name);
            let done = commit(&mut worktree).await;
            let shown = fixture.git(&["show", &format!("{}:work", done.commit)]);
            assert_eq!(shown, name);
            if name.starts_with("index") {
                let readme = fixture.git(&["show", &format!("{}:README", done.commit)]);
                assert_eq!(readme, "changed", "{name}");
            }
            assert_eq!(fixture.id(&format!("{}^", done.commit)), head, "{name}");
            let top = fixture.git_in(&dir, &["rev-parse", "HEAD"]);
            assert_eq!(
                top.trim(),
                done.commit.as_str(),
                "{name}: links are repaired"
            );
            assert_eq!(
                fixture.git_in(&dir, &["status", "--porcelain"]),
                "",
                "{name}"
            );
            let moved = repository.advance(BRANCH, &head, &done.commit, name).await;
            assert_eq!(moved.expect("moved"), Advance::Moved);
            worktree.remove().await.expect("removed");
            assert_eq!(fixture.users_state(), before, "{name}");
            assert!(!fixture.top().join("executed").exists(), "{name}");
            let refs = fixture.git(&["for-each-ref", "--format=%(refname)"]);
            assert!(!refs.contains("theirs") && !refs.contains("mine"), "{refs}");
            assert!(!fixture.has_ref("refs/stash"), "{name}");
        });
    }
}

#[test]
fn a_link_in_place_of_the_worktree_is_not_followed() {
    run(async {
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 12).await;
        let dir = worktree.path().to_owned();
        let home = fixture.top().join("somebody");
        write(&home, "precious", "1");
        let root = dir.parent().expect("the attempt's directory").to_owned();
        fs::remove_dir_all(&dir).expect("deleted");
        symlink(&home, &dir).expect("linked");
        let refused = worktree.commit(&message(12), None).await;
        assert!(
            matches!(refused, Err(Error::WorktreeGone { .. })),
            "{refused:?}"
        );
        worktree.remove().await.expect("removed");
        assert_eq!(read(&home, "precious"), "1");
        assert!(fs::symlink_metadata(&root).is_err(), "the link is gone");
    });
}

#[test]
fn hooks_and_fsmonitor_never_run() {
    run(async {
        let fixture = Fixture::new();
        let marker = fixture.top().join("executed");
        let script = format!("#!/bin/sh\necho \"$0\" >>'{}'\n", marker.display());
        let hooks = fixture.top().join("hooks");
        fs::create_dir_all(&hooks).expect("a directory");
        for hook in [
            "pre-commit",
            "commit-msg",
            "post-commit",
            "post-checkout",
            "post-merge",
            "reference-transaction",
            "post-index-change",
            "post-rewrite",
            "prepare-commit-msg",
            "pre-auto-gc",
            "fsmonitor",
        ] {
            write_script(&fixture.repo.join(".git/hooks").join(hook), &script);
            write_script(&hooks.join(hook), &script);
        }
        for configured in [false, true] {
            if configured {
                let path = hooks.display().to_string();
                fixture.git(&["config", "core.hooksPath", &path]);
                fixture.git(&["config", "core.fsmonitor", &format!("{path}/fsmonitor")]);
            }
            let _ = fs::remove_file(&marker);
            let attempt = 1 + u64::from(configured);
            let (repository, head) = fixture.begun().await;
            let mut worktree = fixture.worktree(&repository, attempt).await;
            write(worktree.path(), &format!("file{attempt}"), "1");
            let done = commit(&mut worktree).await;
            let again = worktree.rebase(&head, Ignored::Keep).await;
            assert!(matches!(again, Ok(Rebase::Clean(_))), "{again:?}");
            let moved = repository.advance(BRANCH, &head, &done.commit, "x").await;
            assert_eq!(moved.expect("moved"), Advance::Moved);
            worktree.remove().await.expect("removed");
            assert!(!read(&fixture.top(), "executed").contains("hooks/"));
            // The hooks do work; it is us who do not run them.
            fixture.git(&["commit", "-q", "--allow-empty", "-m", "user's own"]);
            assert!(read(&fixture.top(), "executed").contains("hooks/post-commit"));
        }
    });
}

#[test]
fn repositories_inside_the_work_are_refused_but_never_lost() {
    run(async {
        let fixture = Fixture::new();
        // A file that is tracked although it is ignored must survive the refusal.
        fixture.write("kept.o", "tracked");
        fixture.git(&["add", "-f", "kept.o"]);
        fixture.git(&["commit", "-q", "-m", "keep"]);
        let (repository, head) = fixture.begun().await;
        for (attempt, with_commit) in [(1, true), (2, false)] {
            let mut worktree = fixture.worktree(&repository, attempt).await;
            let inside = worktree.path().join("app/inner");
            write(&inside, "code.txt", "precious");
            fixture.git_in(&inside, &["init", "-q"]);
            if with_commit {
                fixture.git_in(&inside, &["add", "-A"]);
                fixture.git_in(&inside, &["commit", "-q", "-m", "inner"]);
            }
            let refused = worktree.commit(&message(attempt), None).await;
            let Err(Error::NestedRepository { paths }) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(paths, ["app/inner"]);
            let preserved = worktree.preserve("nested").await.expect("preserved");
            let name = preserved.expect("some work");
            assert_eq!(name, format!("refs/crewlog/preserved/{attempt}"));
            let shown = fixture.git(&["show", &format!("{name}:app/inner/code.txt")]);
            assert_eq!(shown, "precious");
        }
        // Without its .git the same work is accepted.
        let mut worktree = fixture.worktree(&repository, 3).await;
        let inside = worktree.path().join("app");
        write(&inside, "code.txt", "precious");
        fixture.git_in(&inside, &["init", "-q"]);
        worktree
            .commit(&message(3), None)
            .await
            .expect_err("refused");
        fs::remove_dir_all(inside.join(".git")).expect("deleted");
        let done = commit(&mut worktree).await;
        let changes = repository
            .changes(&head, &done.commit)
            .await
            .expect("changes");
        assert_eq!(changes.touched, ["app/code.txt"]);
    });
}

#[test]
fn preserved_work_is_never_overwritten() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let other = fixture.id("HEAD^{tree}");
        let other = fixture.git(&["commit-tree", "-m", "other", other.as_str()]);
        let other = other.trim().parse().expect("an id");
        let mut names = Vec::new();
        for commit in [&head, &head, &other, &other] {
            let name = repository.preserve(AttemptId(4), commit).await;
            names.push(name.expect("preserved"));
        }
        let first = "refs/crewlog/preserved/4";
        assert_eq!(
            names,
            [
                first,
                first,
                "refs/crewlog/preserved/4-2",
                "refs/crewlog/preserved/4-2"
            ]
        );
        assert_eq!(fixture.id(first), head);
    });
}
