//! `scheduler resume`: attempts start again.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;

/// Ends a pause.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  scheduler resume")]
pub struct Args {}

/// Carries the verb out.
pub fn run(context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    let command = PersonCommand::Resume;
    super::submit(context, command, "attempts start again")
}
