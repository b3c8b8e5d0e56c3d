//! The mounts of a cage. They are created in the tree's own mount namespace, by an init that still
//! has the right to mount; Landlock then forbids every further change.
//!
//! The order matters: what will be visible again below a cover is opened first, then everything
//! becomes read-only, then places are covered and mounted again, parents before children.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
    open_tree,
};

use super::{Access, Cage, Resolved, lists};

/// The file that covers files: empty, in the attempt's own `/dev`.
const EMPTY: &str = "/dev/.hidden";

/// A mount to create at a path.
struct Step {
    path: PathBuf,
    what: What,
}

enum What {
    /// An empty directory, which stays writable for mount points until the end.
    CoverDirectory,
    CoverFile,
    /// What was there, or an overlay of it.
    PutBack {
        mount: OwnedFd,
        file: bool,
    },
}

/// Creates the mounts. After an error some of them may exist, and the program must not be started.
/// Changes `places` for caches without an overlay.
pub(super) fn build(cage: &Cage, places: &mut [Resolved]) -> Result<(), String> {
    // Relative paths of the program use its working directory, which is on the old mounts.
    let here = std::env::current_dir().map_err(|error| format!("working directory: {error}"))?;
    let mut steps = hold(cage, places)?;
    replace_tmp(cage, &mut steps)?;
    steps.sort_by_key(|step| step.path.components().count());
    let devices = hold_devices();
    set_path(
        Path::new("/"),
        libc::MOUNT_ATTR_RDONLY,
        0,
        libc::AT_RECURSIVE,
    )
    .map_err(|error| format!("making everything read-only: {error}"))?;
    make_dev(cage, devices).map_err(|error| format!("/dev: {error}"))?;
    let mut covers = vec![PathBuf::from("/dev")];
    for step in steps {
        let path = step.path.clone();
        apply(step, &mut covers).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    for cover in covers {
        // Except what was mounted again below it.
        set_path(&cover, libc::MOUNT_ATTR_RDONLY, 0, 0)
            .map_err(|error| format!("{}: {error}", cover.display()))?;
    }
    open_proc().map_err(|error| format!("/proc: {error}"))?;
    std::env::set_current_dir(&here).map_err(|error| format!("{}: {error}", here.display()))?;
    Ok(())
}

/// The program's `/tmp` and `/var/tmp` are one directory of the attempt's.
fn replace_tmp(cage: &Cage, steps: &mut Vec<Step>) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", cage.tmp.display());
    for path in ["/tmp", "/var/tmp"] {
        let Ok(path) = Path::new(path).canonicalize() else {
            continue;
        };
        let mount = clone_of(&cage.tmp).map_err(failed)?;
        set(&mount, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV, 0).map_err(failed)?;
        steps.retain(|step| step.path != path);
        let what = What::PutBack { mount, file: false };
        steps.push(Step { path, what });
    }
    Ok(())
}

/// Opens what will be mounted again, while it is still visible. A cache that can have no overlay
/// becomes readable.
fn hold(cage: &Cage, places: &mut [Resolved]) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut overlays: Vec<PathBuf> = Vec::new();
    for (number, place) in places.iter_mut().enumerate() {
        let failed = |error: io::Error| format!("{}: {error}", place.path.display());
        let mut what = match place.access {
            Access::Hide if place.file => Some(What::CoverFile),
            Access::Hide => Some(What::CoverDirectory),
            _ => None,
        };
        if place.access == Access::Cache && !place.file {
            let scratch = cage.scratch.join(number.to_string());
            let file = false;
            what = overlay(&place.path, &scratch)
                .ok()
                .map(|mount| What::PutBack { mount, file });
            if what.is_some() {
                overlays.push(place.path.clone());
            } else {
                place.access = Access::Read;
            }
        }
        let in_overlay = overlays.iter().any(|one| place.path.starts_with(one));
        if place.access == Access::SharedCache && in_overlay {
            continue;
        }
        let what = match what {
            Some(what) => what,
            None => {
                let mount = clone_of(&place.path).map_err(failed)?;
                limit(&mount, &place.path, place.access).map_err(failed)?;
                let file = place.file;
                What::PutBack { mount, file }
            }
        };
        let path = place.path.clone();
        steps.push(Step { path, what });
    }
    Ok(steps)
}

/// Sets what a mount allows.
fn limit(mount: &OwnedFd, path: &Path, access: Access) -> io::Result<()> {
    let mut flags = libc::MOUNT_ATTR_NOSUID;
    if access == Access::Read {
        // Programs of the machine may be set-uid; without new privileges they run as the same user.
        flags = libc::MOUNT_ATTR_RDONLY;
    } else if !path.starts_with("/dev") {
        flags |= libc::MOUNT_ATTR_NODEV;
    }
    set(mount, flags, 0)
}

fn apply(step: Step, covers: &mut Vec<PathBuf>) -> io::Result<()> {
    match step.what {
        What::CoverDirectory => {
            if step.path.symlink_metadata().is_err() {
                // It is below a cover already, so nobody sees it.
                return Ok(());
            }
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mount(
                "tmpfs",
                &step.path,
                "tmpfs",
                flags,
                Some(c"mode=0755,size=1m"),
            )?;
            covers.push(step.path);
            Ok(())
        }
        What::CoverFile => {
            if step.path.symlink_metadata().is_err() {
                return Ok(());
            }
            let empty = clone_of(Path::new(EMPTY))?;
            attach(&empty, &step.path)
        }
        What::PutBack { mount, file } => {
            make_mount_point(&step.path, file)?;
            attach(&mount, &step.path)
        }
    }
}

/// Below a cover, mount points must be created; elsewhere they exist.
fn make_mount_point(path: &Path, file: bool) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let directory = match (file, path.parent()) {
        (true, Some(parent)) => parent,
        _ => path,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)?;
    if file {
        File::create(path)?;
    }
    Ok(())
}

/// A detached copy of what is at `path`, with the mounts below it.
fn clone_of(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, path, flags)?)
}

fn attach(mount: &OwnedFd, path: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(mount, "", CWD, path, flags)?)
}

/// A detached overlay: reads from `lower`, writes into `scratch`.
fn overlay(lower: &Path, scratch: &Path) -> io::Result<OwnedFd> {
    let (upper, work) = (scratch.join("upper"), scratch.join("work"));
    for directory in [&upper, &work] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    // The overlay's own directory has the mode of the cache.
    let mode = lower.metadata()?.permissions().mode();
    std::fs::set_permissions(&upper, Permissions::from_mode(mode & 0o777))?;
    let hold = |path: &Path| open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let held = [hold(lower)?, hold(&upper)?, hold(&work)?];
    // By descriptor, because these options would split a path at commas and colons.
    let path = |held: &OwnedFd| format!("/proc/self/fd/{}", held.as_raw_fd());
    let file_system = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, held) in ["lowerdir", "upperdir", "workdir"].iter().zip(&held) {
        fsconfig_set_string(file_system.as_fd(), *key, path(held))?;
    }
    if !rustix::process::geteuid().is_root() {
        fsconfig_set_flag(file_system.as_fd(), "userxattr")?;
    }
    fsconfig_create(file_system.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = fsmount(
        file_system.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?;
    // The kernel creates it without any rights, but removing the attempt requires reading it.
    let inner = work.join("work");
    let _ = std::fs::set_permissions(inner, Permissions::from_mode(0o700));
    Ok(mount)
}

/// The plain devices that exist.
fn hold_devices() -> Vec<(&'static str, OwnedFd)> {
    let held = lists::DEVICES.iter().filter_map(|name| {
        let mount = clone_of(&Path::new("/dev").join(name)).ok()?;
        Some((*name, mount))
    });
    held.collect()
}

/// Creates the attempt's own `/dev`.
fn make_dev(cage: &Cage, devices: Vec<(&'static str, OwnedFd)>) -> io::Result<()> {
    let dev = Path::new("/dev");
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", dev, "tmpfs", flags, Some(c"mode=0755,size=1m"))?;
    for (name, mount) in devices {
        let path = dev.join(name);
        File::create(&path)?;
        attach(&mount, &path)?;
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(link))?;
    }
    for directory in ["pts", "shm"] {
        DirBuilder::new().mode(0o755).create(dev.join(directory))?;
    }
    // Programs that need a terminal of their own fail without one, and get no other.
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = c"newinstance,ptmxmode=0666,mode=620";
    if mount("devpts", "/dev/pts", "devpts", flags, Some(options)).is_ok() {
        symlink("pts/ptmx", dev.join("ptmx"))?;
    }
    let size = match cage.limits.memory_bytes {
        0 => "mode=1777".to_owned(),
        bytes => format!("mode=1777,size={}", bytes / 2),
    };
    let size = std::ffi::CString::new(size)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", "/dev/shm", "tmpfs", flags, Some(size.as_c_str()))?;
    File::create(EMPTY)?;
    std::fs::set_permissions(EMPTY, Permissions::from_mode(0o444))
}

/// Programs write below `/proc/self`; what would change the machine stays read-only.
fn open_proc() -> io::Result<()> {
    set_path(Path::new("/proc"), 0, libc::MOUNT_ATTR_RDONLY, 0)?;
    for name in lists::PROC_READ_ONLY {
        let path = Path::new("/proc").join(name);
        if path.exists() {
            let mount = clone_of(&path)?;
            set(&mount, libc::MOUNT_ATTR_RDONLY, 0)?;
            attach(&mount, &path)?;
        }
    }
    Ok(())
}

fn set(mount: &OwnedFd, on: u64, off: u64) -> io::Result<()> {
    let deep = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    set_attributes(mount.as_raw_fd(), c"", on, off, deep)
}

fn set_path(path: &Path, on: u64, off: u64, flags: i32) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    set_attributes(libc::AT_FDCWD, &path, on, off, flags)
}

/// Sets and clears mount attributes, with `mount_setattr(2)`.
fn set_attributes(at: i32, path: &std::ffi::CStr, on: u64, off: u64, flags: i32) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: on,
        attr_clr: off,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path ends with a zero, and the kernel reads no more of the attributes than the
    // size says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            &raw const attributes,
            std::mem::size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
