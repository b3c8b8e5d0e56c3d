//! `scheduler completions`: prints completions for shells.

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;

/// Print completions for your shell to standard output. They know the project's features and
/// attempts.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  source <(scheduler completions bash)                # in ~/.bashrc\n  source <(scheduler completions bash --for worker)\n  scheduler completions fish > ~/.config/fish/completions/scheduler.fish\n\nPrint them again after an update of Crewlog."
)]
pub struct Args {
    /// Shell to print completions for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
    /// Program to complete
    #[arg(
        long = "for",
        value_enum,
        default_value_t,
        value_name = "scheduler|worker",
        hide_possible_values = true
    )]
    pub program: Program,
}

/// The programs of Crewlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Program {
    /// The `scheduler` binary
    #[default]
    Scheduler,
    /// The `worker` binary
    Worker,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let program = match args.program {
        Program::Scheduler => "scheduler",
        Program::Worker => "worker",
    };
    let shell = args.shell.to_string();
    let script = completion::script(&shell, program).ok_or_else(|| {
        let next = "`scheduler completions --help` lists the shells";
        Error::internal(
            "cannot print completions",
            format!("{shell} is not known"),
            next,
        )
    })?;
    context.out.bytes(&script)?;
    Ok(ExitCode::Passing)
}
