//! Describes problems of the machine and of agents.

use super::Label;
use crate::model::event::Event;
use crate::model::evidence::FailureKind;
use crate::model::format;
use crate::model::ids::{AttemptId, Timestamp};

/// The label and words of an event about a problem, and the attempt that met it.
pub fn told(event: &Event, now: Timestamp) -> Option<(Label, AttemptId, String)> {
    Some(match event {
        Event::ProviderLimited(it) => {
            let (wait, reason) = (limited(now, it.until), it.reason.trim_end());
            let note = format!("{} cannot be used {wait}: {reason}", it.profile.subject());
            let label = match it.kind {
                FailureKind::Trouble(_) => Label::Hold,
                _ => Label::Limit,
            };
            (label, it.attempt, note)
        }
        Event::CrewTroubled(it) => {
            let wait = format::duration(it.until.since_ms(now));
            let (whose, advice) = (it.kind.whose(), it.kind.advice());
            let reason = it.reason.trim_end();
            let note =
                format!("{whose}, not of the feature: {reason}; {advice} (next try in {wait})");
            (Label::Hold, it.attempt, note)
        }
        Event::CrewRecovered(it) => {
            let note = "the machine works again".to_owned();
            (Label::Well, it.attempt, note)
        }
        Event::ProfileRecovered(it) => {
            let note = format!("{} works again", it.profile.subject());
            (Label::Well, it.attempt, note)
        }
        _ => return None,
    })
}

/// For how long a provider refuses.
fn limited(now: Timestamp, until: Timestamp) -> String {
    match until.0 {
        u64::MAX => "until `scheduler resume`".to_owned(),
        _ => format!("for {}", format::duration(until.since_ms(now))),
    }
}
