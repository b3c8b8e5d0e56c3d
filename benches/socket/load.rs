//! All workers and one client in one thread: sockets that are read when they are ready, frames cut
//! by hand, nothing allocated that is not needed. Whatever this costs, the scheduler does not get.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use crewlog::model::command::PersonCommand;
use crewlog::model::evidence::{Basis, Evidence, Usage};
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::{CommandId, FeatureId};
use crewlog::model::report::{AttemptReport, Mergeable, Report};
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::{
    ClientMessage, PREAMBLE_BYTES, Preamble, Role, SchedulerMessage, ToClient, WorkerMessage,
    decode, encode_into,
};

use crate::process::Process;

/// Features that wait, at least; when there are fewer, so many are imported at once. Each is a
/// command of its own.
const AHEAD: u64 = 512;

struct Wire {
    stream: UnixStream,
    role: Role,
    read: Vec<u8>,
    write: Vec<u8>,
}

impl Wire {
    fn connect(path: &Path, role: Role) -> Self {
        Self::over(UnixStream::connect(path).expect("a connection"), role)
    }

    fn over(mut stream: UnixStream, role: Role) -> Self {
        stream.write_all(&Preamble { role }.encode()).expect("sent");
        let mut bytes = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut bytes).expect("a preamble");
        stream.set_nonblocking(true).expect("a mode");
        let (read, write) = (Vec::new(), Vec::new());
        Self {
            stream,
            role,
            read,
            write,
        }
    }

    fn say<T: serde::Serialize>(&mut self, message: &T) {
        let start = self.write.len();
        self.write.extend([0; 4]);
        encode_into(self.role, message, &mut self.write).expect("a frame");
        let length = (self.write.len() - start - 4) as u32;
        self.write[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn flush(&mut self) {
        let mut from = 0;
        while from < self.write.len() {
            match self.stream.write(&self.write[from..]) {
                Ok(count) => from += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("the scheduler is gone: {error}"),
            }
        }
        self.write.clear();
    }

    /// Reads what is there.
    fn fill(&mut self) {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("the scheduler hung up"),
                Ok(count) => self.read.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
            if self.read.len() < bytes.len() {
                return;
            }
        }
    }

    /// Calls back with every whole frame.
    fn frames(&mut self, mut each: impl FnMut(&[u8])) {
        let mut from = 0;
        while let Some(head) = self.read[from..].first_chunk::<4>() {
            let end = from + 4 + u32::from_le_bytes(*head) as usize;
            let Some(body) = self.read.get(from + 4..end) else {
                break;
            };
            each(body);
            from = end;
        }
        self.read.drain(..from);
    }
}

pub struct Load {
    workers: Vec<Wire>,
    /// As whom they have connected.
    _processes: Vec<Process>,
    client: Wire,
    poll: std::os::fd::OwnedFd,
    commands: u64,
    imported: u64,
    acknowledged: u64,
    done: u64,
}

impl Load {
    /// So many workers that have joined and ask for jobs.
    pub fn connect(path: &Path, workers: usize) -> Self {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a poll");
        let join = |_| {
            let (process, connection) = Process::start(path);
            let mut wire = Wire::over(connection, Role::Worker);
            wire.say(&WorkerMessage::Hello {
                kind: WorkerKind::Coding,
                process: process.identity(),
                config: String::new(),
                worker: None,
                holding: None,
            });
            wire.say(&WorkerMessage::Ready);
            wire.flush();
            (wire, process)
        };
        let (workers, processes): (Vec<Wire>, Vec<Process>) = (0..workers).map(join).unzip();
        let client = Wire::connect(path, Role::Client);
        for (at, wire) in workers.iter().chain([&client]).enumerate() {
            let data = EventData::new_u64(at as u64);
            epoll::add(&poll, &wire.stream, data, EventFlags::IN).expect("watched");
        }
        Self {
            workers,
            _processes: processes,
            client,
            poll,
            commands: 0,
            imported: 0,
            acknowledged: 0,
            done: 0,
        }
    }

    fn import(&mut self, count: u64) {
        for _ in 0..count {
            self.imported += 1;
            let spec = FeatureSpec {
                name: format!("feature {}", self.imported),
                ..FeatureSpec::default()
            };
            let id = CommandId((1 << 100) + u128::from(self.imported));
            let command = PersonCommand::Import {
                features: vec![(FeatureId(self.imported as u32), spec)],
                update: false,
            };
            self.client.say(&ClientMessage::Command { id, command });
        }
        self.client.flush();
    }

    /// Works for a while; how many features were done.
    pub fn run(&mut self, spell: Duration) -> u64 {
        let (start, before) = (Instant::now(), self.done);
        while start.elapsed() < spell {
            if self.imported - self.done < AHEAD {
                self.import(AHEAD);
            }
            self.turn();
        }
        self.done - before
    }

    /// Each time from a report to the next job, with one worker and a backlog that is there.
    pub fn latencies(&mut self, count: usize) -> Vec<Duration> {
        self.import(count as u64 + 100);
        while self.acknowledged < self.imported {
            self.turn();
        }
        let mut times = Vec::with_capacity(count);
        while times.len() < count {
            let (start, before) = (Instant::now(), self.commands);
            while self.commands == before {
                self.turn();
            }
            times.push(start.elapsed());
        }
        times
    }

    /// Waits for messages and answers them.
    fn turn(&mut self) {
        let mut ready = Vec::with_capacity(self.workers.len() + 1);
        let buffer = rustix::buffer::spare_capacity(&mut ready);
        let wait = rustix::event::Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        match epoll::wait(&self.poll, buffer, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
        for event in ready {
            let at = event.data.u64() as usize;
            match self.workers.get_mut(at) {
                Some(worker) => {
                    worker.fill();
                    let mut said = Vec::new();
                    worker.frames(|body| said.push(decode(Role::Worker, body).expect("sense")));
                    for message in said {
                        self.hear(at, message);
                    }
                    self.workers[at].flush();
                }
                None => {
                    self.client.fill();
                    let mut answers = 0;
                    self.client.frames(|body| {
                        let answer = decode(Role::Client, body).expect("sense");
                        assert!(matches!(answer, ToClient::Accepted { .. }), "{answer:?}");
                        answers += 1;
                    });
                    self.acknowledged += answers;
                }
            }
        }
    }

    fn hear(&mut self, at: usize, message: SchedulerMessage) {
        match message {
            SchedulerMessage::Job(job) => {
                self.commands += 1;
                let evidence = Evidence {
                    basis: Basis::AgentWord,
                    commit: job.base.clone(),
                    tree: job.base.clone(),
                    checks: Vec::new(),
                };
                let features = job.features.iter();
                let report = Report::Mergeable(Mergeable {
                    onto: job.base.clone(),
                    commit: job.base.clone(),
                    touched: Vec::new(),
                    touched_total: 0,
                    evidence: features.map(|one| (one.id, evidence.clone())).collect(),
                    notes: Vec::new(),
                });
                self.workers[at].say(&WorkerMessage::Report(AttemptReport {
                    command: CommandId((1 << 110) + u128::from(self.commands)),
                    attempt: job.attempt,
                    report,
                    usage: Usage::default(),
                    workless: false,
                }));
            }
            SchedulerMessage::Reported { .. } => {
                self.done += 1;
                self.workers[at].say(&WorkerMessage::Ready);
            }
            SchedulerMessage::Welcome { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}
