//! Tells a person's own program, or a web address, what deserves a notice.
//!
//! Each target has a thread and a queue of its own, so that nothing here delays the run or another
//! target. A notice is delivered once, even if the scheduler is restarted: a file remembers how far
//! a target got, and what it was being told.

mod command;
mod cursor;
mod delivery;
mod payload;
mod target;
mod webhook;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::cursor::Cursor;
use self::delivery::Delivery;
pub use self::payload::{End, Origin};
use self::target::Target;
use crate::model::ids::{Sequence, Timestamp};
use crate::model::views::{Notice, NoticeKind};

/// Older notices are not delivered after a pause of the scheduler: nobody waits for them any more.
pub const AGE_MS_MAX: u64 = 24 * 3_600_000;

/// Whom to tell, and of what.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// A shell command; gets the notice as JSON on standard input and in variables.
    pub command: Option<String>,
    /// An address that gets the notice as JSON by POST.
    pub webhook: Option<String>,
    /// The kinds that are told.
    pub kinds: Vec<NoticeKind>,
}

/// Delivers notices until it is finished.
pub struct Notifier {
    origin: Origin,
    kinds: Vec<NoticeKind>,
    deliveries: Vec<Delivery>,
}

impl Notifier {
    /// Starts a thread for each target. `data` has the files that remember what was delivered; a
    /// target that is new there begins after `last`.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        targets: Targets,
        origin: Origin,
        data: &Path,
        last: Sequence,
    ) -> std::io::Result<Self> {
        let mut deliveries = Vec::new();
        let command = targets.command.map(|command| {
            let target = command::CommandTarget::new(command, origin.root.clone());
            Box::new(target) as Box<dyn Target>
        });
        let webhook = targets.webhook.map(|address| {
            let target = webhook::WebhookTarget::new(address);
            Box::new(target) as Box<dyn Target>
        });
        for (name, target) in [("command", command), ("webhook", webhook)] {
            let path = file(data, name);
            match target {
                Some(target) => {
                    let cursor = Cursor::open(path, last);
                    deliveries.push(Delivery::start(target, cursor)?);
                }
                // If it is set again, it begins with what happens then.
                None => drop(std::fs::remove_file(path)),
            }
        }
        Ok(Self {
            origin,
            kinds: targets.kinds,
            deliveries,
        })
    }

    /// The first event that some target has not dealt with.
    pub fn first(&self) -> Option<Sequence> {
        let done = self.deliveries.iter().map(Delivery::done).min();
        done.map(Sequence::next)
    }

    /// Hands a notice to every target; returns at once. Notices come in order of their events.
    pub fn send(&self, notice: &Notice, now: Timestamp) {
        if !self.kinds.contains(&notice.kind) || now.since_ms(notice.at) > AGE_MS_MAX {
            return;
        }
        for delivery in &self.deliveries {
            delivery.push(payload::Payload::of(notice, &self.origin, None));
        }
    }

    /// Tells the end of the run, and waits until every target has everything, at most `limit`. What
    /// is left is delivered by the next run. `last` is the last event of the log.
    pub fn finish(self, end: Option<(&Notice, End)>, last: Sequence, limit: Duration) {
        for delivery in &self.deliveries {
            if let Some((notice, end)) = &end
                && self.kinds.contains(&notice.kind)
            {
                delivery.push(payload::Payload::of(
                    notice,
                    &self.origin,
                    Some(end.clone()),
                ));
            }
            delivery.close(last);
        }
        let begun = std::time::Instant::now();
        for delivery in self.deliveries {
            delivery.finish(limit.saturating_sub(begun.elapsed()));
        }
    }
}

/// The file that remembers how far a target got.
fn file(data: &Path, target: &str) -> PathBuf {
    data.join(format!("notified-{target}.json"))
}
