//! Submodules: they cost no network where the main repository has them, and work inside of one is
//! carried along or refused, never merged as a link to a commit that nobody has.

use std::fs;
use std::path::Path;

use crewlog::workspace::{Advance, Error, Ignored, Rebase, Repository, Worktree};

use crate::fixture::{BRANCH, Fixture, commit, message, read, run, write};

/// A project with a submodule `lib`, whose remote is gone.
fn with_module() -> Fixture {
    let fixture = Fixture::new();
    let remote = fixture.top().join("remote");
    fs::create_dir(&remote).expect("a directory");
    fixture.git_in(&remote, &["init", "-q", "-b", "main"]);
    write(&remote, "code", "1\n");
    write(&remote, ".gitignore", "*.o\n");
    fixture.git_in(&remote, &["add", "-A"]);
    fixture.git_in(&remote, &["commit", "-q", "-m", "library"]);
    let allowed = ["-c", "protocol.file.allow=always", "submodule", "--quiet"];
    let url = remote.display().to_string();
    fixture.git(&[&allowed[..], &["add", &url, "lib"]].concat());
    fixture.git(&["commit", "-q", "-m", "with a library"]);
    fs::remove_dir_all(&remote).expect("unplugged");
    fixture
}

fn update(fixture: &Fixture, dir: &Path) {
    fixture.git_in(dir, &["submodule", "--quiet", "update", "--init"]);
}

fn work_inside(fixture: &Fixture, worktree: &Worktree) -> String {
    let lib = worktree.path().join("lib");
    write(&lib, "code", "2\n");
    fixture.git_in(&lib, &["commit", "-q", "-a", "-m", "agent's"]);
    fixture
        .git_in(&lib, &["rev-parse", "HEAD"])
        .trim()
        .to_owned()
}

async fn begun(fixture: &Fixture) -> (Repository, Worktree) {
    let (repository, _) = fixture.begun().await;
    let worktree = fixture.worktree(&repository, 1).await;
    update(fixture, worktree.path());
    (repository, worktree)
}

#[test]
fn a_submodule_that_the_main_repository_has_needs_no_network() {
    run(async {
        let fixture = with_module();
        let (repository, mut worktree) = begun(&fixture).await;
        assert_eq!(read(worktree.path(), "lib/code"), "1\n");
        write(worktree.path(), "lib/built.o", "ignored");
        write(worktree.path(), "work", "w");
        let head = worktree.base().clone();
        let done = commit(&mut worktree).await;
        let rebased = worktree.rebase(&head, Ignored::RemoveBut(&[])).await;
        assert!(matches!(rebased, Ok(Rebase::Clean(_))), "{rebased:?}");
        let changes = repository.changes(&head, &done.commit).await;
        assert_eq!(changes.expect("compared").touched, ["work"]);
        // As a fresh one; and it can be had again for the checks.
        assert!(!worktree.path().join("lib/code").exists());
        update(&fixture, worktree.path());
        assert_eq!(read(worktree.path(), "lib/code"), "1\n");
        let paths = repository.shared_read_paths().await.expect("the paths");
        let objects = fixture.repo.join(".git/modules/lib/objects");
        assert!(paths.contains(&objects), "{paths:?}");
        assert!(
            paths.contains(&fixture.repo.join(".git/objects")),
            "{paths:?}"
        );
    });
}

#[test]
fn commits_inside_a_submodule_are_carried_along() {
    run(async {
        let fixture = with_module();
        let (repository, mut worktree) = begun(&fixture).await;
        let inside = work_inside(&fixture, &worktree);
        let head = worktree.base().clone();
        let done = commit(&mut worktree).await;
        let rebased = worktree.rebase(&head, Ignored::RemoveBut(&[])).await;
        assert!(matches!(rebased, Ok(Rebase::Clean(_))), "{rebased:?}");
        update(&fixture, worktree.path());
        assert_eq!(
            read(worktree.path(), "lib/code"),
            "2\n",
            "what the checks see"
        );
        let moved = repository.advance(BRANCH, &head, &done.commit, "x").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        worktree.remove().await.expect("removed");
        let link = fixture.git(&["rev-parse", &format!("{BRANCH}:lib")]);
        assert_eq!(link.trim(), inside);
        // The person gets it without anybody else.
        fixture.git(&["checkout", "-q", BRANCH]);
        update(&fixture, &fixture.repo);
        assert_eq!(read(&fixture.repo, "lib/code"), "2\n");
        let module = fixture.repo.join(".git/modules/lib");
        let kept = fixture.git_in(&module, &["for-each-ref", "refs/crewlog/kept"]);
        assert!(kept.contains(&inside), "{kept}");
    });
}

#[test]
fn work_that_would_be_lost_inside_a_submodule_is_refused() {
    run(async {
        for untracked in [false, true] {
            let fixture = with_module();
            let (_, mut worktree) = begun(&fixture).await;
            let file = if untracked { "lib/new" } else { "lib/code" };
            write(worktree.path(), file, "not committed");
            let refused = worktree.commit(&message(1), None).await;
            let error = refused.expect_err("refused").to_string();
            let file = file.trim_start_matches("lib/");
            assert!(
                error.contains("the submodule lib") && error.contains(file),
                "{error}"
            );
            assert!(error.contains("Commit or undo"), "{error}");
            write(worktree.path(), "other", "kept");
            let kept = worktree.preserve("refused").await.expect("preserved");
            assert!(kept.is_some());
            assert!(worktree.path().join("lib/.git").exists(), "it is put back");
        }
    });
}

#[test]
fn a_link_to_a_commit_that_only_the_agent_has_is_refused() {
    run(async {
        let fixture = with_module();
        let (_, mut worktree) = begun(&fixture).await;
        work_inside(&fixture, &worktree);
        fs::remove_dir_all(fixture.repo.join(".git/modules/lib")).expect("deleted");
        let refused = worktree.commit(&message(1), None).await;
        assert!(refused.is_err(), "{refused:?}");

        // A submodule that the agent has added.
        let fixture = Fixture::new();
        let (repository, _) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 1).await;
        let lib = worktree.path().join("lib");
        write(&lib, "code", "1\n");
        fixture.git_in(&lib, &["init", "-q"]);
        fixture.git_in(&lib, &["add", "-A"]);
        fixture.git_in(&lib, &["commit", "-q", "-m", "agent's"]);
        let declared = "[submodule \"lib\"]\n\tpath = lib\n\turl = ./lib\n";
        write(worktree.path(), ".gitmodules", declared);
        let refused = worktree.commit(&message(1), None).await;
        let Err(Error::Submodule { path, why }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(path, "lib");
        assert!(why.contains("add the submodule there first"), "{why}");
    });
}

#[test]
fn a_submodules_configuration_runs_nothing() {
    run(async {
        let fixture = with_module();
        let (_, mut worktree) = begun(&fixture).await;
        let marker = fixture.top().join("executed");
        let program = format!("touch '{}'; cat", marker.display());
        let lib = worktree.path().join("lib");
        for key in ["filter.evil.clean", "core.fsmonitor"] {
            fixture.git_in(&lib, &["config", key, &program]);
        }
        let module = worktree.path().join(".git/modules/lib/info/attributes");
        fs::create_dir_all(module.parent().expect("it")).expect("a directory");
        fs::write(&module, "* filter=evil\n").expect("written");
        let ignore = "[submodule \"lib\"]\n\tpath = lib\n\turl = x\n\tignore = none\n";
        write(worktree.path(), ".gitmodules", ignore);
        write(worktree.path(), "lib/code", "changed\n");
        let _ = fs::remove_file(&marker);
        worktree
            .commit(&message(1), None)
            .await
            .expect_err("refused");
        worktree.preserve("refused").await.expect("preserved");
        assert!(!marker.exists(), "a program ran");
    });
}
