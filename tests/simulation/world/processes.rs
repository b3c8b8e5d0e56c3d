//! The workers' processes.

use super::*;

impl World {
    pub(super) fn spawn(&mut self, kind: WorkerKind) -> u32 {
        self.pids += 1;
        let pid = self.pids;
        let mut orphans = VecDeque::new();
        for (&attempt, (owner, spooled)) in &mut self.spool {
            // A file whose owner is dead belongs to whoever takes it up first.
            if !self.alive.contains(owner) && self.dice.percent(50) {
                *owner = pid;
                orphans.push_back((attempt, spooled.clone()));
            }
        }
        self.workers.insert(pid, Worker::new(pid, kind, orphans));
        self.alive.insert(pid);
        let (soon, beat) = (self.dice.between(1, 200), self.dice.between(1, 10_000));
        self.after(soon, Item::Connect(pid));
        self.after(beat, Item::Heartbeat(pid));
        pid
    }

    /// A worker does something unless it is dead; one that is stopped does it later.
    pub(super) fn awake(&mut self, pid: u32, item: Item) -> Option<Item> {
        let worker = self.workers.get(&pid).filter(|worker| worker.alive)?;
        if worker.stopped_ms > self.now_ms {
            self.at(worker.stopped_ms, item);
            return None;
        }
        Some(item)
    }

    pub(super) fn hear(&mut self, connection: Connection, pid: u32, message: SchedulerMessage) {
        let item = self.awake(pid, Item::Hear(connection, pid, message));
        let Some(Item::Hear(_, _, message)) = item else {
            return;
        };
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        if worker.wire == Some(connection) {
            let deeds = worker.hear(now_ms, &mut self.dice, message);
            self.deeds(pid, deeds);
        }
    }

    pub(super) fn lost(&mut self, connection: Connection, pid: u32) {
        if self.awake(pid, Item::Lost(connection, pid)).is_none() {
            return;
        }
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        if worker.wire == Some(connection) {
            let deeds = worker.disconnected();
            let again = self.dice.between(50, 5_000);
            self.after(again, Item::Connect(pid));
            self.deeds(pid, deeds);
        }
    }

    pub(super) fn look(&mut self, pid: u32) {
        if self.awake(pid, Item::Look(pid)).is_none() {
            return;
        }
        let (now_ms, fair) = (self.now_ms, self.fair());
        if let Some(worker) = self.workers.get_mut(&pid) {
            let deeds = worker.look(now_ms, &mut self.dice, &mut self.git, fair);
            self.deeds(pid, deeds);
        }
    }

    pub(super) fn heartbeat(&mut self, pid: u32) {
        if self.awake(pid, Item::Heartbeat(pid)).is_none() {
            return;
        }
        let worker = self.workers.get(&pid).filter(|worker| worker.welcome);
        if let Some(connection) = worker.and_then(|worker| worker.wire) {
            let message = Box::new(WorkerMessage::Heartbeat);
            self.tell_scheduler(
                connection,
                Input::Worker {
                    connection,
                    message,
                },
            );
        }
        self.after(10_000, Item::Heartbeat(pid));
    }

    pub(super) fn deeds(&mut self, pid: u32, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Say(message) => {
                    let wire = self.workers.get(&pid).and_then(|worker| worker.wire);
                    if let Some(connection) = wire {
                        let message = Box::new(message);
                        self.tell_scheduler(
                            connection,
                            Input::Worker {
                                connection,
                                message,
                            },
                        );
                    }
                }
                Deed::Spool(attempt, spooled) => {
                    self.spool.insert(attempt, (pid, spooled));
                }
                Deed::Unspool(attempt) => drop(self.spool.remove(&attempt)),
                Deed::Later(at_ms) => self.at(at_ms, Item::Look(pid)),
                Deed::Die => self.kill(pid),
            }
        }
    }

    /// The process is gone, with all of its agents.
    pub(super) fn kill(&mut self, pid: u32) {
        if !self.alive.remove(&pid) {
            return;
        }
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        worker.alive = false;
        let (wire, kind) = (worker.wire.take(), worker.kind);
        if let Some(connection) = wire {
            self.cut(connection);
        }
        let reign = self.reign;
        if let Some(process) = &mut self.process {
            let watches = process.watches.iter();
            let its: Vec<_> = watches
                .filter(|(_, of)| *of == pid)
                .map(|(id, _)| *id)
                .collect();
            let child = process.children.contains(&pid);
            for worker in its {
                let ms = self.dice.between(0, 50);
                self.after(ms, Item::Input(reign, Input::Died { worker }));
            }
            if child {
                let ms = self.dice.between(0, 50);
                self.after(ms, Item::Input(reign, Input::ChildEnded { pid }));
            }
        }
        if self.crew.is_empty() {
            // Somebody starts another one by hand.
            let ms = self.dice.between(500, 20_000);
            self.after(ms, Item::Spawn(kind));
        }
    }
}
