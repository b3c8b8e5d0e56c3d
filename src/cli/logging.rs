//! Log lines on standard error. Silent by default: people see a run's progress, and errors.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::globals::{Format, Global};
use super::output::wants_color;

/// Environment variable with a `tracing` filter, which overrides `-v`.
pub const FILTER_VARIABLE: &str = "CREWLOG_LOG";

/// Sends log lines to `writer`. A second call has no effect.
pub fn start<W>(global: &Global, quietest: &str, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => quietest,
        (false, 1) => "crewlog=info,warn",
        (false, 2) => "crewlog=debug,info",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(global.verbose > 1)
        // On a full disk or a closed terminal, it would report the failed write to the same place
        // and panic; the run continues without log lines instead.
        .log_internal_errors(false)
        .with_ansi(wants_color(global.color, io::stderr().is_terminal()))
        .with_writer(writer);
    // A test or an embedding program may already have its own subscriber, which stays.
    let _ = match global.log_format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
}
