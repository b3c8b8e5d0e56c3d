//! `scheduler status`: shows the backlog at a glance.

mod watch;

use serde::Serialize;

use self::watch::Watch;
use super::{ProjectContext, warn_about_source};
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::output::terminal_rows;
use crate::cli::pages;
use crate::cli::runtime;
use crate::cli::source::FromDisk;
use crate::cli::store;
use crate::model::state::State;
use crate::model::views::{self, StatusView};
use crate::protocol::Live;

/// Show what passes, what runs, what waits and for what, and what comes next.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler status\n  scheduler status --watch\n  scheduler status --format json"
)]
pub struct Args {
    /// Keep the view up to date until the running scheduler ends
    #[arg(short, long)]
    pub watch: bool,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    runtime::start()?.block_on(async {
        let source = here.source().await?;
        let state = source.state(&here.project, None).await?;
        let live = source.live().await?;
        warn_about_source(context, &source);
        let from_disk = source.from_disk();
        let beside = Beside { live, from_disk };
        print(context, &state, &beside, args.watch)?;
        if args.watch {
            let running = source.is_running();
            drop(source);
            Watch::new(context, &here, state, running).run().await?;
        }
        Ok(ExitCode::Passing)
    })
}

/// What is known in addition to the log's events.
#[derive(Default, Serialize)]
struct Beside {
    /// The scheduler's current activity; null when no scheduler is running.
    live: Option<Live>,
    /// Set when a process holds the log but could not be asked.
    from_disk: Option<FromDisk>,
}

fn print(context: &Context, state: &State, beside: &Beside, again: bool) -> Result<(), Error> {
    let clock = beside.live.as_ref().map(|live| live.now);
    let now = clock.unwrap_or_else(store::now).max(state.at);
    let view = views::status(state, now);
    if context.out.is_json() {
        let view = &view;
        return context.out.json(&Json { view, beside });
    }
    let live = beside.live.as_ref();
    let mut page = pages::status::page(&view, pages::status::AsOf::Now(live), now, &context.out);
    if again && let Some(from_disk) = &beside.from_disk {
        page.insert_str(0, &format!("{from_disk}\n"));
    }
    if again && context.out.width.is_some() {
        // A page that is longer than the window would scroll its first lines out of sight.
        if let Some(rows) = terminal_rows(&std::io::stdout()) {
            page = fit_rows(&page, rows - 1);
        }
        // Overwrites the page before: cursor to the top left, then clear to the end.
        page.insert_str(0, "\x1b[H\x1b[J");
    } else if again {
        page.push('\n');
    }
    context.out.bytes(page.as_bytes())
}

/// The first lines of a page; the last row says how many more there are.
fn fit_rows(page: &str, rows: usize) -> String {
    let lines: Vec<&str> = page.lines().collect();
    if lines.len() <= rows {
        return page.to_owned();
    }
    let shown = rows.saturating_sub(1);
    let mut out: String = lines
        .iter()
        .take(shown)
        .flat_map(|line| [*line, "\n"])
        .collect();
    out.push_str(&format!("… {} more lines\n", lines.len() - shown));
    out
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    view: &'a StatusView,
    #[serde(flatten)]
    beside: &'a Beside,
}

#[cfg(test)]
mod tests {
    use super::fit_rows;

    #[test]
    fn a_page_is_not_longer_than_the_window() {
        assert_eq!(fit_rows("a\nb\nc\n", 3), "a\nb\nc\n");
        assert_eq!(fit_rows("a\nb\nc\nd\n", 3), "a\nb\n… 2 more lines\n");
        assert_eq!(fit_rows("", 3), "");
    }
}
