//! `scheduler config`: what the config says, and what it could say.

use crate::cli::Context;
use crate::cli::config::{Config, Entry, Origin, TEMPLATE};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;

/// Print the config in force: what the file sets, and with --all every key with its explanation and
/// default
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  scheduler config\n  scheduler config --all | less")]
pub struct Args {
    /// Every key with its explanation and default, as a config file
    #[arg(long)]
    pub all: bool,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    if args.all && !context.out.is_json() {
        context.out.bytes(TEMPLATE.as_bytes())?;
        return Ok(ExitCode::Passing);
    }
    let project = Project::find(context.global.project.as_deref())?;
    let config = Config::load(&project)?;
    let entries = config.entries().into_iter().map(Entry::hidden);
    let wanted = |origin: Origin| args.all || origin != Origin::Default;
    let entries = entries.filter(|entry| wanted(entry.origin));
    if context.out.is_json() {
        let values = entries.map(|entry| {
            serde_json::json!({
                "key": entry.key, "value": entry.value, "origin": entry.origin.to_string(),
            })
        });
        let values: Vec<_> = values.collect();
        context.out.json(&serde_json::json!({
            "file": project.config.to_string_lossy(),
            "jobs": config.profiles(),
            "values": values,
        }))?;
        return Ok(ExitCode::Passing);
    }
    let out = &context.out;
    out.line(format_args!("# {}", project.config.display()))?;
    for entry in entries {
        out.line(format_args!("{} = {}", entry.key, entry.value))?;
    }
    out.line(format_args!("# jobs: {}", config.profiles()))?;
    Ok(ExitCode::Passing)
}
