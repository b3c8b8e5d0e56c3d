//! The arguments that hold for every verb of both binaries.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What holds for every verb.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Directory of the project [default: the current one or the nearest above with .crewlog/]
    #[arg(short = 'C', long = "project", value_name = "DIR", global = true)]
    pub project: Option<PathBuf>,
    /// Form of the results on standard output
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "text|json",
        hide_possible_values = true
    )]
    pub format: Format,
    /// How a run shows its progress on standard error
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "auto|bar|counter|none",
        hide_possible_values = true
    )]
    pub progress: ProgressMode,
    /// When to colour; NO_COLOR in the environment means never
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "auto|always|never",
        hide_possible_values = true
    )]
    pub color: ColorChoice,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log more to standard error: -v, -vv, -vvv
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Form of the log lines on standard error
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "text|json",
        hide_possible_values = true
    )]
    pub log_format: Format,
}

/// For people, or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How a run shows its progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars in a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// A line for every running attempt and one total; plain lines without a terminal.
    Bar,
    /// One line of totals, renewed in place; plain lines without a terminal.
    Counter,
    /// Nothing.
    None,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// In a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
