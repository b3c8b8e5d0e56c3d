//! `scheduler remove`: removes a feature from the backlog.

use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;
use crate::model::ids::FeatureId;

/// Remove a feature from the backlog.
///
/// Features that depend on it no longer wait for it. What is already merged stays on the branch,
/// and the log keeps the feature's history. Its number is not used again.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler remove 118\n\nFeatures that depend on it no longer wait for it. What is already merged stays on the branch, and the log keeps the feature's history. Its number is not used again."
)]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id, add = ArgValueCandidates::new(completion::features))]
    pub feature: FeatureId,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let feature = args.feature;
    super::submit(context, PersonCommand::Remove { feature }, "")
}
