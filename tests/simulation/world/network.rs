//! Connections, and what is on its way on them.

use super::*;

impl World {
    pub(super) fn send(&mut self, connection: Connection, message: SchedulerMessage) {
        match &message {
            SchedulerMessage::Reported {
                command,
                attempt,
                verdict,
                acknowledged,
            } => self
                .checks
                .reported(*command, *attempt, *verdict, *acknowledged),
            SchedulerMessage::Job(job) => self.checks.offered(job.attempt, job.acknowledged),
            _ => {}
        }
        let delay = self.dice.between(0, 3);
        let Some((pid, last, _)) = self.wires.get_mut(&connection) else {
            return;
        };
        *last = (*last).max(self.now_ms + delay);
        let (at_ms, pid) = (*last, *pid);
        self.at(at_ms, Item::Hear(connection, pid, message));
    }

    pub(super) fn tell_scheduler(&mut self, connection: Connection, input: Input) {
        let (delay, reign) = (self.dice.between(0, 3), self.reign);
        let Some((_, _, last)) = self.wires.get_mut(&connection) else {
            return;
        };
        *last = (*last).max(self.now_ms + delay);
        let at_ms = *last;
        self.at(at_ms, Item::Input(reign, input));
    }

    /// A connection breaks: what was said arrives, and then its end.
    pub(super) fn cut(&mut self, connection: Connection) {
        self.tell_scheduler(connection, Input::Closed { connection });
        if let Some((pid, last, _)) = self.wires.remove(&connection) {
            // What was on its way to the worker arrives or does not.
            let at_ms = if self.dice.percent(50) {
                last
            } else {
                self.now_ms
            };
            self.at(at_ms, Item::Lost(connection, pid));
        }
    }

    pub(super) fn connect(&mut self, pid: u32) {
        let up = self.process.is_some();
        let Some(worker) = self.workers.get_mut(&pid).filter(|worker| worker.alive) else {
            return;
        };
        if worker.wire.is_some() {
            return;
        }
        let stopped = worker.stopped_ms > self.now_ms;
        if !up || stopped {
            let again = self.dice.between(100, 5_000);
            return self.after(again, Item::Connect(pid));
        }
        self.connections += 1;
        let connection = Connection(self.connections);
        worker.wire = Some(connection);
        let hello = Box::new(worker.hello());
        self.wires
            .insert(connection, (pid, self.now_ms, self.now_ms));
        let pid = Some(pid);
        self.tell_scheduler(connection, Input::Opened { connection, pid });
        let message = hello;
        self.tell_scheduler(
            connection,
            Input::Worker {
                connection,
                message,
            },
        );
    }
}
