//! The same events make the same state, byte for byte, however they are folded.

use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Folding;

impl Checker for Folding {
    fn name(&self) -> &'static str {
        "folding again gives the same state"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        let Sight::Folded { how, one, other } = *sight else {
            return Ok(());
        };
        must(one == other, || {
            format!("{how} at event {}: the states differ", book.last)
        })
    }
}
