//! What people do: they import, edit, skip, remove, retry, answer, pause and stop, through a
//! scheduler that runs or without one, and ask again when they get no answer.

use super::*;
use crate::model::actor::{Actor, Caller};
use crate::model::command::{PersonCommand, Rejection};
use crate::model::ids::{FeatureId, Sequence};
use crate::protocol::ClientMessage;
use crate::scheduler::{load, offline};
use crate::simulation::person;
use crate::simulation::scenario::Entry;

/// How often a person looks at the screen.
const LOOK_MS: u64 = 5_000;

/// A command that waits for its answer.
pub struct Wish {
    id: CommandId,
    command: PersonCommand,
    pub connection: Option<Connection>,
    /// It is sent twice, for whatever reason.
    twice: bool,
}

/// Whoever gives the commands.
fn person() -> Actor {
    Actor::person(1000, 4_711, "pts/3")
}

impl World {
    pub(super) fn import_before_the_run(&mut self, features: Vec<Entry>) {
        let update = false;
        let id = self.command_id();
        self.submit_offline(id, PersonCommand::Import { features, update });
    }

    /// The command line writes to the log itself when no scheduler runs.
    fn submit_offline(&mut self, id: CommandId, command: PersonCommand) {
        let state = load::resume(&self.log, None).unwrap_or_default();
        let now = self.wall();
        let submitted = offline::submit_to(&self.log, state, &person(), id, now, command);
        let next = self.view.sequence.next();
        let written = self.log.read(next, usize::MAX);
        let events = written.and_then(|chunk| chunk.events(self.log.contents()));
        self.durable(&events.unwrap_or_default());
        match submitted {
            Ok(accepted) => {
                let (first, last) = (accepted.first, accepted.last);
                self.show(&Sight::Accepted { id, first, last });
            }
            Err(_) => self.show(&Sight::Refused { id }),
        }
    }

    /// A person thinks of something.
    pub(super) fn whim(&mut self, dice: &mut Dice) {
        let testers = !self.scenario.settings.testing.eq(&0);
        if let Some(command) = person::whim(dice, &self.view, testers) {
            self.wish(command, dice.percent(20));
        }
    }

    fn wish(&mut self, command: PersonCommand, twice: bool) {
        self.note(|| format!("a person wants {command:?}"));
        let id = self.command_id();
        self.wishes.push_back(Wish {
            id,
            command,
            connection: None,
            twice,
        });
        self.ask();
    }

    /// Looks at the screen, helps where help is needed, and asks again what was not answered.
    pub(super) fn look(&mut self) {
        self.after(LOOK_MS, Item::Look);
        self.ask();
        if !self.wishes.is_empty() {
            return;
        }
        let mut dice = Dice::new(self.scenario.seed, Stream::Person, self.now_ms);
        if (self.fair() || dice.percent(10))
            && let Some(command) = person::help(&self.view)
        {
            self.wish(command, false);
        }
    }

    fn ask(&mut self) {
        let Some(at) = self
            .wishes
            .iter()
            .position(|wish| wish.connection.is_none())
        else {
            return;
        };
        let Some(scheduler) = &self.scheduler else {
            // Either it waits for the scheduler, or it does without.
            if self.disk.percent(30)
                && let Some(wish) = self.wishes.remove(at)
            {
                self.submit_offline(wish.id, wish.command);
            }
            return;
        };
        let reign = scheduler.reign;
        self.connections += 1;
        let connection = Connection(self.connections);
        let Some(wish) = self.wishes.get_mut(at) else {
            return;
        };
        wish.connection = Some(connection);
        let (id, command, times) = (wish.id, wish.command.clone(), 1 + u32::from(wish.twice));
        let ms = self.disk.between(0, 20);
        self.after(
            ms,
            Item::Input(
                reign,
                Input::OpenedClient {
                    connection,
                    caller: Caller::person(1000, 4_711, "pts/3"),
                },
            ),
        );
        for _ in 0..times {
            let command = command.clone();
            let message = Box::new(ClientMessage::Command { id, command });
            let input = Input::Client {
                connection,
                message,
            };
            self.after(ms, Item::Input(reign, input));
        }
    }

    /// An answer leaves the scheduler: from now on somebody may know of it.
    pub(super) fn told(&mut self, connection: Connection, answer: &ToClient) {
        let refused = matches!(
            answer,
            ToClient::Rejected(Rejection::Agent) | ToClient::Refused(_)
        );
        self.told_agent(connection, format!("{answer:?}"), refused);
        let wish = self
            .wishes
            .iter()
            .find(|it| it.connection == Some(connection));
        let Some(id) = wish.map(|wish| wish.id) else {
            return;
        };
        match answer {
            ToClient::Accepted { first, last } => {
                let (first, last): (Sequence, Sequence) = (*first, *last);
                self.show(&Sight::Accepted { id, first, last });
            }
            ToClient::Rejected(rejection) => {
                self.note(|| format!("refused: {rejection}"));
                self.show(&Sight::Refused { id });
            }
            _ => {}
        }
    }

    pub(super) fn answered(&mut self, connection: Connection) {
        let mut wishes = self.wishes.iter();
        let Some(at) = wishes.position(|wish| wish.connection == Some(connection)) else {
            return;
        };
        if let Some(wish) = self.wishes.get_mut(at).filter(|wish| wish.twice) {
            wish.twice = false;
            return;
        }
        self.wishes.remove(at);
        let reign = self.reigns;
        self.after(1, Item::Input(reign, Input::Closed { connection }));
    }

    /// Features that pass, as people see them.
    pub(super) fn passing(&self) -> Vec<FeatureId> {
        let book = self.observers.book.features.iter();
        book.filter(|(_, facts)| facts.passing)
            .map(|(&id, _)| id)
            .collect()
    }
}
