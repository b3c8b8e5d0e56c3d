//! What must hold, one promise in each file.

mod acknowledged;
mod dense;
mod dependencies;
mod ending;
mod folding;
mod healthy;
mod holder;
mod lawful;
mod lost;
mod measured;
mod merged;
mod outages;
mod proof;
mod single;
mod spent;
mod starts;
mod steered;
mod taken;
mod tries;
mod troubles;

use super::sight::Checker;

/// Everybody who looks.
pub fn all() -> Vec<Box<dyn Checker + Send>> {
    vec![
        Box::new(dense::Dense::default()),
        Box::new(acknowledged::Acknowledged::default()),
        Box::new(holder::Holder::default()),
        Box::new(lawful::Lawful::default()),
        Box::new(single::Single),
        Box::new(merged::Merged::default()),
        Box::new(dependencies::Dependencies),
        Box::new(starts::Starts),
        Box::new(tries::Tries),
        Box::new(troubles::Troubles::default()),
        Box::new(steered::Steered),
        Box::new(taken::Taken),
        Box::new(lost::Lost::default()),
        Box::new(proof::Proof),
        Box::new(ending::Ending),
        Box::new(folding::Folding),
        Box::new(healthy::Healthy),
        Box::new(measured::Measured),
        Box::new(spent::Spent::default()),
        Box::new(outages::Outages::default()),
    ]
}
