//! Log lines on standard error. Silent by default: what a person wants to see of a run is its
//! progress, and what failed is an error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::globals::{Format, Global};
use super::output::wants_color;

/// Variable of the environment that overrides `-v` with a filter of `tracing`.
pub const FILTER_VARIABLE: &str = "CREWLOG_LOG";

/// Sends the log lines to `writer` from now on; a second call changes nothing.
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
        // It would complain about a full disk or a terminal that is gone there where it could not
        // write, and panic; the work goes on without its log lines.
        .log_internal_errors(false)
        .with_ansi(wants_color(global.color, io::stderr().is_terminal()))
        .with_writer(writer);
    // A test or an embedding program may have its own subscriber already; that one stays.
    let _ = match global.log_format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
}
