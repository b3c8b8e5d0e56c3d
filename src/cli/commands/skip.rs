//! `scheduler skip`: continues without a feature.

use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;
use crate::model::ids::FeatureId;

/// Continue without a feature. Features that depend on it become unreachable; `retry N` brings it
/// back.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler skip 118 --reason \"postponed to the next release\"\n\nFeatures that depend on it become unreachable. `scheduler retry N` brings it back."
)]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id, add = ArgValueCandidates::new(completion::features))]
    pub feature: FeatureId,
    /// Reason, kept in the log
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub reason: String,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let (feature, reason) = (args.feature, args.reason.clone());
    super::submit(context, PersonCommand::Skip { feature, reason }, "")
}
