//! Agents that try to steer the run, or to work for it.

use super::*;
use crate::model::actor::{Caller, Kin, Origin};
use crate::model::command::PersonCommand;
use crate::protocol::{ClientMessage, StopMode, WorkerMessage};
use crate::simulation::person;

/// The process ids of agents begin here; those of workers end long before.
const PIDS: u32 = 1_000_000;

impl World {
    /// An agent of some open attempt connects, and says what it has no right to.
    pub(super) fn hostile(&mut self, dice: &mut Dice, living: &[Who]) {
        let busy = living.iter().filter_map(|who| {
            let worker = self.workers.get(who)?;
            let attempt = worker.at_hand?;
            self.trees.contains_key(&attempt).then_some((*who, attempt))
        });
        let busy: Vec<(Who, AttemptId)> = busy.collect();
        let (Some((who, attempt)), Some(reign)) = (
            dice.pick(&busy),
            self.scheduler.as_ref().map(|one| one.reign),
        ) else {
            return;
        };
        let Some(process) = self.workers.get(&who).map(|it| it.process.clone()) else {
            return;
        };
        self.connections += 1;
        let connection = Connection(self.connections);
        self.agents.insert(connection);
        let pid = PIDS + self.connections as u32;
        let caller = agent(dice, pid, attempt, &process);
        self.note(|| format!("an agent of {attempt} connects as {caller:?}"));
        let mut inputs = Vec::new();
        if dice.percent(30) {
            inputs.push(Input::Opened { connection, caller });
            let kind = match dice.percent(50) {
                true => WorkerKind::Coding,
                false => WorkerKind::Testing,
            };
            let process = ProcessIdentity {
                pid,
                start_ticks: 1,
                ..process
            };
            let hello = WorkerMessage::Hello {
                kind,
                process,
                worker: None,
                holding: None,
                config: String::new(),
            };
            for message in [hello, WorkerMessage::Ready] {
                let message = Box::new(message);
                inputs.push(Input::Worker {
                    connection,
                    message,
                });
            }
        } else {
            inputs.push(Input::OpenedClient { connection, caller });
            let wish = self.agents_wish(dice);
            for message in std::iter::repeat_n(wish, dice.between(1, 3) as usize) {
                let message = Box::new(message);
                inputs.push(Input::Client {
                    connection,
                    message,
                });
            }
        }
        inputs.push(Input::Closed { connection });
        for input in inputs {
            self.after(0, Item::Input(reign, input));
        }
    }

    /// Whatever would let it pass: its own check replaced, or the run out of its way.
    fn agents_wish(&mut self, dice: &mut Dice) -> ClientMessage {
        let id = self.command_id();
        let known = self.observers.book.features.iter();
        let weaker = known.map(|(&feature, facts)| {
            let mut spec = facts.spec.clone();
            spec.checks = vec!["true".to_owned()];
            (feature, spec)
        });
        let weaker = PersonCommand::Import {
            features: weaker.collect(),
            update: true,
        };
        match dice.between(0, 5) {
            0 => ClientMessage::Stop(StopMode::Now),
            1 => ClientMessage::Stop(StopMode::Drain),
            2 | 3 => ClientMessage::Command {
                id,
                command: weaker,
            },
            _ => {
                let command = person::whim(dice, &self.view, true).unwrap_or(weaker);
                ClientMessage::Command { id, command }
            }
        }
    }

    /// What the scheduler says to an agent: no.
    pub(super) fn told_agent(&mut self, connection: Connection, what: String, refused: bool) {
        if self.agents.contains(&connection) && !refused {
            self.show(&Sight::Obeyed { what });
        }
    }
}

/// An agent's process as the kernel describes it: below its worker, whatever it has hidden.
fn agent(dice: &mut Dice, pid: u32, attempt: AttemptId, worker: &ProcessIdentity) -> Caller {
    let origin = match dice.between(0, 2) {
        0 => Some(Origin::Attempt(attempt)),
        1 => Some(Origin::Unknown),
        _ => None,
    };
    let own = Kin {
        pid,
        start_ticks: 1,
        origin,
    };
    let parent = Kin {
        pid: worker.pid,
        start_ticks: worker.start_ticks,
        origin: None,
    };
    let nested = dice.percent(30);
    Caller {
        // In a namespace of its own it has hidden even its ancestors.
        lineage: match nested && dice.percent(50) {
            true => vec![own],
            false => vec![own, parent],
        },
        nested,
        ..Caller::person(1000, pid, "")
    }
}
