//! `scheduler retry`: failures forgiven.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;
use crate::model::ids::FeatureId;

/// All that failed for good when none is named: parked ones, and those without a verdict.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler retry          # every feature that failed for good\n  scheduler retry 7 118"
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
    // One event for each feature.
    super::submit_counted(context, command, |features| match features {
        1 => "its failures are forgiven; a run tries it again".to_owned(),
        features => {
            format!("the failures of {features} features are forgiven; a run tries them again")
        }
    })
}
