//! Redis Streams with an append-only file that is synced before every answer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::server::{self, Missing, Server};
use crate::text::{Answer, Load, Protocol};
use crate::{System, rate};

const GROUP: &[u8] = b"XGROUP CREATE jobs workers 0 MKSTREAM\r\n";

/// The installed one.
pub fn find() -> Result<Box<dyn System>, Missing> {
    let program = server::find("redis-server", "redis-server", &[])?;
    let version = server::version(&program, "--version");
    Ok(Box::new(Redis { program, version }))
}

struct Redis {
    program: PathBuf,
    version: String,
}

impl System for Redis {
    fn title(&self) -> String {
        format!("Redis Streams {}", self.version)
    }

    fn measure(&self, dir: &Path, workers: usize, spell: Duration) -> f64 {
        let sockets = tempfile::tempdir().expect("a directory");
        let socket = sockets.path().join("redis");
        // Nothing but the log of commands is written: no snapshots, and that log is not made anew.
        let arguments = [
            ["--port".into(), "0".into()],
            ["--unixsocket".into(), socket.clone().into()],
            ["--dir".into(), dir.into()],
            ["--save".into(), "".into()],
            ["--appendonly".into(), "yes".into()],
            ["--appendfsync".into(), "always".into()],
            ["--auto-aof-rewrite-percentage".into(), "0".into()],
        ]
        .concat();
        let command = server::command(&self.program, None);
        let group = || -> std::io::Result<bool> {
            let mut stream = UnixStream::connect(&socket)?;
            stream.write_all(GROUP)?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            Ok(&answer == b"+OK\r\n")
        };
        let _server = Server::start(command, &arguments, dir, || group().unwrap_or(false));
        let mut load = Load::connect(&socket, workers, Resp);
        rate(spell, |spell| load.run(spell))
    }
}

/// Its protocol.
struct Resp;

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

impl Protocol for Resp {
    const COMPLETION: usize = 2;

    fn reserve(&self, worker: usize, out: &mut Vec<u8>) {
        let name = format!("w{worker}");
        let words: [&[u8]; 11] = [
            b"XREADGROUP",
            b"GROUP",
            b"workers",
            name.as_bytes(),
            b"COUNT",
            b"1",
            b"BLOCK",
            b"0",
            b"STREAMS",
            b"jobs",
            b">",
        ];
        command(&words, out);
    }

    fn complete(&self, job: &[u8], out: &mut Vec<u8>) {
        command(&[b"XACK", b"jobs", b"workers", job], out);
        command(&[b"XDEL", b"jobs", job], out);
    }

    fn enqueue(&self, number: u64, out: &mut Vec<u8>) {
        let name = format!("feature {number}");
        command(&[b"XADD", b"jobs", b"*", b"name", name.as_bytes()], out);
    }

    fn answer(&self, bytes: &[u8]) -> Option<(Answer, usize)> {
        let mut strings = Vec::new();
        let length = value(bytes, &mut strings)?;
        let answer = match (bytes[0], strings.as_slice()) {
            (b':', _) => {
                assert_eq!(&bytes[..length], b":1\r\n", "the job was there");
                Answer::Completed
            }
            (b'$', _) => Answer::Stored,
            // The stream's name, then the job's.
            (b'*', [_, job, ..]) => Answer::Job(job.to_vec()),
            _ => panic!("{}", String::from_utf8_lossy(&bytes[..length])),
        };
        Some((answer, length))
    }
}

/// Collects the strings of the first value in `bytes`, and says how long it is.
fn value<'a>(bytes: &'a [u8], strings: &mut Vec<&'a [u8]>) -> Option<usize> {
    let end = bytes.windows(2).position(|it| it == b"\r\n")?;
    let line = &bytes[1..end];
    let mut at = end + 2;
    let count = || -> usize {
        let text = std::str::from_utf8(line).expect("a number");
        text.parse().expect("a number")
    };
    match bytes[0] {
        b'$' => {
            let length = count();
            strings.push(bytes.get(at..at + length)?);
            at += length + 2;
        }
        b'*' => {
            for _ in 0..count() {
                at += value(bytes.get(at..)?, strings)?;
            }
        }
        _ => {}
    }
    (at <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_and_cut_ones_wait() {
        let job =
            b"*1\r\n*2\r\n$4\r\njobs\r\n*1\r\n*2\r\n$3\r\n7-0\r\n*2\r\n$4\r\nname\r\n$1\r\nx\r\n";
        let answer = Resp.answer(job);
        assert!(
            matches!(answer, Some((Answer::Job(id), length)) if id == b"7-0" && length == job.len())
        );
        for cut in 0..job.len() {
            assert!(Resp.answer(&job[..cut]).is_none());
        }
        assert!(matches!(
            Resp.answer(b":1\r\n:1"),
            Some((Answer::Completed, 4))
        ));
        assert!(matches!(
            Resp.answer(b"$3\r\n7-0\r\n"),
            Some((Answer::Stored, 9))
        ));
    }
}
