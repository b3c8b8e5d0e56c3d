//! What is checked is what is merged and what a clone gets, byte for byte; and no program runs that
//! somebody has named since the run began.

use std::fs;
use std::path::Path;

use crewlog::workspace::{Advance, Ignored, Rebase};

use crate::fixture::{BRANCH, Fixture, commit, run, write};

/// The files of a clone of the branch by the person, with their filters.
fn cloned(fixture: &Fixture, filters: &[(&str, &str)]) -> std::path::PathBuf {
    let clone = fixture.top().join(format!("clone-{}", filters.len()));
    let path = clone.display().to_string();
    fixture.git(&["clone", "-q", "--no-checkout", ".", &path]);
    for (key, value) in filters {
        fixture.git_in(&clone, &["config", key, value]);
    }
    let branch = format!("origin/{BRANCH}");
    fixture.git_in(&clone, &["checkout", "-q", &branch]);
    clone
}

/// Everything in two trees but `.git` is the same.
fn assert_same(one: &Path, other: &Path) {
    let mut dirs = vec![one.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("readable").flatten() {
            let path = entry.path();
            let below = path.strip_prefix(one).expect("below");
            if below == Path::new(".git") {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let bytes = |path: &Path| fs::read(path).unwrap_or_default();
            let (mine, theirs) = (bytes(&path), bytes(&other.join(below)));
            assert_eq!(
                String::from_utf8_lossy(&mine),
                String::from_utf8_lossy(&theirs),
                "{below:?}"
            );
        }
    }
}

#[test]
fn what_is_checked_is_what_a_clone_gets() {
    run(async {
        let fixture = Fixture::new();
        // The cleaned content lacks what the agent's checks would see.
        let filters = [
            ("filter.drop.clean", "sed /secret/d"),
            ("filter.drop.smudge", "sed s/^/smudged:/"),
        ];
        for (key, value) in filters {
            fixture.git(&["config", key, value]);
        }
        let attributes = "*.drop filter=drop\n*.win text eol=crlf\n*.id ident\n";
        fixture.write(".gitattributes", attributes);
        fixture.write("old.drop", "one\n");
        fixture.write("same.drop", "one\n");
        fixture.git(&["add", "-A"]);
        fixture.git(&["commit", "-q", "-m", "filters"]);
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 1).await;
        let dir = worktree.path().to_owned();
        write(&dir, "new.drop", "kept\nsecret\n");
        write(&dir, "old.drop", "smudged:one\nsecret\n");
        // What the filter drops is all that has changed.
        write(&dir, "same.drop", "one\nsecret\n");
        write(&dir, "lines.win", "a\nb\n");
        write(&dir, "who.id", "$Id$\n");
        let done = commit(&mut worktree).await;
        let rebased = worktree.rebase(&head, Ignored::RemoveBut(&[])).await;
        assert!(matches!(rebased, Ok(Rebase::Clean(_))), "{rebased:?}");
        let moved = repository.advance(BRANCH, &head, &done.commit, "x").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        let clone = cloned(&fixture, &filters);
        assert_same(&dir, &clone);
        assert_same(&clone, &dir);
        let read = |name: &str| fs::read_to_string(dir.join(name)).expect("it is there");
        assert_eq!(read("new.drop"), "smudged:kept\n");
        assert_eq!(read("lines.win"), "a\r\nb\r\n");
        assert!(read("who.id").starts_with("$Id: "));
    });
}

#[test]
fn programs_that_are_named_after_the_start_never_run() {
    run(async {
        let fixture = Fixture::new();
        let marker = fixture.top().join("executed");
        let program = format!("touch '{}'; cat", marker.display());
        let (repository, head) = fixture.begun().await;
        let settings = repository.read_settings().await.expect("the settings");
        // As the scheduler does it: written down at the start, read by every worker.
        let kept = fixture.top().join("settings");
        settings.write(&kept).expect("written");
        let read = crewlog::workspace::Settings::read(&kept).expect("read");
        assert_eq!(read.as_ref(), Some(&settings));
        let repository = repository.with_settings(settings);
        let mut worktree = fixture.worktree(&repository, 1).await;
        let dir = worktree.path().to_owned();
        // An agent that nothing holds writes wherever git looks.
        let attributes = fixture.top().join("home/.config/git/attributes");
        fs::create_dir_all(attributes.parent().expect("it")).expect("a directory");
        fs::write(&attributes, "* filter=evil merge=evil\n").expect("written");
        write(&fixture.repo, ".git/info/attributes", "* filter=evil\n");
        write(&dir, ".gitattributes", "* filter=evil merge=evil\n");
        for place in ["--global", "--local"] {
            for key in [
                "filter.evil.clean",
                "filter.evil.smudge",
                "merge.evil.driver",
                "core.fsmonitor",
                "core.pager",
                "core.editor",
                "core.askPass",
                "core.alternateRefsCommand",
                "diff.external",
                "credential.helper",
                "gpg.program",
                "core.sshCommand",
                "alias.add",
                "alias.update-ref",
            ] {
                fixture.git(&["config", place, key, &program]);
            }
            let attributes = attributes.display().to_string();
            fixture.git(&["config", place, "core.attributesFile", &attributes]);
            fixture.git(&["config", place, "log.showSignature", "true"]);
        }
        fixture.git_in(&dir, &["config", "core.attributesFile", "/dev/null"]);
        let _ = fs::remove_file(&marker);
        write(&dir, "work", "mine\n");
        let mut other = fixture.worktree(&repository, 2).await;
        write(other.path(), "README", "theirs\n");
        let theirs = commit(&mut other).await.commit;
        let moved = repository.advance(BRANCH, &head, &theirs, "x").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        commit(&mut worktree).await;
        let rebased = worktree.rebase(&theirs, Ignored::RemoveBut(&[])).await;
        assert!(matches!(rebased, Ok(Rebase::Clean(_))), "{rebased:?}");
        worktree.preserve("kept").await.expect("preserved");
        repository.merged_features(BRANCH).await.expect("listed");
        assert!(!marker.exists(), "a program ran");
    });
}

#[test]
fn a_main_repository_that_was_spoilt_still_gets_the_work() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let settings = repository.read_settings().await.expect("the settings");
        let repository = repository.with_settings(settings);
        fixture.git(&["config", "core.bare", "true"]);
        fixture.git(&["config", "core.worktree", "/nonexistent"]);
        fixture.git(&["config", "core.attributesFile", "/nonexistent"]);
        let mut worktree = fixture.worktree(&repository, 1).await;
        write(worktree.path(), "work", "w");
        let done = commit(&mut worktree).await;
        let rebased = worktree.rebase(&head, Ignored::Keep).await;
        assert!(matches!(rebased, Ok(Rebase::Clean(_))), "{rebased:?}");
        let moved = repository.advance(BRANCH, &head, &done.commit, "x").await;
        assert_eq!(moved.expect("moved"), Advance::Moved);
        worktree.remove().await.expect("removed");
    });
}
