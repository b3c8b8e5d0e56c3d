//! beanstalkd with a log that is synced at every write. It does not log reservations: a job that was
//! reserved when it ended is ready again.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::server::{self, Missing, Server};
use crate::text::{Answer, Load, Protocol};
use crate::{System, rate};

/// The installed one.
pub fn find() -> Result<Box<dyn System>, Missing> {
    let program = server::find("beanstalkd", "beanstalkd", &[])?;
    let version = server::version(&program, "-v");
    Ok(Box::new(Beanstalkd { program, version }))
}

struct Beanstalkd {
    program: PathBuf,
    version: String,
}

impl System for Beanstalkd {
    fn title(&self) -> String {
        format!("beanstalkd {}", self.version)
    }

    fn measure(&self, dir: &Path, workers: usize, spell: Duration) -> f64 {
        let sockets = tempfile::tempdir().expect("a directory");
        let socket = sockets.path().join("beanstalkd");
        let listen = format!("unix:{}", socket.display());
        let arguments = [
            "-l".into(),
            listen.into(),
            "-b".into(),
            dir.into(),
            "-f0".into(),
        ];
        let command = server::command(&self.program, None);
        let is_ready = || UnixStream::connect(&socket).is_ok();
        let _server = Server::start(command, &arguments, dir, is_ready);
        let mut load = Load::connect(&socket, workers, Text);
        rate(spell, |spell| load.run(spell))
    }
}

/// Its protocol.
struct Text;

impl Protocol for Text {
    const COMPLETION: usize = 1;

    fn reserve(&self, _worker: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"reserve\r\n");
    }

    fn complete(&self, job: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"delete ");
        out.extend_from_slice(job);
        out.extend_from_slice(b"\r\n");
    }

    fn enqueue(&self, number: u64, out: &mut Vec<u8>) {
        let name = format!("feature {number}");
        out.extend(format!("put 0 0 3600 {}\r\n{name}\r\n", name.len()).bytes());
    }

    fn answer(&self, bytes: &[u8]) -> Option<(Answer, usize)> {
        let end = bytes.windows(2).position(|it| it == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[..end]).expect("text");
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("INSERTED"), Some(_), None) => Some((Answer::Stored, end + 2)),
            (Some("DELETED"), None, None) => Some((Answer::Completed, end + 2)),
            (Some("RESERVED"), Some(job), Some(length)) => {
                let length: usize = length.parse().expect("a number");
                let whole = end + 2 + length + 2;
                let job = Answer::Job(job.as_bytes().to_vec());
                (whole <= bytes.len()).then_some((job, whole))
            }
            _ => panic!("{line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_and_cut_ones_wait() {
        let job = b"RESERVED 7 1\r\nx\r\n";
        let answer = Text.answer(job);
        assert!(
            matches!(answer, Some((Answer::Job(id), length)) if id == b"7" && length == job.len())
        );
        for cut in 0..job.len() {
            assert!(Text.answer(&job[..cut]).is_none());
        }
        assert!(matches!(
            Text.answer(b"INSERTED 7\r\n"),
            Some((Answer::Stored, 12))
        ));
        assert!(matches!(
            Text.answer(b"DELETED\r\nDEL"),
            Some((Answer::Completed, 9))
        ));
    }
}
