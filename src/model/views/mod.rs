//! What people see of the log and of the state: pure projections, printed by `cli`, `web` and
//! `mcp`, each in its own way.

pub mod brief;
#[cfg(test)]
mod fixtures;
pub mod standing;
pub mod status;
pub mod story;
pub mod summary;
pub mod why;

pub use standing::{Standing, Standings};
pub use status::{StatusView, status};
pub use story::{Line, Mark, Story};
pub use summary::{Summary, summary};
pub use why::{Why, WhyFold};
