//! `scheduler log`: shows what happened, one line per event.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{ProjectContext, event_json, warn_about_source};
use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::client::{Call, Client, READER_LIMIT};
use crate::cli::completion;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages;
use crate::cli::render::RenderStyle;
use crate::cli::runtime;
use crate::cli::source::{Item, Source};
use crate::cli::text::Palette;
use crate::model::event::Recorded;
use crate::model::ids::{FeatureId, Sequence};
use crate::model::views::Timeline;
use crate::queue::Contents;

/// Show what happened, one line per event.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler log --follow\n  scheduler log --feature 118\n  scheduler log --from 2000 --format json"
)]
pub struct Args {
    /// Continue with new events as they happen, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// First event to show
    #[arg(long, value_name = "SEQ", default_value_t = 1, value_parser = event)]
    pub from: u64,
    /// Show only events about this feature
    #[arg(long, value_name = "N", value_parser = super::feature_id, add = ArgValueCandidates::new(completion::features))]
    pub feature: Option<FeatureId>,
}

/// Parses an event's number.
fn event(text: &str) -> Result<u64, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("events are numbered from 1")
}

/// While catching up, lines are collected up to this many bytes before they are written.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often `--follow` looks for the next scheduler when none is running.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Terminal columns for a feature's name.
const NAME_COLUMNS: usize = 32;

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    runtime::start()?.block_on(async {
        let mut fold = EntryFold::new(context, args);
        loop {
            let source = here.source().await?;
            let from = fold.next;
            let take =
                &mut |item: Item<'_>, contents: &dyn Contents| fold.take(&source, item, contents);
            source.read(from, args.follow, take).await?;
            fold.flush()?;
            warn_about_source(context, &source);
            fold.check()?;
            if !args.follow {
                return Ok(ExitCode::Passing);
            }
            // A scheduler that does not answer may recover.
            let socket = &here.project.socket;
            while !matches!(Client::call(socket, READER_LIMIT).await?, Call::Answered(_)) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    })
}

/// Turns events into lines.
struct EntryFold<'a> {
    context: &'a Context,
    args: &'a Args,
    timeline: Timeline,
    next: Sequence,
    lines: String,
    caught_up: bool,
    /// At least one matching event was shown.
    said: bool,
}

impl<'a> EntryFold<'a> {
    fn new(context: &'a Context, args: &'a Args) -> Self {
        // Feature names come from earlier events, so reading starts at the beginning of the log; raw
        // events need no names.
        let raw = context.out.is_json() && args.feature.is_none();
        Self {
            context,
            args,
            timeline: Timeline::default(),
            next: Sequence(if raw { args.from } else { 1 }),
            lines: String::new(),
            caught_up: false,
            said: false,
        }
    }

    fn take(
        &mut self,
        source: &Source,
        item: Item<'_>,
        contents: &dyn Contents,
    ) -> Result<ControlFlow<()>, Error> {
        match item {
            Item::Event(envelope) => {
                self.next = envelope.sequence.next();
                match source.decode(envelope, contents)? {
                    Some(recorded) => self.event(&recorded)?,
                    None => warn_about_source(self.context, source),
                }
            }
            Item::End => {
                self.caught_up = true;
                self.flush()?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn event(&mut self, recorded: &Recorded) -> Result<(), Error> {
        let line = self.timeline.describe(recorded);
        let wanted = self
            .args
            .feature
            .is_none_or(|id| line.features.contains(&id));
        if !wanted || recorded.sequence.0 < self.args.from {
            return Ok(());
        }
        self.said = true;
        if self.context.out.is_json() {
            self.lines.push_str(&event_json(recorded)?);
        } else {
            let out = &self.context.out;
            let palette = Palette { color: out.color };
            // The longest name is not known yet; a longer one shifts the rest of its line.
            let (width, name_columns) = (out.width, NAME_COLUMNS);
            let style = RenderStyle {
                palette,
                width,
                name_columns,
            };
            self.lines.push_str(&pages::event::text(&line, style));
        }
        self.lines.push('\n');
        if self.caught_up || self.lines.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Explains an empty result. With `--follow`, matching events may still come.
    fn check(&self) -> Result<(), Error> {
        if self.said || self.args.follow {
            return Ok(());
        }
        if let Some(feature) = self.args.feature.filter(|it| !self.timeline.knows(*it)) {
            return Err(Error::usage(
                format!("cannot show events about {feature}"),
                "the log has no such feature",
                "`scheduler status --format json` lists every feature",
            ));
        }
        self.context
            .note(match (self.args.feature, self.args.from) {
                (None, 1) => "the log is empty".to_owned(),
                (None, from) => format!("the log ends before event {from}"),
                (Some(feature), from) => format!("no event from {from} on is about {feature}"),
            });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.context.out.bytes(self.lines.as_bytes())?;
        self.lines.clear();
        Ok(())
    }
}
