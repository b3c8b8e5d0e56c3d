//! What goes wrong, and what people do.

use super::*;

impl World {
    pub(super) fn fault(&mut self) {
        if self.fair() {
            return;
        }
        let next = self.dice.between(200, 20_000);
        self.after(next, Item::Fault);
        let alive: Vec<u32> = self.alive.iter().copied().collect();
        let victim = self.dice.pick(&alive);
        match self.dice.between(0, 10) {
            0 | 1 => self.crash(),
            2 | 3 => victim.into_iter().for_each(|pid| self.kill(pid)),
            4 | 5 => {
                let wire = victim.and_then(|pid| self.workers.get(&pid)?.wire);
                wire.into_iter().for_each(|connection| self.cut(connection));
            }
            6 => {
                // Where a crew is kept, somebody else takes its place in the end.
                let endless = !self.crew.is_empty() && self.dice.percent(30);
                let most = if endless { 100_000_000 } else { 1_500_000 };
                let ms = self.now_ms + self.dice.between(1_000, most);
                let stopped = victim.and_then(|pid| self.workers.get_mut(&pid));
                if let Some(worker) = stopped {
                    worker.stopped_ms = ms;
                }
            }
            7 => self.git.outsider(),
            8 => {
                let modes = [
                    crewlog::protocol::StopMode::Drain,
                    crewlog::protocol::StopMode::Now,
                ];
                let mode = modes[self.dice.between(0, 1) as usize];
                self.input(Input::Stop(mode));
            }
            9 => victim.into_iter().for_each(|pid| self.stop_worker(pid)),
            _ => {
                // All at once.
                self.crash();
                alive.into_iter().for_each(|pid| self.kill(pid));
            }
        }
    }

    /// Somebody is faster than git, and the worker does not hear of it.
    pub(super) fn disturb_merge(&mut self, attempt: AttemptId) {
        if self.fair() || !self.dice.percent(10) {
            return;
        }
        self.git.outsider();
        let mut workers = self.workers.values();
        let its = workers.find(|worker| {
            let job = worker.job.as_ref();
            worker.alive && job.is_some_and(|job| job.attempt == attempt)
        });
        if let Some(connection) = its.and_then(|worker| worker.wire)
            && self.dice.percent(50)
        {
            self.cut(connection);
        }
    }

    /// Its user stops a worker, which does not wait until everything is given back.
    pub(super) fn stop_worker(&mut self, pid: u32) {
        let reason = "its user stopped it".to_owned();
        let leaving = Deed::Say(WorkerMessage::Leaving { reason });
        self.deeds(pid, vec![leaving]);
        let ms = self.dice.between(1, 3_000);
        self.after(ms, Item::Kill(pid));
    }

    pub(super) fn person(&mut self) {
        let often = if self.fair() { 2_000 } else { 15_000 };
        let next = self.dice.between(500, often);
        self.after(next, Item::Person);
        if self.process.is_none() {
            return;
        }
        if self.wish.is_none() {
            let fair = self.fair();
            let state = &self.checks.state;
            let wanted = crate::person::wish(&mut self.dice, state, fair);
            self.wishes += 1;
            let id = CommandId((1 << 120) + u128::from(self.wishes));
            self.wish = wanted.map(|command| (id, command, None));
        }
        let Some((id, command, _)) = self.wish.clone() else {
            return;
        };
        // Said again on a new connection until it is answered.
        self.connections += 1;
        let connection = Connection(self.connections);
        self.wish = Some((id, command.clone(), Some(connection)));
        self.wires.insert(connection, (0, self.now_ms, self.now_ms));
        self.tell_scheduler(connection, Input::OpenedClient { connection });
        let message = Box::new(ClientMessage::Command { id, command });
        self.tell_scheduler(
            connection,
            Input::Client {
                connection,
                message,
            },
        );
    }

    pub(super) fn told(&mut self, connection: Connection, message: &ToClient) {
        let Some((id, _, Some(asked))) = &self.wish else {
            return;
        };
        let (id, asked) = (*id, *asked);
        if let ToClient::Accepted { first, last } = message {
            self.checks.accepted(id, *first, *last);
        }
        // An answer may be lost on its way; then it is asked for again.
        if asked == connection && self.dice.percent(80) {
            self.wish = None;
        }
        self.cut(connection);
    }
}
