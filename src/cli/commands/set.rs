//! `scheduler set`: changes settings of the current run.

use super::ProjectContext;
use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::client::Client;
use crate::cli::completion;
use crate::cli::config::{run_keys, run_setting};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::runtime;
use crate::model::command::{PersonCommand, SettingChange};

/// Change settings of the running scheduler. The next `scheduler run` reads the config again.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler set max_concurrency=5\n  scheduler set budget_usd=25 idle_limit=20m\n\nThe keys are those of [run] in .crewlog/config.toml. They hold until the scheduler ends; to keep a value, set it in that file."
)]
pub struct Args {
    /// A key of [run] and its new value
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = change, add = ArgValueCandidates::new(completion::settings))]
    pub changes: Vec<Change>,
}

/// One change, as it was typed and as the run takes it.
#[derive(Debug, Clone)]
pub struct Change {
    typed: String,
    change: SettingChange,
}

fn change(text: &str) -> Result<Change, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("write KEY=VALUE; the keys are {}", run_keys().join(", ")))?;
    let key = key.trim().trim_start_matches("run.");
    let (name, value) = run_setting(key, value.trim())?;
    Ok(Change {
        typed: text.to_owned(),
        change: SettingChange { name, value },
    })
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    let running = runtime::start()?.block_on(Client::connect(&here.project.socket))?;
    if running.is_none() {
        return Err(Error::usage(
            "no scheduler is running here",
            "`set` changes a running scheduler",
            format!(
                "set the value in {}; the next `scheduler run` reads it",
                here.project.config.display()
            ),
        ));
    }
    drop(running);
    let changes = args.changes.iter().map(|it| it.change.clone()).collect();
    let typed: Vec<&str> = args.changes.iter().map(|it| it.typed.as_str()).collect();
    let command = PersonCommand::ChangeSettings { changes };
    super::submit(context, command, &typed.join(" "))
}
