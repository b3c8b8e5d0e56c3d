//! What the kernel says of processes and mounts, with names that anybody may have chosen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crewlog::protocol::identity::parse_stat;
use crewlog::queue::mounts::mount_of;

use super::take::Take;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    if take.byte() % 2 == 0 {
        stat(take.0);
    } else {
        mounts(take.sized(), take.0);
    }
}

/// A program's name cannot change what is read of its process.
fn stat(name: &[u8]) {
    let name = String::from_utf8_lossy(name);
    parse_stat(&name);
    let text = format!("7 ({name}) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n");
    assert_eq!(parse_stat(&text), Some(('S', 4242)));
}

/// A mount point is found under its name, among any other lines.
fn mounts(name: &[u8], others: &[u8]) {
    let path = Path::new(OsStr::from_bytes(name));
    if let Some(mount) = mount_of(others, path) {
        assert!(path.starts_with(&mount.point));
    }
    let name: Vec<u8> = name.iter().copied().filter(|byte| *byte != 0).collect();
    let path = Path::new("/").join(OsStr::from_bytes(&name));
    let mut text = others.to_vec();
    text.extend_from_slice(b"\n90 22 0:45 / ");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend(format!("\\{byte:03o}").bytes()),
            other => text.push(*other),
        }
    }
    text.extend_from_slice(b" rw shared:1 - nfs4 server:/x rw\n");
    let mount = mount_of(&text, &path.join("below")).expect("it is there");
    let deeper = mount.point.components().count() > path.components().count();
    assert!(deeper || mount.is_network(), "{mount:?}");
}
