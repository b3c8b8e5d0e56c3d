//! What people see of the log and of the state: pure projections, printed by `cli`, `web` and
//! `mcp`, each in its own way.

pub mod attempt;
pub mod brief;
pub mod chapter;
#[cfg(test)]
mod fixtures;
pub mod standing;
pub mod status;
pub mod story;
pub mod summary;
pub mod text;
pub mod why;

pub use attempt::{AttemptFold, AttemptStory};
pub use chapter::{Chapter, Choice};
pub use standing::{Standing, Standings};
pub use status::{StatusView, status};
pub use story::{Line, Mark, Story};
pub use summary::{Summary, summary};
pub use text::{FeatureText, feature_text};
pub use why::{Why, WhyFold};
