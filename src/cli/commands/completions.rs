//! `scheduler completions`: prints completions for shells.

use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Print completions for your shell to standard output.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler completions bash > ~/.local/share/bash-completion/completions/scheduler"
)]
pub struct Args {
    /// Shell to print completions for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args, command: &mut clap::Command) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "scheduler", &mut script);
    context.out.bytes(&script)?;
    Ok(ExitCode::Passing)
}
