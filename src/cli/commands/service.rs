//! `scheduler service`: a systemd unit for the project.

use std::path::Path;

use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::config::Config;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;
use crate::cli::runtime;
use crate::cli::worker_counts::WorkerCounts;

/// Print a systemd user unit that runs the project, and runs it again after a reboot.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler service --print --workers coding=3 > ~/.config/systemd/user/crewlog-NAME.service\n  systemctl --user enable --now crewlog-NAME\n  loginctl enable-linger      # start at boot, without a login\n\nThe unit contains the present PATH. It contains no keys: put those that agents need into the file that it names."
)]
pub struct Args {
    /// Print the unit to standard output
    #[arg(long, required = true)]
    pub print: bool,
    /// Workers to start and keep running [default: the config's]
    #[arg(long, value_name = "KIND=N,…", add = ArgValueCandidates::new(completion::workers))]
    pub workers: Option<WorkerCounts>,
    /// Keep the run open when everything is done, and wait for new features
    #[arg(long)]
    pub stay: bool,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let project = Project::find(context.global.project.as_deref())?;
    let config = Config::load(&project)?;
    let workers = args.workers.unwrap_or(config.worker_counts());
    if workers.coding + workers.testing == 0 {
        context.note(
            "the unit starts no workers: set workers.coding in the config, or give --workers",
        );
    }
    let own = runtime::own_executable()?;
    let path = std::env::var("PATH").unwrap_or_default();
    let unit = unit(&own, &project.root, &path, args);
    context.out.bytes(unit?.as_bytes())?;
    Ok(ExitCode::Passing)
}

/// The unit. Exit codes that wait for a person are no failures: a restart would not help.
fn unit(own: &Path, root: &Path, path: &str, args: &Args) -> Result<String, Error> {
    let root_text = text(root)?;
    let program = quoted(text(own)?);
    let project = quoted(root_text);
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let mut run = format!("{program} -C {project} run");
    if let Some(workers) = args.workers {
        run.push_str(&format!(
            " --workers coding={},testing={}",
            workers.coding, workers.testing
        ));
    }
    if args.stay {
        run.push_str(" --stay");
    }
    let codes = [
        ExitCode::SomeFailed,
        ExitCode::WaitingForPerson,
        ExitCode::BudgetSpent,
        ExitCode::Interrupted,
    ];
    let codes = codes.map(|code| code.code().to_string()).join(" ");
    let never = [ExitCode::Usage, ExitCode::LogHeld, ExitCode::LogDamaged];
    let never = never.map(|code| code.code().to_string()).join(" ");
    Ok(format!(
        "# A Crewlog run as a systemd user service.
[Unit]
Description=Crewlog run of {description}
StartLimitIntervalSec=10min
StartLimitBurst=5

[Service]
Type=exec
WorkingDirectory={directory}
Environment=\"PATH={path}\"
# Keys that agents need (`pass_env`), one NAME=value per line; the file may be missing.
EnvironmentFile=-%h/.config/crewlog/environment
ExecStart={run}
# Gives open attempts back at once; the next start continues them.
ExecStop={program} -C {project} stop --now
TimeoutStopSec=60
KillMode=mixed
# These mean that the run is over or waits for you, see `scheduler --help`.
SuccessExitStatus={codes}
RestartPreventExitStatus={never}
Restart=on-failure
RestartSec=30

[Install]
WantedBy=default.target
",
        description = escaped(&name),
        directory = root_text.replace('%', "%%"),
        path = path
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('%', "%%"),
    ))
}

/// The path as text that a unit can contain.
fn text(path: &Path) -> Result<&str, Error> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control));
    text.ok_or_else(|| {
        Error::usage(
            "cannot write a unit for this project",
            format!("{} is no plain text", path.display()),
            "move the project or the program to a path without control characters",
        )
    })
}

/// A word of a command line, by systemd's rules.
fn quoted(word: &str) -> String {
    let word = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    format!("\"{word}\"")
}

/// A description: one line, with nothing that systemd replaces.
fn escaped(text: &str) -> String {
    crate::cli::text::clean(text).replace('%', "%%")
}
