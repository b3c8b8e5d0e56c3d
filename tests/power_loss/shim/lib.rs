//! Stands between a program and the disk, without any privilege: preloaded (`LD_PRELOAD`), it
//! writes down every change that the program makes under one directory and every sync that it
//! asks for, in their true order over all threads and processes; and it fails calls on demand.
//!
//! The calls are passed on as bare system calls. Nothing in here may use `std`'s files: they
//! would come back to these very functions.
//!
//! | variable | meaning |
//! |---|---|
//! | `CREWLOG_SHIM_ROOT` | changes under this canonical path are of interest |
//! | `CREWLOG_SHIM_DIR` | holds the `trace`, and the number of `calls`; not under the root |
//! | `CREWLOG_SHIM_FAULT` | `K,MODE`: which call fails, and how; see [`Mode`] |
//!
//! A record of the trace is its length (u32, little endian, without itself), one byte of kind,
//! and the fields that `trace.rs` reads.

#![allow(
    clippy::missing_safety_doc,
    reason = "each function has the contract of the C function of its name"
)]

/// A system call; sets `errno` like every function of C.
macro_rules! sys {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the arguments are the caller's own, or live until the end of the statement.
        unsafe { libc::syscall(libc::$number $(, $argument)*) }
    };
}

mod bytes;
mod names;

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::sync::OnceLock;

/// How the call fails.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// This call answers EIO, the others go on: `eio`.
    Once,
    /// This call and all after it answer EIO, as when a disk has died: `dead`.
    Dead,
    /// From this call on nothing that needs space succeeds: `full`.
    Full,
    /// This call, if it writes, writes half of what it should and says so: `short`.
    Short,
    /// The program is killed before this call: `kill`.
    Kill,
}

struct Config {
    root: Vec<u8>,
    trace: CString,
    calls: CString,
    fault: Option<(u64, Mode)>,
}

/// What a call wants of the disk.
#[derive(Clone, Copy, PartialEq)]
enum Want {
    /// More bytes or another name.
    Space,
    /// What is there to be durable.
    Sync,
    /// A name to be gone.
    Less,
}

static CONFIG: OnceLock<Option<Config>> = OnceLock::new();

/// Read when the library is loaded: a lazy start could be caught half-way by a fork.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    CONFIG.get_or_init(configure);
}

fn variable(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: the name ends with NUL, and nobody changes the environment while a library loads.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: what getenv gives is NULL or a string that ends with NUL.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes().to_vec())
}

fn configure() -> Option<Config> {
    let root = variable(c"CREWLOG_SHIM_ROOT")?;
    let dir = variable(c"CREWLOG_SHIM_DIR")?;
    let fault = variable(c"CREWLOG_SHIM_FAULT").and_then(|text| {
        let text = String::from_utf8(text).ok()?;
        let (call, mode) = text.split_once(',')?;
        let mode = match mode {
            "eio" => Mode::Once,
            "dead" => Mode::Dead,
            "full" => Mode::Full,
            "short" => Mode::Short,
            "kill" => Mode::Kill,
            _ => return None,
        };
        Some((call.parse().ok()?, mode))
    });
    Some(Config {
        root,
        trace: CString::new([&dir[..], b"/trace"].concat()).ok()?,
        calls: CString::new([&dir[..], b"/calls"].concat()).ok()?,
        fault,
    })
}

/// The path of an open file, if it is one under the root that still has a name.
fn path_of(fd: c_int) -> Option<Vec<u8>> {
    let config = CONFIG.get()?.as_ref()?;
    let path = any_path_of(fd)?;
    let below = path.strip_prefix(&config.root[..])?;
    (below.is_empty() || below[0] == b'/').then_some(path)
}

fn any_path_of(fd: c_int) -> Option<Vec<u8>> {
    let link = match fd {
        libc::AT_FDCWD => CString::new("/proc/self/cwd"),
        fd => CString::new(format!("/proc/self/fd/{fd}")),
    }
    .ok()?;
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    let (at, size) = (path.as_mut_ptr(), path.len());
    let length = sys!(SYS_readlinkat, libc::AT_FDCWD, link.as_ptr(), at, size);
    path.truncate(usize::try_from(length).ok()?);
    Some(path)
}

/// The canonical form of a name in a directory, if that is under the root.
fn path_at(dir: c_int, name: *const c_char) -> Option<Vec<u8>> {
    let config = CONFIG.get()?.as_ref()?;
    if name.is_null() {
        return None;
    }
    // SAFETY: a path given to the system ends with NUL.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    let trimmed = name.iter().rposition(|byte| *byte != b'/')? + 1;
    let name = &name[..trimmed];
    let (parent, last) = match name.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (&b"/"[..], &name[1..]),
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (&b"."[..], name),
    };
    let parent = CString::new(parent).ok()?;
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let opened = sys!(SYS_openat, dir, parent.as_ptr(), flags, 0);
    let opened = c_int::try_from(opened).ok().filter(|fd| *fd >= 0)?;
    let parent = any_path_of(opened);
    sys!(SYS_close, opened);
    let path = [&parent?[..], b"/", last].concat();
    let below = path.strip_prefix(&config.root[..])?;
    below.starts_with(b"/").then_some(path)
}

/// Serial number and size of a file. Zeros when there is none.
fn look_at(path: &[u8]) -> (u64, u64) {
    let Ok(path) = CString::new(path) else {
        return (0, 0);
    };
    // SAFETY: plain numbers, for which zeros are as good as any.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    let found = sys!(
        SYS_newfstatat,
        libc::AT_FDCWD,
        path.as_ptr(),
        &mut stat,
        flags
    );
    match found {
        0 => (stat.st_ino, stat.st_size as u64),
        _ => (0, 0),
    }
}

fn look_in(fd: c_int) -> (u64, u64) {
    // SAFETY: as above.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    match sys!(
        SYS_newfstatat,
        fd,
        c"".as_ptr(),
        &mut stat,
        libc::AT_EMPTY_PATH
    ) {
        0 => (stat.st_ino, stat.st_size as u64),
        _ => (0, 0),
    }
}

/// What to do with a call.
enum Verdict {
    Pass,
    Halve,
    Fail(c_int),
}

/// Makes one call at a time, over all threads and processes, and puts it into the trace.
///
/// `call` is told whether to halve what it writes; `record` makes the record of a call that
/// succeeded.
fn traced(
    want: Want,
    call: impl FnOnce(bool) -> c_long,
    record: impl FnOnce(c_long) -> Vec<u8>,
) -> c_long {
    let Some(config) = CONFIG.get().and_then(Option::as_ref) else {
        return call(false);
    };
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    let trace = sys!(
        SYS_openat,
        libc::AT_FDCWD,
        config.trace.as_ptr(),
        flags,
        0o600
    );
    // Freed when the file is closed, also by a kill.
    while sys!(SYS_flock, trace, libc::LOCK_EX) < 0 {}
    let verdict = verdict(config, want);
    let (result, errno) = match verdict {
        Verdict::Fail(errno) => (-1, errno),
        Verdict::Pass => (call(false), last_errno()),
        Verdict::Halve => (call(true), last_errno()),
    };
    if result >= 0 {
        let body = record(result);
        let bytes = [&(body.len() as u32).to_le_bytes()[..], &body].concat();
        sys!(SYS_write, trace, bytes.as_ptr(), bytes.len());
    }
    sys!(SYS_close, trace);
    // SAFETY: the pointer is this thread's own.
    unsafe { *libc::__errno_location() = errno };
    result
}

fn last_errno() -> c_int {
    // SAFETY: the pointer is this thread's own.
    unsafe { *libc::__errno_location() }
}

/// Counts the call. Under the lock of the trace.
fn verdict(config: &Config, want: Want) -> Verdict {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC;
    let calls = sys!(
        SYS_openat,
        libc::AT_FDCWD,
        config.calls.as_ptr(),
        flags,
        0o600
    );
    let mut count = 0_u64.to_le_bytes();
    sys!(SYS_pread64, calls, count.as_mut_ptr(), count.len(), 0);
    let number = u64::from_le_bytes(count) + 1;
    let count = number.to_le_bytes();
    sys!(SYS_pwrite64, calls, count.as_ptr(), count.len(), 0);
    sys!(SYS_close, calls);
    let hit = config.fault.map(|(at, mode)| (mode, number.cmp(&at)));
    match hit {
        Some((Mode::Once, std::cmp::Ordering::Equal)) => Verdict::Fail(libc::EIO),
        Some((Mode::Short, std::cmp::Ordering::Equal)) => Verdict::Halve,
        Some((Mode::Kill, std::cmp::Ordering::Equal)) => {
            sys!(SYS_kill, libc::getpid(), libc::SIGKILL);
            Verdict::Fail(libc::EINTR)
        }
        Some((Mode::Dead, order)) if order.is_ge() => Verdict::Fail(libc::EIO),
        Some((Mode::Full, order)) if order.is_ge() && want == Want::Space => {
            Verdict::Fail(libc::ENOSPC)
        }
        _ => Verdict::Pass,
    }
}

/// One record: its kind, its numbers, its texts with their lengths before them.
fn body(kind: u8, numbers: &[u64], texts: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![kind];
    numbers
        .iter()
        .for_each(|number| body.extend(number.to_le_bytes()));
    for text in texts {
        body.extend((text.len() as u32).to_le_bytes());
        body.extend(*text);
    }
    body
}

const WRITE: u8 = 1;
const LENGTH: u8 = 2;
const CREATE: u8 = 3;
const MAKE_DIR: u8 = 4;
const LINK: u8 = 5;
const RENAME: u8 = 6;
const REMOVE: u8 = 7;
const SYNC: u8 = 8;
const FLUSH: u8 = 9;
const SYMLINK: u8 = 10;

/// The function of that name in the next library.
fn next_function(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends with NUL; the C library, which comes next, has all that are asked for.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}
