//! Calls that change or sync the bytes of a file.

use std::ffi::{CString, c_int, c_long, c_uint, c_void};

use libc::{FILE, iovec, off_t, size_t, ssize_t};

use super::*;

fn written(
    fd: c_int,
    offset: Option<off_t>,
    count: usize,
    call: impl FnOnce(usize) -> c_long,
) -> c_long {
    if path_of(fd).is_none() {
        return call(count);
    }
    let record = |done: c_long| {
        let done = done as usize;
        // Where it went is known from where the position is now; at the end, when appending.
        let at = offset.unwrap_or_else(|| sys!(SYS_lseek, fd, 0, libc::SEEK_CUR) - done as off_t);
        let bytes = read_back(fd, at, done);
        body(WRITE, &[look_in(fd).0, at as u64], &[&bytes])
    };
    let halved = |halve: bool| call(if halve { count.div_ceil(2) } else { count });
    traced(Want::Space, halved, record)
}

/// What was just written, read through a handle of its own: this one may be for writing only.
fn read_back(fd: c_int, at: off_t, count: usize) -> Vec<u8> {
    let mut bytes = vec![0_u8; count];
    let link = CString::new(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let reader = sys!(SYS_openat, libc::AT_FDCWD, link.as_ptr(), flags, 0);
    let mut done = 0;
    while done < count {
        let (to, left) = (bytes[done..].as_mut_ptr(), count - done);
        match sys!(SYS_pread64, reader, to, left, at + done as off_t) {
            more if more > 0 => done += more as usize,
            _ => break,
        }
    }
    sys!(SYS_close, reader);
    bytes.truncate(done);
    bytes
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, from: *const c_void, count: size_t) -> ssize_t {
    written(fd, None, count, |count| sys!(SYS_write, fd, from, count)) as ssize_t
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(
    fd: c_int,
    from: *const c_void,
    count: size_t,
    at: off_t,
) -> ssize_t {
    written(fd, Some(at), count, |count| {
        sys!(SYS_pwrite64, fd, from, count, at)
    }) as ssize_t
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    fd: c_int,
    from: *const c_void,
    count: size_t,
    at: off_t,
) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { pwrite(fd, from, count, at) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if path_of(fd).is_none() {
        return sys!(SYS_writev, fd, parts, count) as ssize_t;
    }
    // Fewer parts are a short write, as is allowed at any time.
    let parts_of = |left: usize| sys!(SYS_writev, fd, parts, left as c_int);
    written(fd, None, count as usize, parts_of) as ssize_t
}

/// Nobody has to be able to do these; whoever asks falls back to reading and writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_at: *mut off_t,
    to: c_int,
    to_at: *mut off_t,
    count: size_t,
    flags: c_uint,
) -> ssize_t {
    if path_of(to).is_none() {
        return sys!(SYS_copy_file_range, from, from_at, to, to_at, count, flags) as ssize_t;
    }
    // SAFETY: the pointer is this thread's own.
    unsafe { *libc::__errno_location() = libc::EXDEV };
    -1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(
    to: c_int,
    from: c_int,
    at: *mut off_t,
    count: size_t,
) -> ssize_t {
    if path_of(to).is_none() {
        return sys!(SYS_sendfile, to, from, at, count) as ssize_t;
    }
    // SAFETY: the pointer is this thread's own.
    unsafe { *libc::__errno_location() = libc::EINVAL };
    -1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    let call = |_| sys!(SYS_ftruncate, fd, length);
    if path_of(fd).is_none() {
        return call(false) as c_int;
    }
    traced(Want::Space, call, |_| {
        body(LENGTH, &[look_in(fd).0, length as u64], &[])
    }) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { ftruncate(fd, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, at: off_t, count: off_t) -> c_int {
    let call = |_| sys!(SYS_fallocate, fd, mode, at, count);
    if path_of(fd).is_none() {
        return call(false) as c_int;
    }
    // With a mode, sled would punch holes; it does not in the build that we use.
    traced(Want::Space, call, |_| {
        let (inode, size) = look_in(fd);
        body(LENGTH, &[inode, size], &[])
    }) as c_int
}

fn synced(fd: c_int, call: impl FnOnce(bool) -> c_long, kind: u8) -> c_int {
    if path_of(fd).is_none() {
        return call(false) as c_int;
    }
    traced(Want::Sync, call, |_| body(kind, &[look_in(fd).0], &[])) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    synced(fd, |_| sys!(SYS_fsync, fd), SYNC)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    synced(fd, |_| sys!(SYS_fdatasync, fd), SYNC)
}

/// Hands pages to the device, in whose cache they may stay: no promise, as its manual says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(
    fd: c_int,
    at: off_t,
    count: off_t,
    flags: c_uint,
) -> c_int {
    synced(
        fd,
        |_| sys!(SYS_sync_file_range, fd, at, count, flags),
        FLUSH,
    )
}

type OfStream = unsafe extern "C" fn(*mut FILE) -> c_int;

/// C's streams write from inside the C library, where nobody can stand in between: what came to
/// the file unseen is written down when the stream is flushed or closed.
fn flushed(stream: *mut FILE) -> c_int {
    // SAFETY: the function of that name has this very shape.
    let next: OfStream = unsafe { std::mem::transmute(next_function(c"fflush")) };
    // SAFETY: the caller's contract; no stream means all of them.
    let flush = |_| unsafe { c_long::from(next(stream)) };
    if stream.is_null() {
        return flush(false) as c_int;
    }
    // SAFETY: the stream is open, and F_GETFL only asks.
    let (fd, access) = unsafe {
        let fd = libc::fileno(stream);
        (fd, libc::fcntl(fd, libc::F_GETFL))
    };
    if access < 0 || access & libc::O_ACCMODE == libc::O_RDONLY || path_of(fd).is_none() {
        return flush(false) as c_int;
    }
    traced(Want::Space, flush, |_| {
        let (inode, size) = look_in(fd);
        body(WRITE, &[inode, 0], &[&read_back(fd, 0, size as usize)])
    }) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fflush(stream: *mut FILE) -> c_int {
    flushed(stream)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(stream: *mut FILE) -> c_int {
    let (flushed, errno) = (flushed(stream), last_errno());
    // SAFETY: the function of that name has this very shape.
    let next: OfStream = unsafe { std::mem::transmute(next_function(c"fclose")) };
    // SAFETY: the caller's contract.
    let closed = unsafe { next(stream) };
    if flushed < 0 {
        // SAFETY: the pointer is this thread's own.
        unsafe { *libc::__errno_location() = errno };
        return flushed;
    }
    closed
}
