//! What people see of the log and of the state: pure projections, printed by `cli`, `web` and
//! `mcp`, each in its own way.

pub mod attempt;
#[cfg(test)]
mod fixtures;
pub mod status;
pub mod summary;
pub mod text;
pub mod timeline;
pub mod timeline_entry;
pub mod why;

pub use attempt::{AttemptFold, AttemptTimeline};
pub use status::{StatusView, status};
pub use summary::{Summary, summary};
pub use text::{FeatureText, feature_text};
pub use timeline::{EventLine, Label, Timeline};
pub use timeline_entry::{Choice, TimelineEntry};
pub use why::{Why, WhyFold};
