//! `scheduler retry`: forgives features their failures and tries them again.

use crate::cli::Context;
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
    #[arg(value_name = "N", value_parser = super::feature_id)]
    pub features: Vec<FeatureId>,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let command = PersonCommand::Retry {
        features: args.features.clone(),
    };
    // Each feature has one event.
    super::submit_counted(context, command, |features| match features {
        0 if args.features.is_empty() => {
            "nothing to retry: no feature has failed for good".to_owned()
        }
        0 => "nothing to retry: the given features have no failures to forgive".to_owned(),
        1 => "its failures are forgiven; the run tries it again".to_owned(),
        features => {
            format!("the failures of {features} features are forgiven; the run tries them again")
        }
    })
}
