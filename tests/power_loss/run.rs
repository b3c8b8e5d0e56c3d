//! Running programs under the shim.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crewlog::queue::{self, OpenOptions, SledLog};
use tempfile::TempDir;

use crate::disk::{self, Disk};
use crate::trace::{self, Record};

/// Where directories of the tests lie. Nothing in here needs to survive anything, and a disk in
/// memory makes the syncs of some thousand starts cheap.
pub fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()),
        false => tempfile::tempdir(),
    };
    made.expect("a directory")
}

/// The library, which `cargo test` builds as an example; when only this test was built, it is
/// built now.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let own = std::env::current_exe().expect("this program");
        let profile = own.ancestors().nth(2).expect("its profile's directory");
        let library = profile.join("examples/libdisk_shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/shim");
        let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let sources = ["lib.rs", "bytes.rs", "names.rs"].map(|name| changed(&source.join(name)));
        if changed(&library) < sources.into_iter().max().flatten() {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            build.args(["build", "--offline", "--example", "disk_shim"]);
            if profile.ends_with("release") {
                build.arg("--release");
            }
            let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).output();
            let built = built.expect("cargo");
            assert!(built.status.success(), "{built:?}");
        }
        assert!(library.exists(), "{library:?} was not built");
        library
    })
}

/// A directory whose changes are written down.
pub struct Watched {
    /// What was there before; it counts as durable.
    before: Disk,
    pub root: PathBuf,
    notes: TempDir,
}

impl Watched {
    /// Watches what happens under `root` from now on.
    pub fn new(root: &Path) -> Self {
        let root = root.canonicalize().expect("its path");
        let before = Disk::of(&root);
        let notes = temporary();
        Self {
            before,
            root,
            notes,
        }
    }

    /// Where the trace is, for marks.
    pub fn trace(&self) -> PathBuf {
        self.notes.path().join("trace")
    }

    /// What a program needs to be watched, and to have a call of its fail (`K,MODE`).
    pub fn prepare(&self, command: &mut Command, fault: Option<&str>) {
        command
            .env("LD_PRELOAD", library())
            .env("CREWLOG_SHIM_ROOT", &self.root)
            .env("CREWLOG_SHIM_DIR", self.notes.path())
            .env_remove("CREWLOG_SHIM_FAULT");
        if let Some(fault) = fault {
            command.env("CREWLOG_SHIM_FAULT", fault);
        }
    }

    /// Runs one of this binary's ignored tests under the shim.
    pub fn run(&self, child: &str, arguments: &str, fault: Option<&str>) -> Output {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", child, "--ignored", "--nocapture"])
            .args(["--test-threads", "1"])
            .env("CREWLOG_TEST_DIR", &self.root)
            .env("CREWLOG_TEST_TRACE", self.trace())
            .env("CREWLOG_TEST_ARGUMENTS", arguments)
            .stdin(Stdio::null());
        self.prepare(&mut command, fault);
        finish(command)
    }

    /// How many calls were made that could have failed.
    pub fn calls(&self) -> u64 {
        let count = fs::read(self.notes.path().join("calls")).expect("a count");
        u64::from_le_bytes(count.try_into().expect("eight bytes"))
    }

    /// What has happened until now.
    pub fn recorded_so_far(&self) -> Vec<Record> {
        trace::read(&self.trace())
    }

    /// What happened, and the disk that it began with.
    pub fn recorded(self) -> (Disk, Vec<Record>) {
        let records = trace::read(&self.trace());
        (self.before, records)
    }
}

/// The longest that a child may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program to its end; one that hangs is a failure.
pub fn finish(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // Panics that are caught are no news here.
    command.env("RUST_BACKTRACE", "0");
    let mut child = command.spawn().expect("this program");
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let read = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map(|_| bytes)
    };
    std::thread::scope(|scope| {
        let out = scope.spawn(move || read(stdout.as_mut().expect("piped")));
        let err = scope.spawn(move || read(stderr.as_mut().expect("piped")));
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("its status") {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill().expect("killed");
                panic!("it hangs: {command:?}");
            }
            std::thread::park_timeout(Duration::from_millis(2));
        };
        let text = |reader: std::thread::ScopedJoinHandle<'_, std::io::Result<Vec<u8>>>| {
            reader.join().expect("a reader").expect("its output")
        };
        let (stdout, stderr) = (text(out), text(err));
        Output {
            status,
            stdout,
            stderr,
        }
    })
}

/// Opens a log. While another test of this process starts a program, its lock may be in that
/// program's hands, too, for a moment.
pub fn open_log(dir: &Path) -> Result<SledLog, queue::Error> {
    let began = Instant::now();
    loop {
        match SledLog::open(dir, &OpenOptions::default()) {
            Err(queue::Error::Held { .. }) if began.elapsed() < PATIENCE => {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            opened => return opened,
        }
    }
}

/// What was told to the world, up to a moment.
pub fn marks(records: &[Record]) -> impl DoubleEndedIterator<Item = &str> {
    records.iter().filter_map(|record| match record {
        Record::Mark(text) => Some(text.as_str()),
        _ => None,
    })
}

/// The directory of a child, its trace, and what it was told.
pub fn child() -> (PathBuf, PathBuf, String) {
    let variable = |name: &str| std::env::var(name).expect("started by a test of this file");
    (
        variable("CREWLOG_TEST_DIR").into(),
        variable("CREWLOG_TEST_TRACE").into(),
        variable("CREWLOG_TEST_ARGUMENTS"),
    )
}

/// Says that what was recorded is all that happened: it gives the directory as it is.
pub fn must_be_complete(disk: &Disk, root: &Path) {
    let (seen, there) = (disk.cut(disk::Luck::All), disk::tree_of(root));
    for (path, entry) in &there {
        let same = seen.get(path) == Some(entry);
        assert!(same, "the shim has not seen all that happened to {path:?}");
    }
    let extra = seen.keys().find(|path| !there.contains_key(*path));
    assert_eq!(extra, None, "the shim has not seen that it was removed");
}
