//! What people see of the log and of the state: pure projections, printed by `cli`, `web` and
//! `mcp`, each in its own way.

pub mod brief;
pub mod story;

pub use story::{Line, Mark, Story};
