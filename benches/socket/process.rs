//! A process for each worker: the scheduler asks the kernel who has connected, and takes two workers
//! of one process for one. It connects, hands the connection to the benchmark, and lives as long.

use std::ffi::{OsStr, OsString};
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crewlog::model::event::ProcessIdentity;
use crewlog::protocol::identity;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

const ARGUMENT: &str = "__worker-process";

/// Is one of the processes, if `arguments` say so; true when its life is over.
pub fn is_one(mut arguments: impl Iterator<Item = OsString>) -> bool {
    if arguments.next().as_deref() != Some(OsStr::new(ARGUMENT)) {
        return false;
    }
    let path = arguments.next().expect("the scheduler's socket");
    let parent = std::io::stdin().as_fd().try_clone_to_owned();
    let mut parent = UnixStream::from(parent.expect("a socket to the benchmark"));
    let connection = UnixStream::connect(path).expect("a connection");
    let connections = [connection.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&connections)));
    let word = [IoSlice::new(b"c")];
    let sent = rustix::net::sendmsg(&parent, &word, &mut ancillary, SendFlags::NOSIGNAL);
    sent.expect("the connection is handed over");
    // Ends when the benchmark does.
    let _ = parent.read(&mut [0]);
    true
}

/// Ends with its benchmark.
pub struct Process {
    child: Child,
    socket: UnixStream,
}

impl Process {
    /// Starts one, which connects to `path`.
    pub fn start(path: &Path) -> (Self, UnixStream) {
        let own = std::env::current_exe().expect("this program");
        let (socket, its) = UnixStream::pair().expect("a socket");
        let child = Command::new(own)
            .arg(ARGUMENT)
            .arg(path)
            .stdin(Stdio::from(OwnedFd::from(its)))
            .spawn()
            .expect("a process");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut word = [IoSliceMut::new(&mut byte)];
        rustix::net::recvmsg(&socket, &mut word, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .expect("a word from the process");
        let received = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut all) => all.next(),
            _ => None,
        });
        let connection = UnixStream::from(received.expect("the connection"));
        (Self { child, socket }, connection)
    }

    /// What the kernel says of it.
    pub fn identity(&self) -> ProcessIdentity {
        identity::process_identity(self.child.id()).expect("it lives")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}
