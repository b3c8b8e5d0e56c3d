//! Connections: what is said on one arrives in order and once, or not at all; what is said on two
//! arrives in any order.

use super::*;
use crate::model::actor::{Caller, Kin};
use crate::protocol::WorkerMessage;
use crate::worker::machine::Input as WorkerInput;

/// One connection between a scheduler and a worker.
pub struct Wire {
    reign: u64,
    pub who: Who,
    /// When the last message arrives at the scheduler, and at the worker.
    up_ms: u64,
    down_ms: u64,
    dice: Dice,
}

/// A worker's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Down,
    Opening,
    Open(Connection),
}

/// How long a connection takes that nobody answers; the time after which a worker gives up.
const ANSWER_MS_MAX: u64 = 10_000;

impl World {
    pub(super) fn wire_ms(&mut self, connection: Connection) -> u64 {
        let fair = self.fair();
        let mut odd = Dice::new(self.scenario.seed, Stream::Wire, connection.0);
        let dice = self.wires.get_mut(&connection).map(|wire| &mut wire.dice);
        let dice = dice.unwrap_or(&mut odd);
        let slow = !fair && dice.percent(3);
        dice.between(0, if slow { 3_000 } else { 8 })
    }

    pub(super) fn tell_scheduler(&mut self, connection: Connection, input: Input) {
        let ms = self.wire_ms(connection);
        let now_ms = self.now_ms;
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.up_ms = wire.up_ms.max(now_ms + ms);
            let (at_ms, reign) = (wire.up_ms, wire.reign);
            self.at(at_ms, Item::Input(reign, input));
        }
    }

    pub(super) fn say(&mut self, connection: Connection, message: WorkerMessage) {
        let message = Box::new(message);
        let input = Input::Worker {
            connection,
            message,
        };
        self.tell_scheduler(connection, input);
    }

    pub(super) fn send(&mut self, connection: Connection, message: SchedulerMessage) {
        let refused = matches!(message, SchedulerMessage::Refused(_));
        self.told_agent(connection, format!("{message:?}"), refused);
        match &message {
            SchedulerMessage::Job(offer) => {
                let attempt = offer.attempt;
                self.show(&Sight::Offered { attempt });
            }
            SchedulerMessage::Reported {
                command,
                attempt,
                verdict,
                acknowledged,
            } => self.show(&Sight::Answered {
                id: *command,
                attempt: *attempt,
                verdict: *verdict,
                at: *acknowledged,
            }),
            _ => {}
        }
        let ms = self.wire_ms(connection);
        let now_ms = self.now_ms;
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.down_ms = wire.down_ms.max(now_ms + ms);
            let at_ms = wire.down_ms;
            self.at(at_ms, Item::Hear(connection, message));
        }
    }

    /// The scheduler closes a connection when all that it said has been read.
    pub(super) fn close(&mut self, connection: Connection) {
        if let Some(wire) = self.wires.get(&connection) {
            let at_ms = wire.down_ms;
            self.at(at_ms, Item::Lost(connection));
        }
    }

    /// A connection breaks: what was said arrives, and then its end.
    pub(super) fn cut(&mut self, connection: Connection) {
        self.tell_scheduler(connection, Input::Closed { connection });
        // What was on its way to the worker arrives or does not.
        let all = self.disk.percent(50);
        let last = self.wires.get(&connection).map(|wire| wire.down_ms);
        let at_ms = last.filter(|_| all).unwrap_or(self.now_ms);
        self.at(at_ms, Item::Lost(connection));
    }

    /// The scheduler's process is gone, and its ends of all connections with it.
    pub(super) fn hang_up(&mut self) {
        let connections: Vec<Connection> = self.wires.keys().copied().collect();
        for connection in connections {
            let ms = self.disk.between(0, 5);
            self.after(ms, Item::Lost(connection));
        }
        for wish in &mut self.wishes {
            wish.connection = None;
        }
    }

    pub(super) fn hear(&mut self, connection: Connection, message: SchedulerMessage) {
        let Some(who) = self.wires.get(&connection).map(|wire| wire.who) else {
            return;
        };
        let Some(worker) = self.workers.get(&who) else {
            return;
        };
        if worker.stopped_ms > self.now_ms {
            let later = worker.stopped_ms;
            return self.at(later, Item::Hear(connection, message));
        }
        if worker.link == Link::Open(connection) {
            self.give(who, WorkerInput::Message(message));
        }
    }

    pub(super) fn lost(&mut self, connection: Connection) {
        let Some(who) = self.wires.get(&connection).map(|wire| wire.who) else {
            return;
        };
        if let Some(worker) = self.workers.get(&who)
            && worker.stopped_ms > self.now_ms
        {
            let later = worker.stopped_ms;
            return self.at(later, Item::Lost(connection));
        }
        self.wires.remove(&connection);
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        if worker.link == Link::Open(connection) {
            worker.link = Link::Down;
            let reason = "the connection is closed".to_owned();
            self.give(who, WorkerInput::Disconnected { reason });
        }
    }

    /// A worker's connect reaches the scheduler's socket, or nobody.
    pub(super) fn connect(&mut self, who: Who) {
        let now_ms = self.now_ms;
        let (reign, stopped) = match &self.scheduler {
            Some(scheduler) => (scheduler.reign, scheduler.stopped_ms),
            None => (0, 0),
        };
        let Some(worker) = self.workers.get_mut(&who) else {
            return;
        };
        if worker.link != Link::Opening {
            return;
        }
        if worker.stopped_ms > now_ms {
            let later = worker.stopped_ms;
            return self.at(later, Item::Connect(who));
        }
        if reign == 0 || stopped > now_ms + ANSWER_MS_MAX {
            worker.link = Link::Down;
            let reason = "nobody answers".to_owned();
            let ms = if reign == 0 { 0 } else { ANSWER_MS_MAX };
            return self.after(ms, Item::Give(who, WorkerInput::Disconnected { reason }));
        }
        if stopped > now_ms {
            // The preamble is answered when the scheduler goes on.
            return self.at(stopped, Item::Connect(who));
        }
        self.connections += 1;
        let connection = Connection(self.connections);
        worker.link = Link::Open(connection);
        let kin = Kin {
            pid: worker.process.pid,
            start_ticks: worker.process.start_ticks,
            origin: None,
        };
        let caller = Caller {
            lineage: vec![kin],
            ..Caller::person(1000, kin.pid, "")
        };
        let wire = Wire {
            reign,
            who,
            up_ms: now_ms,
            down_ms: now_ms,
            dice: Dice::new(self.scenario.seed, Stream::Wire, connection.0),
        };
        self.wires.insert(connection, wire);
        self.tell_scheduler(connection, Input::Opened { connection, caller });
        self.give(who, WorkerInput::Connected);
    }
}
