//! Every event is one that the tables of `model::lifecycle` allow where it stands, and leads to
//! the statuses that they name.

use crate::model::apply::apply;
use crate::model::lifecycle;
use crate::model::state::State;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Lawful {
    state: State,
}

impl Checker for Lawful {
    fn name(&self) -> &'static str {
        "events are lawful"
    }

    fn see(&mut self, sight: &Sight<'_>, _: &Book, _: &Git) -> Result<(), String> {
        let Sight::Durable(recorded) = sight else {
            return Ok(());
        };
        let lawful = lifecycle::check(&self.state, recorded);
        let said = || format!("event {} {:?}", recorded.sequence, recorded.event);
        let expected = lawful.map_err(|why| format!("{}: {why}", said()))?;
        apply(&mut self.state, recorded);
        for (id, status) in expected {
            let slot = self.state.slot(id);
            let feature = slot.and_then(|slot| self.state.in_slot(slot));
            let found = feature.map(|feature| feature.status);
            must(found == Some(status), || {
                format!("{}: #{id} is {found:?}, not {status:?}", said())
            })?;
        }
        Ok(())
    }
}
