//! git's side: what was merged or preserved is there, and the next attempts can be made.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crewlog::model::ids::{AttemptId, CommitId};
use crewlog::workspace::{Advance, CommitMessage, Repository};

use crate::real::{clean, repository};
use crate::rounds::{Cut, cut_everywhere_in, time_to_go_on};
use crate::run::{self, Watched, finish, marks, temporary};
use crate::trace::mark;

const BRANCH: &str = "crewlog/power";
const ATTEMPTS: u64 = 5;
/// A number is given out once; those after a cut begin here.
const LATER: u64 = 100;

fn git(root: &Path) -> Command {
    let mut command = Command::new("git");
    clean(&mut command, root);
    command.arg("-C").arg(root).stdin(Stdio::null());
    command
}

/// Runs git and gives what it printed; the error is what it complained about.
fn ask(root: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = git(root);
    command.args(args);
    let output = finish(command);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("git {args:?}: {output:?}")),
    }
}

fn waited<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}

#[test]
#[ignore = "started by the tests of this file"]
fn worker() {
    let (root, trace, user) = run::child();
    if user == "commits" {
        // What git does by itself leaves the objects to the system.
        std::fs::write(root.join("LICENSE"), "anything\n").expect("a file");
        for args in [&["add", "-A"][..], &["commit", "-q", "-m", "second"]] {
            let done = Command::new("git").arg("-C").arg(&root).args(args).status();
            assert!(done.expect("git").success());
        }
    }
    waited(async {
        let repository = Repository::discover(&root).await.expect("a repository");
        let mut head = repository.ensure_branch(BRANCH).await.expect("a branch");
        mark(&trace, &format!("merged {head}"));
        for attempt in 1..=ATTEMPTS {
            let done = attempt_one(&repository, &root, 0, attempt, &head).await;
            match done {
                Done::Merged(commit) => {
                    mark(&trace, &format!("merged {commit}"));
                    head = commit;
                }
                Done::Preserved(name) => mark(&trace, &format!("preserved {name}")),
                Done::Nothing => panic!("no work in attempt {attempt}"),
            }
        }
    });
}

enum Done {
    Merged(CommitId),
    Preserved(String),
    Nothing,
}

/// One attempt, the same whenever it is made: writes, commits, and merges; or, the third, is
/// thrown away.
async fn attempt_one(
    repository: &Repository,
    root: &Path,
    offset: u64,
    attempt: u64,
    head: &CommitId,
) -> Done {
    let id = AttemptId(offset + attempt);
    let worktrees = root.join("worktrees");
    let made = repository.create_worktree(&worktrees, id, head).await;
    let mut worktree = made.expect("a worktree");
    let dir = worktree.path().to_owned();
    std::fs::create_dir_all(dir.join("src/deep")).expect("directories");
    let text = format!("part {attempt}\n").repeat(300);
    std::fs::write(dir.join(format!("src/deep/part{attempt}")), &text).expect("a file");
    std::fs::write(dir.join("src/last"), &text).expect("a file");
    if attempt == 2 || attempt == 3 {
        // An agent that commits by itself, as a user's git does.
        for args in [&["add", "-A"][..], &["commit", "-q", "-m", "mine"]] {
            let mut command = Command::new("git");
            command.arg("-C").arg(&dir).args(args);
            assert!(command.output().expect("git").status.success());
        }
    }
    let done = if attempt == 3 {
        let kept = worktree.preserve("a test").await.expect("preserved");
        Done::Preserved(kept.expect("there was work"))
    } else {
        let message = CommitMessage::new("A part").attempt(id);
        let committed = worktree.commit(&message, None).await.expect("a commit");
        match committed.map(|committed| committed.commit) {
            // It was merged before the cut.
            None => Done::Nothing,
            Some(commit) => {
                let moved = repository.advance(BRANCH, head, &commit, "a test").await;
                assert_eq!(moved.expect("it moves"), Advance::Moved);
                Done::Merged(commit)
            }
        }
    };
    worktree.remove().await.expect("removed");
    done
}

/// Every object that these lead to can be read.
fn must_be_readable(root: &Path, tips: &[&str]) {
    let listed = [&["rev-list", "--objects", "--no-object-names"], tips].concat();
    let objects = ask(root, &listed).unwrap_or_else(|why| panic!("not all is there: {why}"));
    let mut child = git(root)
        .args(["cat-file", "--batch", "--buffer"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git");
    let mut stdin = child.stdin.take().expect("piped");
    let feed =
        std::thread::spawn(move || std::io::Write::write_all(&mut stdin, objects.as_bytes()));
    let output = child.wait_with_output().expect("its output");
    feed.join().expect("a thread").expect("read to its end");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{complaint}"
    );
}

/// What was acknowledged is there; and now and then, that work goes on.
fn must_be_kept(cut: &Cut<'_>) {
    let told = |what: &'static str| {
        let found = marks(cut.before).filter_map(move |text| text.strip_prefix(what));
        found.collect::<Vec<_>>()
    };
    let (merged, preserved) = (told("merged "), told("preserved "));
    if let Some(last) = merged.last() {
        ask(cut.dir, &["merge-base", "--is-ancestor", last, BRANCH])
            .unwrap_or_else(|why| panic!("a merge is gone: {why}"));
        must_be_readable(cut.dir, &[&merged[..], &preserved].concat());
    }
    // Before we had synced what the person's own git had written, a cut may take even that.
    let begun = !merged.is_empty() || ask(cut.dir, &["rev-list", "--objects", "HEAD"]).is_ok();
    if begun && cut.number.is_multiple_of(6) {
        waited(must_go_on(cut.dir));
        if let Some(last) = merged.last() {
            let checked = ["fsck", "--connectivity-only", "--no-dangling", last];
            ask(cut.dir, &checked).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}

/// No machine comes back from a power cut as fast as this test: what was a lock then is an old one.
fn age_locks(dir: &Path) {
    let hour = SystemTime::now() - Duration::from_secs(3_600);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            age_locks(&path);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "lock")
        {
            let lock = std::fs::File::options()
                .write(true)
                .open(&path)
                .expect("a lock");
            lock.set_modified(hour).expect("aged");
        }
    }
}

/// What a start does, then all attempts again: with the very bytes that were half-written.
async fn must_go_on(root: &Path) {
    age_locks(&root.join(".git"));
    let repository = Repository::discover(root).await.expect("a repository");
    let forgotten = repository.forget_torn(&[], AttemptId(LATER)).await;
    forgotten.expect("torn registrations are forgotten");
    let mut head = repository.ensure_branch(BRANCH).await.expect("a branch");
    let worktrees = root.join("worktrees");
    let swept = repository
        .sweep(&worktrees, &[], AttemptId(LATER), BRANCH)
        .await;
    let swept = swept.expect("a sweep");
    assert!(swept.failed.is_empty(), "{swept:?}");
    for attempt in 1..=ATTEMPTS {
        if let Done::Merged(commit) = attempt_one(&repository, root, LATER, attempt, &head).await {
            head = commit;
        }
    }
    must_be_readable(root, &[BRANCH]);
}

fn recorded(user: &str) -> (tempfile::TempDir, PathBuf, Watched) {
    let dir = temporary();
    let root = dir.path().join("project");
    std::fs::create_dir(&root).expect("a directory");
    std::fs::write(root.join("README"), "a project\n").expect("a file");
    repository(&root, &root, "main");
    let watched = Watched::new(&root);
    let output = watched.run("git::worker", user, None);
    assert!(output.status.success(), "{output:?}");
    (dir, root, watched)
}

#[test]
fn what_was_merged_or_preserved_survives_a_power_cut_at_any_moment() {
    let (_dir, root, watched) = recorded("commits");
    let (disk, records) = watched.recorded();
    let mut whole = disk.clone();
    records.iter().for_each(|record| whole.apply(record));
    run::must_be_complete(&whole, &root);
    let time = time_to_go_on(Duration::from_secs(4));
    let step = records.len() / 24;
    let cuts = cut_everywhere_in(&root, &disk, &records, step, time, must_be_kept);
    println!("{cuts} cuts of {} records", records.len());
}
