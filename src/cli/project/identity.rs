//! A project's identity, which does not depend on its path: a file in its data directory, and one
//! next to its directory for attempts, which link the two.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name of the file in the data directory.
pub const IDENTITY: &str = "identity";
/// Name of the file next to a project's directory for attempts.
pub const OWNER: &str = "owner";

const MAGIC: &str = "crewlog-project-1";

/// Longest file that is read; Crewlog writes shorter ones.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Earlier directories for attempts that are remembered. After this many changes, the oldest ones
/// are long empty.
const BEFORE_MAX: usize = 8;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A ULID that is unique to this project, even among copies.
    pub id: String,
    /// The data directory for which the file was written.
    pub data: PathBuf,
    /// Directory for attempts; `None` before the first run.
    pub attempts: Option<PathBuf>,
    /// Earlier directories for attempts, which may have leftovers.
    pub before: Vec<PathBuf>,
    /// True for a copy of a project that still exists: processes in its log may belong to the original.
    pub copied: bool,
}

impl Identity {
    /// The identity of a new project.
    pub fn new(data: &Path) -> Self {
        Self {
            id: ulid::Ulid::generate().to_string(),
            data: data.to_owned(),
            attempts: None,
            before: Vec::new(),
            copied: false,
        }
    }

    /// Reads the file; `None` if it is missing or incomplete.
    pub fn read(file: &Path) -> io::Result<Option<Self>> {
        let bytes = match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => {
                use io::Read;
                let mut bytes = Vec::new();
                opened?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
                bytes
            }
        };
        Ok(Self::decode(&bytes))
    }

    /// Writes and syncs the file atomically.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let unfinished = file.with_extension(format!("{}.unfinished", std::process::id()));
        let mut out = OpenOptions::new();
        let out = out.write(true).create(true).truncate(true).mode(0o600);
        let mut out = out.open(&unfinished)?;
        let written = out.write_all(&self.encode()).and_then(|()| out.sync_all());
        let renamed = written.and_then(|()| fs::rename(&unfinished, file));
        if renamed.is_err() {
            // If this fails, the next start removes it.
            let _ = fs::remove_file(&unfinished);
        }
        renamed?;
        file.parent()
            .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }

    /// Sets a new directory for attempts and remembers the current one.
    pub fn move_attempts(&mut self, to: PathBuf) {
        self.before.retain(|before| *before != to);
        if let Some(before) = self.attempts.replace(to) {
            self.before.push(before);
        }
        let surplus = self.before.len().saturating_sub(BEFORE_MAX);
        self.before.drain(..surplus);
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = format!("{MAGIC}\nid {}\n", self.id).into_bytes();
        let mut line = |name: &str, path: &Path| {
            out.extend(name.as_bytes());
            out.push(b' ');
            out.extend(escaped(path.as_os_str().as_bytes()));
            out.push(b'\n');
        };
        line("data", &self.data);
        self.before.iter().for_each(|path| line("before", path));
        if let Some(path) = &self.attempts {
            line("attempts", path);
        }
        if self.copied {
            out.extend(b"copied yes\n");
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        if lines.next()? != MAGIC.as_bytes() {
            return None;
        }
        let (mut id, mut data, mut attempts, mut before) = (None, None, None, Vec::new());
        let mut copied = false;
        for line in lines {
            let at = line.iter().position(|byte| *byte == b' ');
            let Some((name, value)) =
                at.and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)))
            else {
                continue;
            };
            let path = || PathBuf::from(OsString::from_vec(plain(value)));
            match name {
                b"id" => id = std::str::from_utf8(value).ok().map(str::to_owned),
                b"data" => data = Some(path()),
                b"attempts" => attempts = Some(path()),
                b"before" => before.push(path()),
                b"copied" => copied = true,
                // A later version may add lines.
                _ => {}
            }
        }
        Some(Self {
            id: id.filter(|id| !id.is_empty())?,
            data: data?,
            attempts,
            before,
            copied,
        })
    }
}

/// Escapes a path for one line: `\n` is a line feed and `\\` a backslash.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\n' => out.extend(b"\\n"),
            b'\\' => out.extend(b"\\\\"),
            other => out.push(*other),
        }
    }
    out
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(
                bytes
                    .next()
                    .map(|next| if *next == b'n' { b'\n' } else { *next }),
            ),
            other => out.push(*other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(IDENTITY);
        assert_eq!(Identity::read(&file).expect("readable"), None);
        let odd = OsString::from_vec(b"a \\n b\n\xff\\".to_vec());
        let mut written = Identity::new(Path::new(&odd));
        for at in 0..12 {
            written.move_attempts(PathBuf::from(format!("/x/{at}")).join(&odd));
        }
        written.write(&file).expect("written");
        let read = Identity::read(&file).expect("readable");
        assert_eq!(read.as_ref(), Some(&written));
        assert_eq!(read.map(|read| read.before.len()), Some(BEFORE_MAX));
        assert_eq!(fs::read_dir(dir.path()).expect("it").count(), 1);
    }

    #[test]
    fn what_is_not_whole_says_nothing() {
        let good = Identity::new(Path::new("/p")).encode();
        for text in [
            &b""[..],
            b"crewlog-project-2\nid x\ndata /p\n",
            b"crewlog-project-1\nid x\n",
        ] {
            assert_eq!(Identity::decode(text), None);
        }
        assert!(Identity::decode(&[&good[..], b"later word\n"].concat()).is_some());
    }
}
