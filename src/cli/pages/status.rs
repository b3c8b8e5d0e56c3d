//! The page of `scheduler status`.

use super::{Page, missing_workers, time};
use crate::cli::output::Output;
use crate::cli::text::{Style, cell, cell_right, clean, fit, width};
use crate::model::config;
use crate::model::derived_status::DerivedStatus;
use crate::model::event::RunOutcome;
use crate::model::format;
use crate::model::ids::Timestamp;
use crate::model::settings::WorkerKind;
use crate::model::state::GIVE_BACKS_MAX;
use crate::model::views::status::OutageView;
use crate::model::views::status::{FeatureView, StatusView};
use crate::model::views::timeline;
use crate::protocol::{Live, LiveAttempt};

/// Features listed per group; JSON has all.
const ROWS_MAX: usize = 10;
/// Terminal columns for a question or failure that is followed by a command.
const NOTE_COLUMNS_MAX: usize = 160;
/// Passing features listed by number.
const NUMBERS_MAX: usize = 30;
/// Columns before a fact at the top of the page.
const FACT_COLUMN: usize = 10;
/// Most terminal columns for a feature's name.
const NAME_COLUMNS_MAX: usize = 40;

/// The moment that the status describes.
#[derive(Clone, Copy, Debug)]
pub enum AsOf<'a> {
    /// Now, with the scheduler's activity if one is running.
    Now(Option<&'a Live>),
    /// The moment of the last event that was read.
    Sequence,
}

/// The page for `view`, as of `now`.
pub fn page(view: &StatusView, as_of: AsOf<'_>, now: Timestamp, out: &Output) -> String {
    let (live, replayed) = match as_of {
        AsOf::Now(live) => (live, false),
        AsOf::Sequence => (None, true),
    };
    let names = view.features.iter().map(|it| width(&clean(&it.name))).max();
    let room = out
        .width
        .map_or(NAME_COLUMNS_MAX, |width| (width / 3).max(8));
    let names = names.unwrap_or(0).clamp(8, NAME_COLUMNS_MAX.min(room));
    let mut writer = Writer {
        page: Page::new(out),
        view,
        live,
        replayed,
        now,
        names,
    };
    writer.head();
    writer.attempts();
    for status in [
        DerivedStatus::NeedsInput,
        DerivedStatus::Parked,
        DerivedStatus::Unreachable,
    ] {
        writer.group(status);
    }
    writer.unproven();
    writer.next();
    for status in [
        DerivedStatus::Delayed,
        DerivedStatus::Blocked,
        DerivedStatus::Skipped,
    ] {
        writer.group(status);
    }
    writer.passing();
    writer.page.end()
}

struct Writer<'a> {
    page: Page,
    view: &'a StatusView,
    live: Option<&'a Live>,
    replayed: bool,
    now: Timestamp,
    names: usize,
}

impl Writer<'_> {
    fn fact(&mut self, name: &str, tone: Style, text: &str) {
        let name = cell(name, FACT_COLUMN);
        self.page
            .wrapped(FACT_COLUMN, &[(Style::Strong, &name), (tone, text)]);
    }

    fn head(&mut self) {
        let view = self.view;
        let (tone, run) = self.run();
        self.fact("run", tone, &run);
        if !view.branch.is_empty() {
            let branch = format!("{} at {}", view.branch, view.head.short());
            self.fact("branch", Style::Plain, &branch);
        }
        self.warnings();
        let counts = view.counts.iter().rev();
        let counts: Vec<String> = counts
            .map(|(it, count)| format!("{count} {}", it.as_str()))
            .collect();
        let text = match view.features.len() {
            0 => "none yet; add some with `scheduler import FILE`".to_owned(),
            all => format!("{all}: {}", counts.join(", ")),
        };
        self.fact("features", Style::Plain, &text);
        if let Some(note) = &view.unverified_note {
            self.fact("tests", Style::Warning, note);
        }
        if !view.workers.is_empty() {
            self.workers();
        }
        let spent = format::usage(view.spent);
        if !spent.is_empty() {
            self.fact("spent", Style::Plain, &spent);
        }
        let log = format!("{} events, the last at {}", view.sequence, time(view.at));
        self.fact(
            "log",
            Style::Faint,
            if view.sequence.0 == 0 { "empty" } else { &log },
        );
    }

    /// Facts that need attention, printed first.
    fn warnings(&mut self) {
        let view = self.view;
        if let Some((at, moved)) = &view.moved {
            let since = format::duration(self.now.since_ms(*at));
            let text = format!("{since} ago, {}", clean(&timeline::moved(moved)));
            self.fact("moved", Style::Warning, &text);
        }
        if let (total @ 1.., changes) = &view.config {
            let text = clean(&config::words(changes, *total));
            let text = format!("changed since the previous run: {text}");
            self.fact("config", Style::Warning, &text);
        }
        if !view.held.is_empty() {
            self.fact("held", Style::Warning, &clean(&format::held(&view.held)));
        }
        if view.run.as_ref().is_some_and(|run| run.budget_reached) {
            let text = "spent; no new attempts start, and the run ends with the open ones";
            self.fact("budget", Style::Warning, text);
        }
        if let Some(reason) = &view.paused {
            let next = "`scheduler resume` continues the run";
            let text = match reason.is_empty() {
                true => next.to_owned(),
                false => format!("{}; {next}", clean(reason)),
            };
            self.fact("paused", Style::Warning, &text);
        }
        if let Some((count, last)) = &view.refused {
            let more = match count.saturating_sub(1) {
                0 => String::new(),
                more => format!(" (and {more} earlier; `scheduler log` shows them)"),
            };
            let text = format!("{} tried to {}{more}", last.actor, clean(&last.command));
            self.fact("refused", Style::Warning, &text);
        }
        // After its end, only what a person must do is left of it.
        let over = view.run.as_ref().is_none_or(|run| run.outcome.is_some());
        for outage in &view.outages {
            if outage.advice.is_some() || !over {
                self.outage(outage);
            }
        }
        if let Some(trouble) = &view.troubled {
            let (kind, reason) = (trouble.kind.as_str(), clean(&trouble.reason));
            let text = format!(
                "a problem ({kind}) holds up new attempts: {reason}; {}",
                trouble.advice
            );
            self.fact("machine", Style::Warning, &text);
        }
    }

    fn outage(&mut self, outage: &OutageView) {
        let (name, reason) = (&outage.profile, clean(&outage.reason));
        let name = match outage.profile.is_named() {
            true => format!("{name} "),
            false => String::new(),
        };
        let text = match (&outage.advice, outage.until) {
            (Some(advice), _) => {
                format!("{name}cannot be used: {reason}; {advice}, then `scheduler resume`")
            }
            (None, Some(until)) if until > self.now => {
                let wait = format::duration(until.since_ms(self.now));
                format!("{name}cannot be used, next try in {wait}: {reason}")
            }
            (None, _) => format!("{name}is being tried again: {reason}"),
        };
        self.fact("agent", Style::Warning, &text);
    }

    fn run(&self) -> (Style, String) {
        let Some(run) = &self.view.run else {
            return (
                Style::Plain,
                "none yet; start one with `scheduler run`".to_owned(),
            );
        };
        if let Some(outcome) = run.outcome {
            let tone = match outcome {
                RunOutcome::AllPassing => Style::Good,
                RunOutcome::WaitingForPerson => Style::Warning,
                RunOutcome::SomeFailed | RunOutcome::BudgetSpent => Style::Bad,
            };
            let reason = clean(&run.reason);
            let waiting = [DerivedStatus::Ready, DerivedStatus::Delayed].iter();
            let waiting: u32 = waiting
                .filter_map(|status| self.view.counts.get(status))
                .sum();
            if waiting > 0 && !self.replayed {
                let features = if waiting == 1 {
                    "feature is"
                } else {
                    "features are"
                };
                // What a spent budget needs is part of its reason.
                let next = match outcome {
                    RunOutcome::BudgetSpent => "",
                    _ => "; continue with `scheduler run`",
                };
                let text = format!(
                    "not running, {waiting} {features} ready{next} (the last run ended: {reason})"
                );
                return (Style::Warning, text);
            }
            return (tone, format!("finished: {reason}"));
        }
        let since = format::duration(run.ran_ms);
        match self.live {
            Some(live) if live.draining => (
                Style::Warning,
                format!("ending, process {}, open for {since}", live.pid),
            ),
            Some(live) if !live.missing_workers.is_empty() => {
                let start: Vec<String> = live
                    .missing_workers
                    .iter()
                    .map(missing_workers::start)
                    .collect();
                let text = format!(
                    "process {}, open for {since}, waiting for a worker: {}",
                    live.pid,
                    start.join("; ")
                );
                (Style::Warning, text)
            }
            Some(live) => (
                Style::Good,
                format!("process {}, open for {since}", live.pid),
            ),
            None if self.replayed => (Style::Plain, format!("open for {since} at this event")),
            None => {
                let text = "interrupted; `scheduler run` continues where it ended";
                (Style::Warning, text.to_owned())
            }
        }
    }

    fn workers(&mut self) {
        let kind = |kind: &WorkerKind| match kind {
            WorkerKind::Coding => "coding",
            WorkerKind::Testing => "testing",
        };
        let workers = self.view.workers.iter().take(ROWS_MAX);
        let mut words: Vec<String> = workers
            .map(|(name, it)| format!("{} ({})", clean(name), kind(it)))
            .collect();
        if self.view.workers.len() > ROWS_MAX {
            words.push(format!("{} more", self.view.workers.len() - ROWS_MAX));
        }
        self.fact("workers", Style::Plain, &words.join(", "));
        if !self.view.unfit.is_empty() {
            let names = clean(&self.view.unfit.join(", "));
            let text = format!(
                "{names}: gave up {GIVE_BACKS_MAX} jobs in a row and gets no more; check its output, then restart it"
            );
            self.fact("suspended", Style::Warning, &text);
        }
    }

    fn title(&mut self, title: &str, count: usize) {
        self.page.gap();
        let count = format!(" ({count})");
        self.page
            .line(&[(Style::Strong, title), (Style::Faint, &count)]);
    }

    fn row(&mut self, id: &str, name: &str, tone: Style, note: &str) {
        let id = cell_right(id, 7);
        let name = cell(&clean(name), self.names);
        let note = clean(note);
        self.page.line(&[
            (Style::Plain, &id),
            (Style::Plain, " "),
            (Style::Plain, &name),
            (Style::Plain, "  "),
            (tone, &note),
        ]);
    }

    /// A feature that waits for a person's command. The note is shortened, the command is not.
    fn asking(&mut self, feature: &FeatureView, tone: Style, command: &str) {
        let id = cell_right(&feature.feature.to_string(), 7);
        let name = cell(&clean(&feature.name), self.names);
        let subject = format!("{id} {name}  ");
        let note = fit(&clean(&feature.note), NOTE_COLUMNS_MAX);
        let note = format!("{note} (`{command}`)");
        let indent = width(&subject);
        self.page.wrapped(
            indent,
            &[(Style::Plain, &subject), (tone, note.trim_start())],
        );
    }

    fn attempts(&mut self) {
        if self.view.attempts.is_empty() {
            return;
        }
        self.title("running", self.view.attempts.len());
        for attempt in self.view.attempts.iter().take(ROWS_MAX) {
            let live = self.live.and_then(|live| {
                live.attempts
                    .iter()
                    .find(|it| it.attempt == attempt.attempt)
            });
            let id = attempt
                .features
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            let kind = match attempt.kind {
                WorkerKind::Coding if attempt.number > 1 => format!("try {}", attempt.number),
                WorkerKind::Coding => "coding".to_owned(),
                WorkerKind::Testing => "testing".to_owned(),
            };
            let since = format::duration(attempt.ran_ms);
            let doing = live.map(doing).unwrap_or_default();
            let note = format!("{} {kind} for {since}{doing}", attempt.worker);
            self.row(&id, &attempt.name, Style::Note, &note);
        }
        self.more(self.view.attempts.len());
    }

    fn group(&mut self, status: DerivedStatus) {
        let view = self.view;
        let features = view.features.iter().filter(|it| it.status == status);
        let features: Vec<&FeatureView> = features.collect();
        if features.is_empty() {
            return;
        }
        self.title(status.as_str(), features.len());
        for feature in features.iter().take(ROWS_MAX) {
            let number = feature.feature.0;
            match status {
                DerivedStatus::NeedsInput => {
                    let command = format!("scheduler answer {number} TEXT");
                    self.asking(feature, Style::Warning, &command);
                }
                DerivedStatus::Parked => {
                    let command = format!("scheduler retry {number}");
                    self.asking(feature, Style::Bad, &command);
                }
                _ => {
                    let (tone, note) = self.note(feature);
                    self.row(&feature.feature.to_string(), &feature.name, tone, &note);
                }
            }
        }
        self.more(features.len());
    }

    /// Passing features whose last tests gave no verdict.
    fn unproven(&mut self) {
        let view = self.view;
        let features: Vec<&FeatureView> = view.features.iter().filter(|it| it.unproven).collect();
        if features.is_empty() {
            return;
        }
        self.title("without a verdict", features.len());
        for feature in features.iter().take(ROWS_MAX) {
            let command = format!("scheduler retry {}", feature.feature.0);
            self.asking(feature, Style::Bad, &command);
        }
        self.more(features.len());
    }

    fn note(&self, feature: &FeatureView) -> (Style, String) {
        match feature.status {
            DerivedStatus::Delayed => {
                let wait = format::duration(feature.not_before.since_ms(self.now));
                (Style::Plain, format!("retried in {wait}: {}", feature.note))
            }
            DerivedStatus::Unreachable => (Style::Bad, feature.note.clone()),
            _ => (Style::Faint, feature.note.clone()),
        }
    }

    fn next(&mut self) {
        if self.view.next.is_empty() {
            return;
        }
        let ready = self
            .view
            .counts
            .get(&DerivedStatus::Ready)
            .copied()
            .unwrap_or(0);
        self.title("next", ready as usize);
        for next in &self.view.next {
            self.row(
                &next.feature.to_string(),
                &next.name,
                Style::Faint,
                &timeline::rank_words(&next.terms),
            );
        }
        let shown = self.view.next.len();
        if ready as usize > shown {
            self.page.line(&[(
                Style::Faint,
                &format!("        and {} more", ready as usize - shown),
            )]);
        }
    }

    fn more(&mut self, count: usize) {
        if count > ROWS_MAX {
            self.page.line(&[(
                Style::Faint,
                &format!("        and {} more", count - ROWS_MAX),
            )]);
        }
    }

    fn passing(&mut self) {
        let passing = self
            .view
            .features
            .iter()
            .filter(|it| it.status == DerivedStatus::Passing);
        let numbers: Vec<String> = passing.map(|it| it.feature.to_string()).collect();
        if numbers.is_empty() {
            return;
        }
        self.title("passing", numbers.len());
        let shown = numbers
            .iter()
            .take(NUMBERS_MAX)
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        let more = match numbers.len() {
            count if count > NUMBERS_MAX => format!(" and {} more", count - NUMBERS_MAX),
            _ => String::new(),
        };
        self.page.line(&[
            (Style::Good, &format!("     {shown}")),
            (Style::Faint, &more),
        ]);
    }
}

fn doing(live: &LiveAttempt) -> String {
    match (live.connected, live.activity.is_empty()) {
        (false, _) => ", not connected".to_owned(),
        (true, true) => String::new(),
        (true, false) => format!(", {}", live.activity),
    }
}
