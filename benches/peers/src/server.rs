//! A server of another system, which ends with this process.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait before a server is looked at again: it gives no signal when it is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A program that is not installed, and the Debian package that has it.
pub struct Missing {
    pub program: &'static str,
    pub package: &'static str,
}

/// Where a program is: among these directories, or in `PATH`.
pub fn find(
    program: &'static str,
    package: &'static str,
    directories: &[PathBuf],
) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = directories.iter().chain(&path);
    let mut found = all.map(|one| one.join(program)).filter(|it| it.is_file());
    found.next().ok_or(Missing { program, package })
}

/// What a program says of its version: the first word that has a digit and a dot.
pub fn version(program: &Path, flag: &str) -> String {
    let output = Command::new(program).arg(flag).output();
    let output = output.map(|it| it.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output).into_owned();
    let is_version =
        |word: &&str| word.contains('.') && word.contains(|it: char| it.is_ascii_digit());
    let word = text.split_whitespace().find(is_version).unwrap_or_default();
    word.trim_start_matches("v=").to_owned()
}

/// Lets a server of another user enter a directory.
pub fn open_to_all(dir: &Path) {
    let mode = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(dir, mode).expect("a mode");
}

/// A command that runs as another user if this process is root and `user` is given, and that gets
/// an interrupt when the thread that started it ends.
pub fn command(program: &Path, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if let Some(user) = user.filter(|_| rustix::process::geteuid().is_root()) {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg("--").arg(program);
    // A Ctrl-C in the terminal is for this process, which then ends its servers.
    command.process_group(0).stdin(Stdio::null());
    command
}

/// A server, until it is dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts one, which writes what it has to say to a file in `dir`, and waits until `is_ready`.
    pub fn start(
        mut command: Command,
        arguments: &[OsString],
        dir: &Path,
        mut is_ready: impl FnMut() -> bool,
    ) -> Self {
        let log = dir.join("server.log");
        let file = std::fs::File::create(&log).expect("a file");
        let errors = file.try_clone().expect("a file");
        command.args(arguments).stdout(file).stderr(errors);
        let child = command.spawn().expect("setpriv, of util-linux");
        let mut server = Self { child, log };
        let start = Instant::now();
        while !is_ready() {
            let ended = server.child.try_wait().expect("a child");
            if ended.is_some() || start.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(&server.log).unwrap_or_default();
                panic!("{command:?} does not start ({ended:?}): {log}");
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        let start = Instant::now();
        let _ = kill_process(pid, Signal::INT);
        while start.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
