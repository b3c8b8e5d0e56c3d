//! `scheduler retry`: failures forgiven.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;
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
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let command = PersonCommand::Retry {
        features: args.features.clone(),
    };
    super::submit(
        context,
        command,
        "their failures are forgiven; a run tries them again",
    )
}
