//! `scheduler remove`: take a feature out of the backlog.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;
use crate::model::ids::FeatureId;

/// Features that wait for it wait for it no longer. What is merged stays on the branch, and the log
/// keeps its history; its number is not given out again.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler remove 118")]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id)]
    pub feature: FeatureId,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let feature = args.feature;
    let command = PersonCommand::Remove { feature };
    super::submit(
        context,
        command,
        &format!(
            "{feature} is out of the backlog; what is merged of it stays, and `scheduler log` keeps its history"
        ),
    )
}
