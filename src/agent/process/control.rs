//! The socket between a parent and its child stage: worker and guard, guard and init.
//!
//! It is the child's standard input, so only the child inherits it, and no descriptor survives an
//! exec by accident. It carries the program's standard streams downwards once, a byte that means
//! "end the tree", and single lines upwards. Its end means that the parent died.

use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::ProgramEnd;
use crate::agent::cage::{Cage, Exceeded};
use crate::model::clip::clip_chars;

/// Reports are a word, numbers and an error text; a longer one is cut.
const REPORT_BYTES_MAX: usize = 4 * 1024;

/// What a stage reports to its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The program runs.
    Started,
    /// Namespaces are not available here; nothing was started.
    NoNamespace(String),
    /// The program could not be started: the system's error number, if the system refused, and the
    /// reason as text for people.
    Failed { errno: Option<i32>, why: String },
    /// The program ended, and so many processes could not be ended.
    Ended { end: ProgramEnd, left: usize },
    /// A limit of the cage is why the tree is being ended.
    Exceeded(Exceeded),
}

impl Report {
    /// The system refused to start the program; `doing` says what, or is empty.
    pub(super) fn refused(doing: &str, error: &std::io::Error) -> Self {
        let why = match doing {
            "" => error.to_string(),
            doing => format!("{doing}: {error}"),
        };
        let errno = error.raw_os_error();
        Self::Failed { errno, why }
    }

    /// The program could not be started for a reason of our own.
    pub(super) fn failed(why: impl Into<String>) -> Self {
        let (errno, why) = (None, why.into());
        Self::Failed { errno, why }
    }

    /// Encodes the report as one line.
    pub(super) fn encode(&self) -> String {
        let text = match self {
            Self::Started => "started".to_owned(),
            Self::NoNamespace(why) => format!("no-namespace {why}"),
            Self::Failed { errno, why } => format!("failed {} {why}", errno.unwrap_or(0)),
            Self::Ended { end, left } => match end {
                ProgramEnd::Exited(code) => format!("exited {code} {left}"),
                ProgramEnd::Signalled(signal) => format!("signalled {signal} {left}"),
            },
            Self::Exceeded(Exceeded::Memory(limit)) => format!("exceeded memory {limit}"),
            Self::Exceeded(Exceeded::Processes(limit)) => format!("exceeded processes {limit}"),
        };
        let mut line = clip_chars(&text, 1_000).replace('\n', " ");
        line.push('\n');
        line
    }

    /// `None` for a line that no stage of ours writes.
    pub(super) fn decode(line: &str) -> Option<Self> {
        let line = line.trim_end_matches('\n');
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => Some(Self::Started),
            "no-namespace" => Some(Self::NoNamespace(rest.to_owned())),
            "failed" => {
                let (errno, why) = rest.split_once(' ')?;
                let errno = errno.parse().ok()?;
                Some(Self::Failed {
                    errno: (errno != 0).then_some(errno),
                    why: why.to_owned(),
                })
            }
            "exited" | "signalled" => {
                let (number, left) = rest.split_once(' ')?;
                let number = number.parse().ok()?;
                let end = match word {
                    "exited" => ProgramEnd::Exited(number),
                    _ => ProgramEnd::Signalled(number),
                };
                let left = left.parse().ok()?;
                Some(Self::Ended { end, left })
            }
            "exceeded" => {
                let (what, limit) = rest.split_once(' ')?;
                let limit = limit.parse().ok()?;
                match what {
                    "memory" => Some(Self::Exceeded(Exceeded::Memory(limit))),
                    "processes" => Some(Self::Exceeded(Exceeded::Processes(limit))),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Collects bytes into reports.
#[derive(Debug, Default)]
pub(super) struct Reports {
    buffer: Vec<u8>,
}

impl Reports {
    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = REPORT_BYTES_MAX.saturating_sub(self.buffer.len());
        self.buffer
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The next complete report. Unknown lines are skipped.
    pub(super) fn next(&mut self) -> Option<Report> {
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            if let Some(report) = Report::decode(&String::from_utf8_lossy(&line)) {
                return Some(report);
            }
        }
        None
    }
}

/// What a stage gets from its parent.
pub(super) struct Handed {
    /// The program's standard streams.
    pub streams: [OwnedFd; 3],
    /// The cage, as a file that contains it.
    pub cage: Option<OwnedFd>,
}

impl Handed {
    /// Passes everything to the child stage.
    pub(super) fn send(&self, socket: &UnixStream) -> std::io::Result<()> {
        let [stdin, stdout, stderr] = &self.streams;
        let mut all = vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        all.extend(self.cage.as_ref().map(AsFd::as_fd));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&all)) {
            return Err(std::io::Error::other("no room for four descriptors"));
        }
        let sent = rustix::net::sendmsg(
            socket,
            &[IoSlice::new(b"s")],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        match sent {
            1 => Ok(()),
            _ => Err(std::io::Error::other("the streams were not sent")),
        }
    }

    /// Receives everything; all descriptors are close-on-exec.
    pub(super) fn receive(socket: &UnixStream) -> std::io::Result<Self> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(
                socket,
                &mut [IoSliceMut::new(&mut byte)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        let mut all = Vec::with_capacity(4);
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                all.extend(received);
            }
        }
        let cage = (all.len() == 4).then(|| all.pop()).flatten();
        let streams = all
            .try_into()
            .map_err(|_| std::io::Error::other("the parent sent no streams"))?;
        Ok(Self { streams, cage })
    }

    /// The cage, if the tree has one.
    pub(super) fn cage(&self) -> std::io::Result<Option<Cage>> {
        let file = self.cage.as_ref().map(OwnedFd::try_clone).transpose()?;
        file.map(Cage::from_file).transpose()
    }
}

/// The control socket of a child stage, from its standard input.
pub(super) fn from_stdin() -> std::io::Result<UnixStream> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    Ok(UnixStream::from(stdin))
}

/// Blocks until the parent wants the tree ended or has died.
pub(super) fn wait_for_end(mut socket: &UnixStream) {
    let mut byte = [0];
    loop {
        match socket.read(&mut byte) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// Closes every descriptor above the standard ones. A stage calls this first: the worker's parent
/// may have left descriptors open across exec, and an agent that holds one of them could keep a
/// socket or a lock alive after its worker has ended.
pub(super) fn close_inherited() {
    let Ok(listing) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers: Vec<i32> = listing
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // SAFETY: only borrowed to ask whether it is open; the listing's own descriptor is among
        // the numbers and closed by now.
        let open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).is_ok();
        if open {
            // SAFETY: the descriptor is open, and a stage does this first, so nothing in this
            // process owns any descriptor above 2 yet.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_wire() {
        let reports = [
            Report::Started,
            Report::NoNamespace("unshare: not permitted".into()),
            Report::failed("the cage: no such file: x"),
            Report::refused("", &std::io::Error::from_raw_os_error(2)),
            Report::Ended {
                end: ProgramEnd::Exited(137),
                left: 2,
            },
            Report::Ended {
                end: ProgramEnd::Signalled(9),
                left: 0,
            },
            Report::Exceeded(Exceeded::Memory(1 << 40)),
            Report::Exceeded(Exceeded::Processes(4_096)),
        ];
        let mut reader = Reports::default();
        for report in &reports {
            for byte in report.encode().bytes() {
                reader.push(&[byte]);
            }
        }
        reader.push(b"garbage\nexited 1\nexited x y\n");
        let mut read = Vec::new();
        while let Some(report) = reader.next() {
            read.push(report);
        }
        assert_eq!(read, reports);
    }

    #[test]
    fn streams_and_cage_pass_through_a_socket_once() {
        for cage in [None, Some(Cage::default())] {
            let (left, right) = UnixStream::pair().expect("socket pair");
            let file = || OwnedFd::from(tempfile::tempfile().expect("file"));
            let handed = Handed {
                streams: [file(), file(), file()],
                cage: cage.as_ref().map(|cage| cage.to_file().expect("file")),
            };
            handed.send(&left).expect("sent");
            let received = Handed::receive(&right).expect("received");
            assert_eq!(received.cage().expect("read"), cage);
            for stream in received.streams.iter().chain(&received.cage) {
                let flags = rustix::io::fcntl_getfd(stream).expect("flags");
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            }
            drop(left);
            assert!(Handed::receive(&right).is_err(), "no second set");
        }
    }
}
