//! `scheduler why`: why a feature is where it is.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::ids::FeatureId;

/// From the log alone: why it was or was not chosen, by what terms and against which others.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler why 118")]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id)]
    pub feature: FeatureId,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("why"))
}
