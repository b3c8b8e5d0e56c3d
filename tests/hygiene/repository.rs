//! Repositories in every state that a user may leave theirs in, with settings of their own.

use std::fs;

use rustix::process::geteuid;

use crate::kit::{
    AGENT, BRANCH, RUN, assert_nothing_left, assert_passes, assert_refused, assert_untouched,
    merges, project, said, shell, users_state,
};
use crate::real::Project;

/// Runs a script in the user's repository; some of its commands are meant to fail.
fn prepare(project: &Project, script: &str) {
    let output = shell(project, script).output().expect("a shell");
    assert!(output.status.success(), "{script}: {}", said(&output));
}

const CONFLICT: &str = "
    git checkout -q -b theirs && echo theirs > file && git add -A && git commit -q -m theirs
    git checkout -q main && echo ours > file && git add -A && git commit -q -m ours
    echo unsaved >> README && git stash push -q && echo new > untracked
";

#[test]
fn what_the_user_is_in_the_middle_of_is_left_alone() {
    // What is begun, what tells that it is under way, and how it can still be ended.
    let table = [
        ("! git merge -q theirs", "MERGE_HEAD", "merge --abort"),
        (
            "! git cherry-pick theirs",
            "CHERRY_PICK_HEAD",
            "cherry-pick --abort",
        ),
        ("! git rebase -q theirs", "rebase-merge", "rebase --abort"),
        ("git bisect start -q", "BISECT_START", "bisect reset"),
    ];
    for (begin, sign, abort) in table {
        let project = project(AGENT, "", 1);
        prepare(
            &project,
            &format!(
                "set -e\n{CONFLICT}\n{begin} >/dev/null 2>&1\necho x > staged; git add staged\n"
            ),
        );
        assert!(project.root.join(".git").join(sign).exists(), "{begin}");
        let before = users_state(&project);
        assert_passes(&project);
        assert_nothing_left(&project);
        assert_untouched(&before, &project);
        prepare(&project, &format!("git {abort}"));
        assert_eq!(project.git(&["stash", "list"]).lines().count(), 1);
    }
}

#[test]
fn a_branch_that_is_being_rebased_is_refused() {
    let project = project(AGENT, "", 1);
    let script = format!(
        "set -e\n{CONFLICT}\ngit checkout -q -b {BRANCH}\n\
         ! git rebase -q theirs >/dev/null 2>&1\n"
    );
    prepare(&project, &script);
    let before = users_state(&project);
    let run = project.scheduler(&RUN);
    assert_refused(
        &run,
        2,
        &[BRANCH, "a rebase of it is in progress", "Switch to another"],
    );
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
}

#[test]
fn the_users_hooks_and_settings_neither_run_nor_stop_anything() {
    let project = project(AGENT, "", 2);
    let script = r#"
        set -e
        mkdir -p "$HOME/hooks" .git/hooks
        for hook in applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit \
            prepare-commit-msg commit-msg post-commit pre-rebase post-checkout post-merge post-rewrite \
            pre-auto-gc reference-transaction post-index-change fsmonitor-watchman; do
            for dir in "$HOME/hooks" .git/hooks; do
                printf '#!/bin/sh\necho %s >> "%s/ran"\nexit 1\n' "$hook" "$HOME" > "$dir/$hook"
                chmod 755 "$dir/$hook"
            done
        done
        git config --global core.hooksPath "$HOME/hooks"
        for where in --global --local; do
            set_() { git config $where "$@"; }
            set_ commit.gpgsign true; set_ tag.gpgsign true; set_ gpg.program /bin/false
            set_ user.signingkey 0xDEAD; set_ commit.template /nonexistent; set_ core.editor false
            set_ core.autocrlf true; set_ core.safecrlf true; set_ core.fsmonitor "$HOME/hooks/fsmonitor-watchman"
            set_ commit.cleanup verbatim; set_ merge.ff only; set_ diff.external /bin/false
            set_ diff.renames copies; set_ status.showUntrackedFiles no; set_ core.quotePath true
            set_ color.ui always; set_ format.pretty oneline; set_ log.showSignature true
            set_ clean.requireForce true; set_ core.logAllRefUpdates false; set_ push.gpgSign true
            set_ checkout.guess false; set_ worktree.guessRemote true; set_ gc.auto 1
            set_ alias.add '!false'; set_ advice.addIgnoredFile true; set_ core.abbrev 4
        done
    "#;
    prepare(&project, script);
    let before = users_state(&project);
    assert_passes(&project);
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    let ran = fs::read_to_string(project.home().join("ran"));
    assert!(ran.is_err(), "hooks ran: {ran:?}");
    assert_eq!(merges(&project).len(), 2);
    let raw = project.git(&["cat-file", "commit", BRANCH]);
    assert!(!raw.contains("gpgsig"), "{raw}");
    assert!(raw.contains("Crewlog-Feature: "), "{raw}");
    // Line ends are the user's wish, and what is committed is what they wished for.
    let blob = project.git(&["cat-file", "blob", &format!("{BRANCH}:f1.txt")]);
    assert_eq!(blob, "feature 1\n");
}

#[test]
fn somebody_elses_repository_is_refused_with_the_way_out() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give a directory away");
        return;
    }
    let project = project(AGENT, "", 1);
    prepare(&project, "chown -R 65534:65534 .git && chown 65534:65534 .");
    let before = users_state(&project);
    let run = project.scheduler(&RUN);
    assert_refused(
        &run,
        2,
        &["does not trust the repository", "safe.directory"],
    );
    assert_nothing_left_without_git(&project);
    assert_untouched(&before, &project);
    prepare(
        &project,
        "git config --global --add safe.directory \"$PWD\"",
    );
    assert_passes(&project);
    assert_nothing_left(&project);
}

/// What can be said of a repository that git does not open.
fn assert_nothing_left_without_git(project: &Project) {
    project.wait_for_silence();
    assert!(!project.root.join(".git/worktrees").exists());
    assert!(!project.root.join(".git/refs/heads/crewlog").exists());
}

#[test]
fn submodules_stay_what_they_are() {
    let project = project(AGENT, "", 1);
    let script = "
        set -e
        git init -q -b main \"$HOME/module\"; cd \"$HOME/module\"
        git -c user.name=A -c user.email=a@b commit -q --allow-empty -m start
        cd - >/dev/null; git config --global protocol.file.allow always
        git submodule --quiet add \"$HOME/module\" module && git commit -q -m module
        echo mine > module/untracked
    ";
    prepare(&project, script);
    let link = project.git(&["rev-parse", "HEAD:module"]);
    let before = users_state(&project);
    assert_passes(&project);
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    assert_eq!(
        project.git(&["rev-parse", &format!("{BRANCH}:module")]),
        link
    );
}

#[test]
fn a_repository_inside_the_work_is_named_and_kept() {
    let agent = "git init -q inner && echo x > inner/work && echo done > f1.txt";
    let project = project(agent, "", 1);
    let before = users_state(&project);
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let why = said(&project.scheduler(&["why", "1"]));
    assert!(why.contains("contains git repositories: inner"), "{why}");
    assert!(why.contains("Delete their .git"), "{why}");
    let kept = project.git(&["for-each-ref", "--format=%(refname)", "refs/crewlog"]);
    let kept = project.git(&["show", &format!("{}:inner/work", kept.trim())]);
    assert_eq!(kept, "x\n");
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
}

#[test]
fn links_are_committed_as_links_and_never_followed() {
    let agent = r#"
        ls -la; rm -rf dir && ln -s "$HOME/outside" dir && ln -s /nonexistent "dangling$CREWLOG_FEATURE"
        mkdir sub$CREWLOG_FEATURE && ln -s .. sub$CREWLOG_FEATURE/up; echo done > f$CREWLOG_FEATURE.txt
    "#;
    let project = project(agent, "", 2);
    let script = "
        set -e
        mkdir dir \"$HOME/outside\" && echo tracked > dir/file && ln -s README alias
        echo theirs > \"$HOME/outside/file\" && echo other > \"$HOME/outside/precious\"
        git add -A && git commit -q -m links
    ";
    prepare(&project, script);
    let before = users_state(&project);
    assert_passes(&project);
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    let outside = project.home().join("outside");
    let read = |name: &str| fs::read_to_string(outside.join(name)).expect("it is there");
    assert_eq!(
        (read("file").as_str(), read("precious").as_str()),
        ("theirs\n", "other\n")
    );
    assert_eq!(fs::read_dir(&outside).expect("readable").count(), 2);
    let tree = project.git(&["ls-tree", "-r", BRANCH]);
    let link = |name: &str| {
        let row = tree.lines().find(|row| row.ends_with(&format!("\t{name}")));
        row.is_some_and(|row| row.starts_with("120000 "))
    };
    assert!(
        link("dir") && link("dangling1") && link("sub2/up") && link("alias"),
        "{tree}"
    );
}

#[test]
fn filters_are_applied_both_ways_and_pointers_stay() {
    let agent = r#"
        printf abc > "small$CREWLOG_FEATURE.up"; grep -q 'git-lfs' picture.bin || exit 1
        echo done > f$CREWLOG_FEATURE.txt
    "#;
    let project = project(agent, "", 2);
    let script = "
        set -e
        git config filter.up.clean 'tr a-z A-Z'; git config filter.up.smudge 'tr A-Z a-z'
        git config filter.up.required true
        printf '*.up filter=up\\n*.bin filter=lfs diff=lfs merge=lfs -text\\n' > .gitattributes
        printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:00\\nsize 1\\n' > picture.bin
        git add -A && git commit -q -m attributes
    ";
    prepare(&project, script);
    let before = users_state(&project);
    assert_passes(&project);
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
    let blob = |name: &str| project.git(&["cat-file", "blob", &format!("{BRANCH}:{name}")]);
    assert_eq!(blob("small1.up"), "ABC");
    assert!(blob("picture.bin").contains("git-lfs"));
}

#[test]
fn a_filter_that_is_missing_is_named() {
    let agent = "printf abc > small.up; echo done > f$CREWLOG_FEATURE.txt";
    let project = project(agent, "", 1);
    let script = "
        set -e
        git config filter.up.clean no-such-filter; git config filter.up.required true
        printf '*.up filter=up\\n' > .gitattributes && git add -A && git commit -q -m attributes
    ";
    prepare(&project, script);
    let before = users_state(&project);
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let why = said(&project.scheduler(&["why", "1"]));
    assert!(why.contains("cannot run no-such-filter"), "{why}");
    // What the filter cannot clean is kept as it is.
    let kept = project.git(&["for-each-ref", "--format=%(refname)", "refs/crewlog"]);
    let kept = project.git(&["show", &format!("{}:small.up", kept.trim())]);
    assert_eq!(kept, "abc");
    assert_nothing_left(&project);
    assert_untouched(&before, &project);
}

/// A `git` that comes first in the `PATH` and dies by a signal when it is called with these words.
fn deadly_git(project: &Project, words: &str) -> std::path::PathBuf {
    let dir = project.home().join("bin");
    let script = format!(
        "mkdir -p '{0}' && cat >'{0}/git' <<'END'\n#!/bin/sh\ncase \"$*\" in *'{words}'*) kill -KILL $$;; esac\n\
         PATH=\"${{PATH#*:}}\"; export PATH; exec git \"$@\"\nEND\nchmod 755 '{0}/git'\n",
        dir.display()
    );
    prepare(project, &script);
    dir
}

#[test]
fn a_git_that_is_killed_at_the_start_is_no_state_of_the_repository() {
    for words in [
        "version",
        "rev-parse --show-object-format",
        "rev-parse --verify --quiet HEAD",
        "for-each-ref",
        "check-ref-format",
        "config --list",
    ] {
        let project = project(AGENT, "", 1);
        let bin = deadly_git(&project, words);
        let mut command = project.command(&RUN);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = format!("{}:{}", bin.display(), path.to_string_lossy());
        let run = command.env("PATH", path).output().expect("it ran");
        assert_refused(&run, 1, &["signal 9 killed", "Try again"]);
        assert!(!said(&run).contains("no commit yet"), "{}", said(&run));
        assert!(!said(&run).contains("there is no branch"), "{}", said(&run));
        assert_nothing_left(&project);
    }
}

#[test]
fn a_line_of_gits_configuration_that_cannot_be_read_is_named_before_the_first_attempt() {
    let project = project(AGENT, "", 1);
    prepare(&project, "echo '[garbage' >> .git/config");
    let run = project.scheduler(&RUN);
    assert_refused(&run, 2, &["bad config line", ".git/config"]);
}
