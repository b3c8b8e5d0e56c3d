//! The arguments that hold for every verb of both binaries.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options that every command accepts.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Project directory [default: the nearest one with .crewlog/, from the current directory up]
    #[arg(short = 'C', long = "project", value_name = "DIR", global = true)]
    pub project: Option<PathBuf>,
    /// Format of results on standard output
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
    /// When to use colour; `auto` respects NO_COLOR
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "auto|always|never",
        hide_possible_values = true
    )]
    pub color: ColorChoice,
    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Write more log lines to standard error (-v, -vv, -vvv)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Format of log lines on standard error
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

/// Format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// How a run shows its progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars in a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// One line per running attempt and a total; plain lines without a terminal.
    Bar,
    /// One line of totals, updated in place; plain lines without a terminal.
    Counter,
    /// No progress at all.
    None,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// In a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Even when the output is not a terminal.
    Always,
    /// Not even in a terminal.
    Never,
}
