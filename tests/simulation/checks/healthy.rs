//! A worker that does what it should is not ended by force.

use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Healthy;

impl Checker for Healthy {
    fn name(&self) -> &'static str {
        "a healthy worker is left alone"
    }

    fn see(&mut self, sight: &Sight<'_>, _: &Book, _: &Git) -> Result<(), String> {
        let Sight::Killed { process, healthy } = *sight else {
            return Ok(());
        };
        must(!healthy, || format!("{process:?} was killed"))
    }
}
