use std::process::Command;

use super::*;

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
        .args(args)
        .current_dir(dir)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, text).expect("written");
}

/// What is not listed is not synced, and would be missing after a power cut.
#[test]
fn every_object_that_a_commit_adds_is_listed() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path();
    git(dir, &["init", "-q"]);
    write(dir, "deep/er/file", "1");
    write(dir, "other/file", "1");
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "-m", "start"]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let found = runtime.block_on(Repository::discover(dir));
    let repository = found.expect("the repository");
    for round in 0..4 {
        match round {
            0 => write(dir, "deep/er/file", "2"),
            1 => {
                write(dir, "a\nb", "3");
                write(dir, ":100644 100644 x y M", "4");
                write(dir, "new/tree/below", "5");
            }
            2 => std::fs::remove_file(dir.join("deep/er/file")).expect("deleted"),
            _ => {}
        }
        git(dir, &["add", "-A"]);
        git(
            dir,
            &["commit", "-q", "--allow-empty", "-m", "next\n\nwith a body"],
        );
        let id = |name: &str| git(dir, &["rev-parse", name]).parse().expect("an id");
        let (onto, commit) = (id("HEAD^"), id("HEAD"));
        let listed = git(
            dir,
            &["rev-list", "--objects", "--no-object-names", "HEAD^..HEAD"],
        );
        let expected: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
        let objects = runtime.block_on(repository.new_objects(&onto, &commit));
        let objects = objects.expect("a list");
        let missing: Vec<_> = expected.difference(&objects).collect();
        assert!(
            missing.is_empty(),
            "round {round}: {missing:?} of {expected:?}"
        );
        // Deleted entries have an id of zeros, and an unchanged tree is listed again.
        assert!(
            objects.len() <= expected.len() + 3,
            "round {round}: {objects:?}"
        );
        let synced = runtime.block_on(repository.sync_commit(&onto, &commit));
        synced.expect("synced");
    }
}
