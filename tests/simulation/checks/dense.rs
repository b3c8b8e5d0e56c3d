//! Sequences are dense, and neither reigns nor times go back.

use crate::model::ids::{Epoch, Timestamp};
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Dense {
    epoch: Epoch,
    at: Timestamp,
}

impl Checker for Dense {
    fn name(&self) -> &'static str {
        "sequences are dense"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        let Sight::Durable(recorded) = sight else {
            return Ok(());
        };
        let (sequence, last) = (recorded.sequence, book.last);
        must(sequence == last.next(), || {
            format!("{sequence} follows {last}")
        })?;
        let (epoch, before) = (recorded.epoch, self.epoch);
        must(epoch >= before, || format!("epoch {epoch} after {before}"))?;
        let (at, earlier) = (recorded.at, self.at);
        must(at >= earlier, || {
            format!("event {sequence} of {at} after {earlier}")
        })?;
        (self.epoch, self.at) = (epoch, at);
        Ok(())
    }
}
