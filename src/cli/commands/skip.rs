//! `scheduler skip`: go on without a feature.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;
use crate::model::ids::FeatureId;

/// What depends on it becomes unreachable; `retry N` brings it back.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler skip 118 --reason \"postponed to the next release\"")]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id)]
    pub feature: FeatureId,
    /// Why, for those who read the log later
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
    let command = PersonCommand::Skip {
        feature: args.feature,
        reason: args.reason.clone(),
    };
    super::submit(
        context,
        command,
        &format!(
            "the run goes on without it; `scheduler retry {}` brings it back",
            args.feature.0
        ),
    )
}
