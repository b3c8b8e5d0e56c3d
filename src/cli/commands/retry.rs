//! `scheduler retry`: forgives features their failures and tries them again.

use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;
use crate::model::ids::FeatureId;

/// Try features again with their failures forgiven.
///
/// Without numbers, this retries every feature that failed for good: parked features, and features
/// whose tests gave no verdict.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler retry          # every feature that failed for good\n  scheduler retry 7 118"
)]
pub struct Args {
    /// Feature numbers [default: all that failed for good]
    #[arg(value_name = "N", value_parser = super::feature_id, add = ArgValueCandidates::new(completion::retried))]
    pub features: Vec<FeatureId>,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let features = args.features.clone();
    super::submit(context, PersonCommand::Retry { features }, "")
}
