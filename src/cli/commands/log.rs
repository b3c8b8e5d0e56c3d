//! `scheduler log`: what happened, event by event.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::ids::FeatureId;

/// Works while a scheduler runs and when none does.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler log --follow\n  scheduler log --feature 118\n  scheduler log --from 2000 --format json"
)]
pub struct Args {
    /// Go on with new events as they happen, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Begin at this sequence number
    #[arg(long, value_name = "SEQ", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// Only events that concern this feature
    #[arg(long, value_name = "N", value_parser = super::feature_id)]
    pub feature: Option<FeatureId>,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("log"))
}
