//! The arguments of both binaries.

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Parser, Subcommand};

use super::commands;
use super::exit::ExitCode;
use super::globals::Global;

const SCHEDULER_LONG: &str = "Runs a crew of coding agents on one repository's feature backlog.

Try it:            scheduler demo
In a repository:   scheduler init, edit features.toml, scheduler import features.toml,
                   scheduler run --workers coding=3,testing=1
Each verb explains itself: scheduler VERB --help";

/// Arguments of the `scheduler` binary.
#[derive(Debug, Parser)]
#[command(
    name = "scheduler",
    version,
    about = "Runs a crew of coding agents on one repository's feature backlog",
    long_about = SCHEDULER_LONG,
    after_help = ExitCode::table(),
    styles = styles(),
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Scheduler {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Arguments of the `worker` binary.
#[derive(Debug, Parser)]
#[command(
    name = "worker",
    version,
    about = "Takes jobs of one kind from the project's scheduler, one at a time",
    after_help = ExitCode::table(),
    styles = styles(),
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Worker {
    /// What holds everywhere.
    #[command(flatten)]
    pub global: Global,
    /// The worker's own.
    #[command(flatten)]
    pub args: commands::worker::Args,
}

/// The verbs, in the order in which a newcomer needs them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Watch the shipped example go from its backlog to merged commits
    Demo(commands::demo::Args),
    /// Set up this repository: write .crewlog/config.toml and a sample backlog
    Init(commands::init::Args),
    /// Check this machine: the agents' cage, git, disks, and what the config allows
    Doctor(commands::doctor::Args),
    /// Bring a backlog file (TOML or JSON) into the log, all of it or nothing
    Import(commands::import::Args),
    /// Work on the backlog until it is done, stuck, or out of budget
    Run(commands::run::Args),
    /// Show the backlog: what passes, runs, waits and for what, and what comes next
    Status(commands::status::Args),
    /// Show what happened, one line for every event
    Log(commands::log::Args),
    /// Fold the log up to a point and show the state there
    Replay(commands::replay::Args),
    /// Explain from the log alone why a feature is where it is
    Why(commands::why::Args),
    /// Show a feature's text, what an agent did in an attempt, or the output of a check
    Show(commands::show::Args),
    /// Prove that the log is whole and that every snapshot agrees with it
    Verify(commands::verify::Args),
    /// Make a damaged log whole of all that is proven; show first what it drops
    Repair(commands::repair::Args),
    /// Write the whole log to standard output as JSON lines
    Export(commands::export::Args),
    /// Start no new attempts until resumed
    Pause(commands::pause::Args),
    /// Start attempts again after a pause
    Resume(commands::resume::Args),
    /// Forgive failures: try these features again, or all that failed for good
    Retry(commands::retry::Args),
    /// Go on without a feature
    Skip(commands::skip::Args),
    /// Take a feature out of the backlog
    Remove(commands::remove::Args),
    /// Answer an agent's question
    Answer(commands::answer::Args),
    /// End the running scheduler: after its open attempts, or now
    Stop(commands::stop::Args),
    /// Kill schedulers, workers and agents at random, and count what was lost
    Drill(commands::drill::Args),
    /// Print a completion script for a shell
    Completions(commands::completions::Args),
    /// The same as the `worker` binary; how `run` starts its workers
    #[command(hide = true)]
    Worker(commands::worker::Args),
}

fn styles() -> Styles {
    let heading = Style::new().bold().underline();
    let literal = AnsiColor::Cyan.on_default().bold();
    Styles::styled()
        .header(heading)
        .usage(heading)
        .literal(literal)
}
