//! The command-line arguments of both binaries.

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Parser, Subcommand};

use super::commands;
use super::exit::ExitCode;
use super::globals::Global;

const SCHEDULER_LONG: &str = "Runs a crew of coding agents on one repository's feature backlog.

Try it:            scheduler demo
In a repository:   scheduler init
                   edit .crewlog/config.toml and features.toml
                   scheduler import features.toml
                   scheduler run --workers coding=3,testing=1
Help on a command: scheduler COMMAND --help";

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
    /// Options that every command accepts.
    #[command(flatten)]
    pub global: Global,
    /// The command to run.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Arguments of the `worker` binary.
#[derive(Debug, Parser)]
#[command(
    name = "worker",
    version,
    about = "Works on jobs of one kind for the project's scheduler, one at a time",
    after_help = ExitCode::table(),
    styles = styles(),
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Worker {
    /// Options that every command accepts.
    #[command(flatten)]
    pub global: Global,
    /// Options of the worker alone.
    #[command(flatten)]
    pub args: commands::worker::Args,
}

/// The commands, in the order in which a newcomer needs them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the bundled example, from its backlog to merged commits
    Demo(commands::demo::Args),
    /// Set up this repository: write .crewlog/config.toml and a sample backlog
    Init(commands::init::Args),
    /// Print the config in force, or every key with its explanation
    Config(commands::config::Args),
    /// Check what a run needs on this machine: the cage, git, disks and agents
    Doctor(commands::doctor::Args),
    /// Import a backlog file (TOML or JSON): all features, or none if one is invalid
    Import(commands::import::Args),
    /// Work on the backlog until everything is done, blocked, or out of budget
    Run(commands::run::Args),
    /// Show the live screen of a run in the background, until it ends
    Attach(commands::attach::Args),
    /// Print a systemd unit that runs the project, also after a reboot
    Service(commands::service::Args),
    /// Show what passes, what runs, what waits and for what, and what comes next
    Status(commands::status::Args),
    /// Show what passed, what failed and why, what was spent, and what waits for you
    Report(commands::report::Args),
    /// Show what happened, one line per event
    Log(commands::log::Args),
    /// Show the state at a point in the log
    Replay(commands::replay::Args),
    /// Explain a feature's status, and why each of its attempts was chosen
    Why(commands::why::Args),
    /// Show a feature's text, the agent's work in an attempt, or a check's output
    Show(commands::show::Args),
    /// Prove that the log is complete and that every snapshot agrees with it
    Verify(commands::verify::Args),
    /// Rebuild a damaged log from every event that can be verified
    Repair(commands::repair::Args),
    /// Print the log as JSON lines, or write it to one checksummed file
    Export(commands::export::Args),
    /// Start no new attempts until you resume
    Pause(commands::pause::Args),
    /// Continue after a pause, or try again now after a problem of the machine
    Resume(commands::resume::Args),
    /// Try features again with their failures forgiven
    Retry(commands::retry::Args),
    /// Continue without a feature
    Skip(commands::skip::Args),
    /// Remove a feature from the backlog
    Remove(commands::remove::Args),
    /// Change settings of the running scheduler
    Set(commands::set::Args),
    /// Answer an agent's question
    Answer(commands::answer::Args),
    /// End the running scheduler, after its open attempts or immediately
    Stop(commands::stop::Args),
    /// Kill schedulers, workers and agents at random, and count what was lost
    Drill(commands::drill::Args),
    /// Print completions for your shell
    Completions(commands::completions::Args),
    /// Same as the `worker` binary; `run` starts its workers with it
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
