//! Calls that make, change or remove names.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint};

use libc::{FILE, mode_t};

use super::*;

fn opened(dir: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let call = |_| sys!(SYS_openat, dir, name, flags, mode);
    let changes = flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
    let Some(path) = changes.then(|| path_at(dir, name)).flatten() else {
        return call(false) as c_int;
    };
    let (before, size) = look_at(&path);
    if before != 0 && (flags & libc::O_TRUNC == 0 || size == 0) {
        return call(false) as c_int;
    }
    traced(Want::Space, call, |fd| match before {
        0 => body(CREATE, &[look_in(fd as c_int).0], &[&path]),
        _ => body(LENGTH, &[before, 0], &[]),
    }) as c_int
}

/// In C the mode may be left out where nothing is made; then its register holds anything, and
/// the system does not look at it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opened(libc::AT_FDCWD, name, flags, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opened(libc::AT_FDCWD, name, flags, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(
    dir: c_int,
    name: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    opened(dir, name, flags, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(
    dir: c_int,
    name: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    opened(dir, name, flags, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn creat64(name: *const c_char, mode: mode_t) -> c_int {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    opened(libc::AT_FDCWD, name, flags, mode)
}

/// A change of names, of which at least one is under the root.
fn named(
    want: Want,
    paths: [Option<Vec<u8>>; 2],
    call: impl FnOnce(bool) -> c_long,
    record: impl FnOnce([&[u8]; 2]) -> Vec<u8>,
) -> c_int {
    let [first, second] = &paths;
    if first.is_none() && second.is_none() {
        return call(false) as c_int;
    }
    let paths = [first.as_deref(), second.as_deref()].map(Option::unwrap_or_default);
    traced(want, call, |_| record(paths)) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat2(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    let paths = [path_at(from_dir, from), path_at(to_dir, to)];
    let call = |_| sys!(SYS_renameat2, from_dir, from, to_dir, to, flags);
    named(Want::Space, paths, call, |paths| body(RENAME, &[], &paths))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { renameat2(from_dir, from, to_dir, to, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn linkat(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    let paths = [path_at(from_dir, from), path_at(to_dir, to)];
    let call = |_| sys!(SYS_linkat, from_dir, from, to_dir, to, flags);
    named(Want::Space, paths, call, |paths| body(LINK, &[], &paths))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { linkat(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn symlink(target: *const c_char, name: *const c_char) -> c_int {
    let call = |_| sys!(SYS_symlinkat, target, libc::AT_FDCWD, name);
    let paths = [path_at(libc::AT_FDCWD, name), None];
    named(Want::Space, paths, call, |[path, _]| {
        // SAFETY: the system has just read it.
        let target = unsafe { CStr::from_ptr(target) }.to_bytes();
        body(SYMLINK, &[look_at(path).0], &[path, target])
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(dir: c_int, name: *const c_char, flags: c_int) -> c_int {
    let call = |_| sys!(SYS_unlinkat, dir, name, flags);
    let paths = [path_at(dir, name), None];
    named(Want::Less, paths, call, |[path, _]| {
        body(REMOVE, &[], &[path])
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { unlinkat(libc::AT_FDCWD, name, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(name: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { unlinkat(libc::AT_FDCWD, name, libc::AT_REMOVEDIR) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdirat(dir: c_int, name: *const c_char, mode: mode_t) -> c_int {
    let call = |_| sys!(SYS_mkdirat, dir, name, mode);
    let paths = [path_at(dir, name), None];
    named(Want::Space, paths, call, |[path, _]| {
        body(MAKE_DIR, &[look_at(path).0], &[path])
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(name: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { mkdirat(libc::AT_FDCWD, name, mode) }
}

type OfNames = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut FILE;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen64(name: *const c_char, how: *const c_char) -> *mut FILE {
    // SAFETY: the function of that name has this very shape.
    let next: OfNames = unsafe { std::mem::transmute(next_function(c"fopen64")) };
    // SAFETY: the caller's contract.
    let begins = unsafe { CStr::from_ptr(how) }.to_bytes().first();
    let path = path_at(libc::AT_FDCWD, name);
    let (Some(path), Some(b'w' | b'a')) = (path, begins) else {
        // SAFETY: the caller's contract.
        return unsafe { next(name, how) };
    };
    let (before, _) = look_at(&path);
    let mut stream = std::ptr::null_mut();
    let call = |_| {
        // SAFETY: the caller's contract.
        stream = unsafe { next(name, how) };
        c_long::from(!stream.is_null()) - 1
    };
    traced(Want::Space, call, |_| match before {
        0 => body(CREATE, &[look_at(&path).0], &[&path]),
        _ => body(LENGTH, &[before, look_at(&path).1], &[]),
    });
    stream
}
