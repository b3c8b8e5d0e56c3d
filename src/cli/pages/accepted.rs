//! What a person's command prints when the scheduler has accepted it.

use super::Page;
use crate::cli::output::Output;
use crate::cli::text::{Style, clean};
use crate::model::command::PersonCommand;

/// What the command did, by the number of its events: without any, everything already was as it
/// asks. `typed` are the settings as the person typed them.
pub fn page(command: &PersonCommand, events: u64, typed: &str, out: &Output) -> String {
    let mut page = Page::new(out);
    page.wrapped(0, &[(Style::Plain, &clean(&text(command, events, typed)))]);
    page.end()
}

fn text(command: &PersonCommand, events: u64, typed: &str) -> String {
    let already = events == 0;
    match command {
        PersonCommand::Pause { .. } if already => {
            "already paused; `scheduler resume` continues the run".to_owned()
        }
        PersonCommand::Pause { .. } => {
            "paused: open attempts continue, no new ones start until `scheduler resume`".to_owned()
        }
        PersonCommand::Resume if already => {
            "nothing to resume: the run is not paused, and nothing holds it up".to_owned()
        }
        PersonCommand::Resume => "resumed: new attempts start again".to_owned(),
        PersonCommand::Retry { features } => retried(events, features.is_empty()),
        PersonCommand::Skip { feature, .. } => {
            let back = format!("`scheduler retry {}` brings it back", feature.0);
            match already {
                true => format!("{feature} is already skipped; {back}"),
                false => format!("skipped {feature}: the run continues without it; {back}"),
            }
        }
        PersonCommand::Remove { feature } if already => format!("{feature} is already removed"),
        PersonCommand::Remove { feature } => format!(
            "removed {feature}; what is merged stays on the branch, and the log keeps its history"
        ),
        PersonCommand::Answer { .. } if already => {
            "already answered; nothing was changed".to_owned()
        }
        PersonCommand::Answer { .. } => {
            "answered: the feature's next attempt gets your answer in its prompt".to_owned()
        }
        PersonCommand::ChangeSettings { .. } if already => {
            "the run already has these settings".to_owned()
        }
        PersonCommand::ChangeSettings { .. } => format!(
            "set {typed} until the scheduler ends; to keep it, set it in .crewlog/config.toml"
        ),
        PersonCommand::Import { .. } | PersonCommand::ImportFile { .. } => match already {
            true => "nothing to import: the backlog has these features".to_owned(),
            false => "imported".to_owned(),
        },
    }
}

/// Each retried feature has one event. `every` is a retry without numbers.
fn retried(features: u64, every: bool) -> String {
    match features {
        0 if every => "nothing to retry: no feature has failed for good".to_owned(),
        0 => "nothing to retry: the given features have no failures to forgive".to_owned(),
        1 => "the feature's failures are forgiven; the run tries it again".to_owned(),
        _ => format!("the failures of {features} features are forgiven; the run tries them again"),
    }
}
