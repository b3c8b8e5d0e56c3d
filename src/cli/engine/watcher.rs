//! What a person is shown of a run while it goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cli::pages;
use crate::cli::progress::Progress;
use crate::model::event::Recorded;
use crate::model::settings::WorkerKind;
use crate::protocol::Live;
use crate::scheduler::Observer;

/// A worker that was just started needs a moment to join; after this long, one is missing.
const LACKING: Duration = Duration::from_secs(3);

/// Shows a person what happens, and says what the run waits for.
pub(super) struct Watcher {
    progress: Progress,
    /// Kinds of workers that are waited for: since when, and whether that was said.
    lacking: BTreeMap<WorkerKind, (Instant, bool)>,
    paused: Paused,
    quiet: bool,
}

/// How often a run that waits for a person says so again: rare enough for a log file.
const PAUSED_AGAIN: Duration = Duration::from_secs(30 * 60);

/// Whether it was said that the run waits because it is paused.
#[derive(Default)]
struct Paused {
    said: Option<Instant>,
}

impl Paused {
    /// True when it is to be said now.
    fn is_due(&mut self, waits: bool, now: Instant) -> bool {
        if !waits {
            self.said = None;
            return false;
        }
        let due = self
            .said
            .is_none_or(|said| now.duration_since(said) >= PAUSED_AGAIN);
        if due {
            self.said = Some(now);
        }
        due
    }
}

impl Watcher {
    pub(super) fn new(progress: Progress, quiet: bool) -> Self {
        Self {
            progress,
            paused: Paused::default(),
            quiet,
            lacking: BTreeMap::new(),
        }
    }
}

impl Observer for Watcher {
    fn committed(&mut self, events: &[Recorded]) {
        events.iter().for_each(|event| self.progress.event(event));
    }

    fn live(&mut self, live: &Live) {
        let lacks = |kind: &WorkerKind| live.lacking.iter().any(|it| it.kind == *kind);
        self.lacking.retain(|kind, _| lacks(kind));
        let mut missing = Vec::new();
        for lacking in &live.lacking {
            let entry = self.lacking.entry(lacking.kind);
            let (since, said) = entry.or_insert((Instant::now(), false));
            if since.elapsed() <= LACKING {
                continue;
            }
            missing.push(*lacking);
            if !std::mem::replace(said, true) {
                let word = lacking.kind.word();
                let start = pages::missing_workers::start(lacking);
                self.progress
                    .note(&format!("waiting for a {word} worker: {start}"));
            }
        }
        let waits = self.progress.is_paused() && live.attempts.is_empty() && !live.draining;
        if self.paused.is_due(waits, Instant::now()) && !self.quiet {
            self.progress.note(
                "the run is paused and waits: `scheduler resume` continues it, Ctrl-C ends it",
            );
        }
        self.progress.lacking(missing);
        self.progress.live(live, live.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_when_it_begins_and_rarely_again() {
        let mut paused = Paused::default();
        let began = Instant::now();
        let table = [
            (0, false, false),
            (1, true, true),
            (2, true, false),
            (30 * 60, true, false),
            (30 * 60 + 1, true, true),
            (30 * 60 + 2, true, false),
            (30 * 60 + 3, false, false),
            (30 * 60 + 4, true, true),
        ];
        for (at, waits, told) in table {
            let now = began + Duration::from_secs(at);
            assert_eq!(paused.is_due(waits, now), told, "at {at}");
        }
    }
}
