//! Shows a person what happens during a run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cli::pages;
use crate::cli::progress::Progress;
use crate::model::event::Recorded;
use crate::model::settings::WorkerKind;
use crate::protocol::Live;
use crate::scheduler::Observer;

/// A worker that was just started needs a moment to join; after this time, it counts as missing.
const MISSING_AFTER: Duration = Duration::from_secs(3);

/// Shows a person what happens and what the run waits for.
pub struct Watcher {
    progress: Progress,
    /// Kinds of workers that are missing: since when, and whether that was printed.
    missing: BTreeMap<WorkerKind, (Instant, bool)>,
    paused: Paused,
    quiet: bool,
}

/// How often a paused run prints that it waits: rarely enough for a log file.
const PAUSED_AGAIN: Duration = Duration::from_secs(30 * 60);

/// When it was last printed that the run is paused.
#[derive(Default)]
struct Paused {
    said: Option<Instant>,
}

impl Paused {
    /// True if it must be printed now.
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
    /// Shows everything on `progress`.
    pub fn new(progress: Progress, quiet: bool) -> Self {
        Self {
            progress,
            paused: Paused::default(),
            quiet,
            missing: BTreeMap::new(),
        }
    }
}

impl Observer for Watcher {
    fn committed(&mut self, events: &[Recorded]) {
        events.iter().for_each(|event| self.progress.event(event));
    }

    fn live(&mut self, live: &Live) {
        let is_missing = |kind: &WorkerKind| live.missing_workers.iter().any(|it| it.kind == *kind);
        self.missing.retain(|kind, _| is_missing(kind));
        let mut shown = Vec::new();
        for missing in &live.missing_workers {
            let entry = self.missing.entry(missing.kind);
            let (since, said) = entry.or_insert((Instant::now(), false));
            if since.elapsed() <= MISSING_AFTER {
                continue;
            }
            shown.push(*missing);
            if !std::mem::replace(said, true) {
                let word = missing.kind.as_str();
                let start = pages::missing_workers::start(missing);
                self.progress
                    .note(&format!("waiting for a {word} worker: {start}"));
            }
        }
        let waits = self.progress.is_paused() && live.attempts.is_empty() && !live.draining;
        if self.paused.is_due(waits, Instant::now()) && !self.quiet {
            self.progress.note(
                "the run is paused; continue it with `scheduler resume`, or end it with Ctrl-C",
            );
        }
        self.progress.missing_workers(shown);
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
