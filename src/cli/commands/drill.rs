//! `scheduler drill`: kills processes at random for a while and counts what was lost.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Context;
use crate::cli::drill::{self, Plan};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::runtime;

/// Kill schedulers, workers and agents at random, and count what was lost.
///
/// The drill uses scripted agents in its own directory, and kills only processes that it started.
/// It fails if anything is lost, merged twice or left running; it then keeps the directory.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler drill --for 30s --kill-every 300ms\n\nThe drill uses scripted agents in its own directory, and kills only processes that it started. It fails if anything is lost, merged twice or left running; it then keeps the directory."
)]
pub struct Args {
    /// How long to keep killing
    #[arg(long = "for", value_name = "TIME", default_value = "2m", value_parser = length)]
    pub length: Duration,
    /// Average time between two strikes; each strike kills one or more processes
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = pause)]
    pub kill_every: Duration,
    /// Seed for all random choices [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Directory to work in, empty or new; it is kept [default: a new temporary directory]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Longest drill: after a day, more of the same shows nothing new.
const LENGTH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest time between strikes: below this, no scheduler lives long enough to do anything.
const PAUSE_MIN: Duration = Duration::from_millis(50);

fn length(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1), LENGTH_MAX)
}

fn pause(text: &str) -> Result<Duration, String> {
    between(text, PAUSE_MIN, LENGTH_MAX)
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text)
        .map_err(|_| "not a time; for example: 500ms, 30s or 2m".to_owned())?;
    let (shown_least, shown_most) = (
        humantime::format_duration(least),
        humantime::format_duration(most),
    );
    match (least..=most).contains(&parsed) {
        true => Ok(parsed),
        false => Err(format!("must be from {shown_least} to {shown_most}")),
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
        eprintln!("drill seed: {}", plan.seed);
    }
    let (findings, root) = runtime::start()?.block_on(drill::carry_out(context, &plan))?;
    if context.out.is_json() {
        context.out.json(&drill::json(&findings))?;
    } else {
        context.out.line(drill::text(&findings))?;
    }
    if !findings.clean() {
        return Err(Error::internal(
            "the drill found faults",
            "each is listed above",
            format!(
                "report them with the seed {1}; all files are kept in {0}",
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
