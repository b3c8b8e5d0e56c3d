//! A run's progress, on standard error.

pub mod render;
pub mod screen;
pub mod view;

use std::time::{Duration, Instant};

use super::render::RenderStyle;
use crate::model::event::Recorded;
use crate::model::ids::Timestamp;
use crate::model::state::State;
use crate::protocol::{Live, MissingWorkers};
use render::Load;
pub use screen::{DisplayMode, Screen};
use view::View;

/// Shortest time between two draws; nobody reads faster.
const DRAW_EVERY: Duration = Duration::from_millis(80);
/// How often the machine's load is read. It is a mean over a minute, so more often is no use.
const LOAD_EVERY: Duration = Duration::from_secs(2);

/// Shows a run's progress. Gets every event, and the workers' activity.
pub struct Progress {
    screen: Screen,
    view: View,
    /// Print every event as a permanent line, not only outcomes.
    everything: bool,
    drawn: Option<Instant>,
    load: Option<(Instant, Load)>,
}

impl Progress {
    /// Progress that continues from `state`. `everything` prints every event, not only outcomes.
    pub fn new(screen: Screen, state: &State, now: Timestamp, everything: bool) -> Self {
        let view = View::after(state, now);
        Self {
            screen,
            view,
            everything,
            drawn: None,
            load: None,
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, recorded: &Recorded) {
        let line = match self.everything {
            true => Some(self.view.event(recorded)),
            false => self.view.news(recorded, self.screen.draws()),
        };
        if let Some(line) = line {
            let style = self.style();
            self.screen.permanent(|| render::news(line, style));
        }
        self.draw(recorded.at, false);
    }

    /// Takes the workers' activity, and redraws.
    pub fn live(&mut self, live: &Live, now: Timestamp) {
        self.view.live(live);
        self.draw(now, true);
    }

    /// Whether a person has paused the run.
    pub fn is_paused(&self) -> bool {
        self.view.paused
    }

    /// Sets the workers that the run waits for.
    pub fn missing_workers(&mut self, missing: Vec<MissingWorkers>) {
        self.view.missing_workers = missing;
    }

    /// Redraws, so that elapsed times advance while nothing happens. Call it a few times a second.
    pub fn tick(&mut self, now: Timestamp) {
        self.draw(now, true);
    }

    /// Prints a permanent line, for example what Ctrl-C does.
    pub fn note(&self, text: &str) {
        self.screen.note(text);
    }

    /// Removes the redrawn lines from the screen.
    pub fn finish(self) {
        self.screen.clear();
    }

    fn style(&self) -> RenderStyle {
        RenderStyle {
            palette: self.screen.palette(),
            width: self.screen.width(),
            name_columns: self.view.name_columns,
        }
    }

    fn draw(&mut self, now: Timestamp, due: bool) {
        if !self.screen.draws() {
            return;
        }
        let early = self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW_EVERY);
        if early && !due {
            return;
        }
        self.drawn = Some(Instant::now());
        let now = self.view.steady(now);
        let load = Some(self.load());
        let style = self.style();
        let lines = match self.screen.mode() {
            DisplayMode::Bars => render::lines(&self.view, now, load, self.screen.rows(), style),
            _ => render::totals(&self.view, now, load, style),
        };
        self.screen.draw(&lines);
    }

    fn load(&mut self) -> Load {
        match self.load {
            Some((asked, load)) if asked.elapsed() < LOAD_EVERY => load,
            _ => {
                let processors = std::thread::available_parallelism();
                let load = Load {
                    one_minute: sysinfo::System::load_average().map_or(0.0, |load| load.one),
                    processors: processors.map_or(1, usize::from),
                };
                self.load = Some((Instant::now(), load));
                load
            }
        }
    }
}

#[cfg(test)]
mod tests;
