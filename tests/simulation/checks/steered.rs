//! Agents steer nothing and work for nobody: all that they bring about is a refusal in the log.

use crate::model::actor::Actor;
use crate::model::event::Event;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Steered;

impl Checker for Steered {
    fn name(&self) -> &'static str {
        "agents steer nothing"
    }

    fn see(&mut self, sight: &Sight<'_>, _: &Book, _: &Git) -> Result<(), String> {
        match sight {
            Sight::Obeyed { what } => Err(format!("an agent got {what}")),
            Sight::Durable(recorded) => {
                let agents = matches!(recorded.actor, Actor::Agent { .. });
                let refusal = matches!(recorded.event, Event::CommandRefused(_));
                must(agents == refusal, || {
                    format!("{} brought about {:?}", recorded.actor, recorded.event)
                })
            }
            _ => Ok(()),
        }
    }
}
