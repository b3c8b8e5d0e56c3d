//! What several test binaries need: git away from the machine's own settings, waiting, and the
//! lines and processes of programs that were started.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest that anything here may take, on a machine that does much else at the same time.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Environment without the caller's git and Crewlog settings, and with a home of its own.
pub fn clean(command: &mut Command, home: &Path) {
    command.env_clear();
    for name in ["PATH", "TMPDIR", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1");
}

/// Runs git in a directory, and gives what it printed. There must be nothing of the machine's in
/// `home`.
pub fn git(at: &Path, home: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    clean(&mut command, home);
    let output = command.current_dir(at).args(args).output().expect("git");
    assert!(output.status.success(), "git {args:?}: {output:?}");
    text(&output.stdout)
}

/// Makes a repository whose user is known of what is in the directory, in one commit.
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

/// Standard error and output of a command, for words to be looked for.
pub fn said(output: &Output) -> String {
    text(&output.stderr) + &text(&output.stdout)
}

/// The lines of a program's output, each as `read` gives it, as they come.
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

/// The one place where a test looks again and again: for what sends no signal.
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

/// The same, while others of this thread go on.
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
