//! `scheduler retry`: failures forgiven.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::ids::FeatureId;

/// All parked features when none is named.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler retry          # every parked feature\n  scheduler retry 7 118"
)]
pub struct Args {
    /// Numbers of features
    #[arg(value_name = "N", value_parser = super::feature_id)]
    pub features: Vec<FeatureId>,
}

/// Carries the verb out.
pub fn run(_context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    Err(super::not_yet("retry"))
}
