//! `scheduler resume`: ends a pause, or a wait after a problem of the machine.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;

/// Start attempts again after a pause, or try again now after a problem of the machine.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler resume")]
pub struct Args {}

/// Carries the verb out.
pub fn run(context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    super::submit(context, PersonCommand::Resume, "")
}
