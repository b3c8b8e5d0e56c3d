//! Shared by several test binaries: git without the machine's settings, waiting, and the lines and
//! processes of started programs.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Time limit of everything here, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An environment without the caller's git and Crewlog settings, with its own home directory.
pub fn clean(command: &mut Command, home: &Path) {
    command.env_clear();
    for name in ["PATH", "TMPDIR", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1");
}

/// Runs git in a directory, and returns its output. `home` must contain no configuration of the
/// machine's.
pub fn git(at: &Path, home: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    clean(&mut command, home);
    let output = command.current_dir(at).args(args).output().expect("git");
    assert!(output.status.success(), "git {args:?}: {output:?}");
    text(&output.stdout)
}

/// Makes the directory a repository with a configured user, and commits its contents.
pub fn repository(at: &Path, home: &Path, branch: &str) {
    for args in [
        &["init", "-q", "-b", branch][..],
        &["config", "user.name", "A user"],
        &["config", "user.email", "user@example.invalid"],
        &["add", "-A"],
        &["commit", "-q", "--allow-empty", "-m", "first"],
    ] {
        git(at, home, args);
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard error and output of a command, to search for words.
pub fn said(output: &Output) -> String {
    text(&output.stderr) + &text(&output.stdout)
}

/// Receives the lines of a program's output, each converted by `read`.
pub fn lines<T: Send + 'static>(
    output: impl Read + Send + 'static,
    read: impl Fn(&str) -> T + Send + 'static,
) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines
            .map(|line| read(&line))
            .try_for_each(|line| sender.send(line))
    });
    receiver
}

/// The only place where a test polls: for things that send no signal.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Like [`wait_until`], while other tasks of this thread run.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Living processes with `word` among their arguments.
pub fn with_word(word: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let named = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        text(&arguments).contains(word).then_some(pid)
    });
    named.collect()
}
