//! A client and workers of a queue whose protocol is text, all in one thread: sockets that are read
//! when they are ready, requests written by hand. It costs as little as Crewlog's own load does.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use crate::AHEAD;

/// What a server answers.
pub enum Answer {
    /// A job is stored.
    Stored,
    /// A worker has this job.
    Job(Vec<u8>),
    /// A part of a job's completion is done.
    Completed,
}

/// How to speak to a queue.
pub trait Protocol {
    /// Answers to one completion.
    const COMPLETION: usize;

    /// Asks for a job and waits until there is one.
    fn reserve(&self, worker: usize, out: &mut Vec<u8>);

    /// Says that a job is done.
    fn complete(&self, job: &[u8], out: &mut Vec<u8>);

    /// Enqueues a job.
    fn enqueue(&self, number: u64, out: &mut Vec<u8>);

    /// The first answer in `bytes` and its length, if it is there as a whole.
    fn answer(&self, bytes: &[u8]) -> Option<(Answer, usize)>;
}

struct Wire {
    stream: UnixStream,
    read: Vec<u8>,
    write: Vec<u8>,
    /// Answers that are still to come to a completion.
    completing: usize,
}

impl Wire {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("a connection");
        stream.set_nonblocking(true).expect("a mode");
        Self {
            stream,
            read: Vec::new(),
            write: Vec::new(),
            completing: 0,
        }
    }

    /// Writes what the socket takes; the rest waits for the next time.
    fn flush(&mut self) {
        let mut from = 0;
        while from < self.write.len() {
            match self.stream.write(&self.write[from..]) {
                Ok(count) => from += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the server is gone: {error}"),
            }
        }
        self.write.drain(..from);
    }

    fn fill(&mut self) {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("the server hung up"),
                Ok(count) => self.read.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The client, which is the last wire, and the workers before it.
pub struct Load<P> {
    protocol: P,
    wires: Vec<Wire>,
    poll: OwnedFd,
    enqueued: u64,
    done: u64,
}

impl<P: Protocol> Load<P> {
    /// So many workers, which ask for jobs.
    pub fn connect(path: &Path, workers: usize, protocol: P) -> Self {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a poll");
        let mut wires: Vec<Wire> = (0..=workers).map(|_| Wire::connect(path)).collect();
        for (at, wire) in wires.iter_mut().enumerate() {
            let data = EventData::new_u64(at as u64);
            epoll::add(&poll, &wire.stream, data, EventFlags::IN).expect("watched");
            if at < workers {
                protocol.reserve(at, &mut wire.write);
                wire.flush();
            }
        }
        Self {
            protocol,
            wires,
            poll,
            enqueued: 0,
            done: 0,
        }
    }

    /// Works for a while; how many jobs were done.
    pub fn run(&mut self, spell: Duration) -> u64 {
        let (start, before) = (Instant::now(), self.done);
        while start.elapsed() < spell {
            let client = self.wires.last_mut().expect("a client");
            if self.enqueued - self.done < AHEAD {
                for _ in 0..AHEAD {
                    self.enqueued += 1;
                    self.protocol.enqueue(self.enqueued, &mut client.write);
                }
            }
            client.flush();
            self.turn();
        }
        self.done - before
    }

    /// Waits for answers and acts on them.
    fn turn(&mut self) {
        let mut ready = Vec::with_capacity(self.wires.len());
        let buffer = rustix::buffer::spare_capacity(&mut ready);
        // So short because the client may have more to write.
        let wait = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        match epoll::wait(&self.poll, buffer, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
        for event in ready {
            self.hear(event.data.u64() as usize);
        }
    }

    fn hear(&mut self, at: usize) {
        let wire = &mut self.wires[at];
        wire.fill();
        let mut from = 0;
        while let Some((answer, length)) = self.protocol.answer(&wire.read[from..]) {
            from += length;
            match answer {
                Answer::Stored => {}
                Answer::Job(job) => {
                    wire.completing = P::COMPLETION;
                    self.protocol.complete(&job, &mut wire.write);
                }
                Answer::Completed => {
                    wire.completing -= 1;
                    if wire.completing == 0 {
                        self.done += 1;
                        self.protocol.reserve(at, &mut wire.write);
                    }
                }
            }
        }
        wire.read.drain(..from);
        wire.flush();
    }
}
