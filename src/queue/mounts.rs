//! Recognises network file systems. Locks there are advisory at best, and a sync may do nothing, so
//! two schedulers could write one log.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::Error;

/// File systems whose files are on another machine, by the kernel's names of their types.
const NETWORK: [&str; 22] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse.ceph",
    "fuse.cephfs",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "fuse.vmhgfs-fuse",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
];

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Directory on which the file system is mounted.
    pub point: PathBuf,
    /// The kernel's name of the file system's type.
    pub kind: String,
}

impl Mount {
    /// True if its files are on another machine, or behind a hypervisor's file sharing.
    pub fn is_network(&self) -> bool {
        NETWORK.contains(&self.kind.as_str())
    }
}

/// The mount that contains `path`, which is absolute and without symbolic links: of the lines of a
/// `mountinfo` text, the one with the longest matching mount point, and among equals the last,
/// which hides the others. Invalid lines are skipped.
pub fn mount_of(mountinfo: &[u8], path: &Path) -> Option<Mount> {
    let lines = mountinfo.split(|&byte| byte == b'\n');
    let fitting = lines
        .filter_map(parse_line)
        .filter(|mount| path.starts_with(&mount.point));
    fitting.max_by_key(|mount| mount.point.components().count())
}

/// `36 35 98:0 /root /mount/point options optional… - type source options`.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let point = fields.nth(4)?;
    let kind = fields.skip_while(|&field| field != b"-").nth(1)?;
    Some(Mount {
        point: PathBuf::from(std::ffi::OsString::from_vec(unescape(point))),
        kind: OsStr::from_bytes(&unescape(kind)).to_str()?.to_owned(),
    })
}

/// The kernel writes blanks, tabs, line ends and backslashes as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let (byte, next) = match rest {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                next @ ..,
            ] => (((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), next),
            _ => (*first, after),
        };
        plain.push(byte);
        rest = next;
    }
    plain
}

/// Refuses `path`, which need not exist yet, if it is on a network file system.
pub fn refuse_network(path: &Path) -> Result<(), Error> {
    let real = real_path(path)?;
    let source = Path::new("/proc/self/mountinfo");
    let mountinfo = std::fs::read(source).map_err(Error::io("read", source))?;
    match mount_of(&mountinfo, &real) {
        Some(mount) if mount.is_network() => Err(Error::NetworkFilesystem {
            path: path.to_owned(),
            mount: mount.point,
            kind: mount.kind,
        }),
        _ => Ok(()),
    }
}

/// The absolute path of the nearest existing parent, without symbolic links: a new directory will
/// be on the same file system.
fn real_path(path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path).map_err(Error::io("resolve", path))?;
    let existing = absolute.ancestors().find(|part| part.exists());
    let existing = existing.unwrap_or(Path::new("/"));
    existing
        .canonicalize()
        .map_err(Error::io("resolve", existing))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = r"22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
23 22 0:21 / /proc rw shared:5 - proc proc rw
90 22 0:45 / /home rw shared:40 master:3 - nfs4 server:/home rw,vers=4.2
91 90 0:46 / /home/me/local rw - xfs /dev/sdb1 rw
92 22 0:47 / /mnt/two\040words rw - fuse.sshfs me@host: rw
93 22 0:48 / /mnt/back\134slash rw - 9p share rw
94 22 0:49 / /over rw - ext4 /dev/sdc1 rw
95 94 0:50 / /over rw - cifs //server/share rw
not a mount
96 22 0:51 / /ho rw - virtiofs tag rw
97 22 0:52 / /fuse rw - fuse.portal portal rw
";

    #[test]
    fn longest_prefix_decides() {
        for (path, kind, network) in [
            ("/", "ext4", false),
            ("/var/lib/crewlog", "ext4", false),
            ("/home", "nfs4", true),
            ("/home/me/.crewlog", "nfs4", true),
            ("/home/me/local/project", "xfs", false),
            ("/home/me/localized", "nfs4", true),
            ("/homes/me", "ext4", false),
            ("/ho/x", "virtiofs", true),
            ("/mnt/two words/x", "fuse.sshfs", true),
            ("/mnt/two", "ext4", false),
            (r"/mnt/back\slash/x", "9p", true),
            ("/over/x", "cifs", true),
            ("/fuse/x", "fuse.portal", false),
        ] {
            let mount = mount_of(MOUNTINFO.as_bytes(), Path::new(path)).unwrap();
            assert_eq!(
                (mount.kind.as_str(), mount.is_network()),
                (kind, network),
                "{path}"
            );
        }
        assert_eq!(mount_of(b"", Path::new("/")), None);
        assert_eq!(
            mount_of(b"\n1 2 3\n1 2 3 / /mnt rw\n", Path::new("/mnt")),
            None
        );
    }

    #[test]
    fn a_directory_of_a_test_is_local_and_the_error_names_the_mount() {
        let dir = tempfile::tempdir().unwrap();
        refuse_network(&dir.path().join("not/made/yet")).unwrap();
        let error = Error::NetworkFilesystem {
            path: "/home/me/x".into(),
            mount: "/home".into(),
            kind: "nfs4".into(),
        };
        let text = error.to_string();
        for part in ["/home/me/x", "nfs4", "mounted on /home"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
