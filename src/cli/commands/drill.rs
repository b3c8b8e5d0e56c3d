//! `scheduler drill`: kill everything at random for a while, and count what is lost.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Context;
use crate::cli::drill::{self, Plan};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::runtime;

/// Works in a directory of its own with scripted agents; kills only processes that it has started.
/// Any loss, double merge or orphan fails it, and the directory is kept then.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler drill --for 30s --kill-every 300ms")]
pub struct Args {
    /// How long to kill
    #[arg(long = "for", value_name = "TIME", default_value = "2m", value_parser = length)]
    pub length: Duration,
    /// Time between two strikes, on average; each kills one or more processes
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = pause)]
    pub kill_every: Duration,
    /// Seed of everything that is drawn [default: drawn]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where to work: an empty or new directory, which is kept [default: a fresh one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A day shows whatever a drill can show.
const LENGTH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Faster than this, no scheduler would live long enough to do anything.
const PAUSE_MIN: Duration = Duration::from_millis(50);

fn length(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1), LENGTH_MAX)
}

fn pause(text: &str) -> Result<Duration, String> {
    between(text, PAUSE_MIN, LENGTH_MAX)
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text)
        .map_err(|_| "write a time such as 500ms, 30s or 2m".to_owned())?;
    let (shown_least, shown_most) = (
        humantime::format_duration(least),
        humantime::format_duration(most),
    );
    match (least..=most).contains(&parsed) {
        true => Ok(parsed),
        false => Err(format!("it is to be from {shown_least} to {shown_most}")),
    }
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let plan = Plan {
        length: args.length,
        every: args.kill_every,
        // JSON readers keep 53 bits of a number.
        seed: args.seed.unwrap_or_else(|| rand::random::<u64>() >> 11),
        dir: args.dir.clone(),
    };
    if !context.global.quiet {
        eprintln!("the drill's seed is {}", plan.seed);
    }
    let (findings, root) = runtime::start()?.block_on(drill::carry_out(context, &plan))?;
    if context.out.is_json() {
        context.out.json(&drill::json(&findings))?;
    } else {
        context.out.line(drill::text(&findings))?;
    }
    if !findings.clean() {
        return Err(Error::internal(
            "the drill found what must not be",
            "see the faults above",
            format!(
                "everything is kept in {}; report it with the seed {}",
                root.display(),
                plan.seed
            ),
        ));
    }
    Ok(match findings.interrupted {
        true => ExitCode::Interrupted,
        false => ExitCode::Passing,
    })
}
