//! Views: pure projections of the log and the state for people. `cli` prints them.

pub mod attempt;
#[cfg(test)]
mod fixtures;
pub mod notice;
pub mod report;
pub mod status;
pub mod text;
pub mod timeline;
pub mod timeline_entry;
pub mod why;

pub use attempt::{AttemptFold, AttemptTimeline};
pub use notice::{Notice, NoticeFold, NoticeKind};
pub use report::{Report, ReportFold};
pub use status::{StatusView, status};
pub use text::{FeatureText, feature_text};
pub use timeline::{EventLine, Label, Timeline};
pub use timeline_entry::{Choice, TimelineEntry};
pub use why::{Why, WhyFold};
