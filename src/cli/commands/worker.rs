//! `worker`: works on jobs for the scheduler, one at a time.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::config::Config;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;
use crate::cli::runtime;
use crate::cli::text::clean;
use crate::cli::{Context, failures, logging, store};
use crate::model::ids::ContentHash;
use crate::model::settings::WorkerKind;
use crate::queue::{Contents, FileContents};
use crate::worker::{self, Exit, OutputStore};

/// Work on jobs of one kind for the project's scheduler, one at a time.
///
/// The worker finds the scheduler by the project's directory, waits for it, and survives its
/// restart.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  worker --kind coding         # in as many terminals as you like\n  worker --kind testing -C ~/my-repository\n\nThe worker finds the scheduler by the project's directory, waits for it, and survives its restart."
)]
pub struct Args {
    /// Kind of jobs to work on
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// Socket of the scheduler [default: the project's]
    #[arg(long, value_name = "PATH")]
    pub connect: Option<PathBuf>,
    /// Started by a scheduler: end soon when there is no scheduler and no open job
    #[arg(long, hide = true)]
    pub started_by_scheduler: bool,
    /// Directory with the config that the scheduler recorded for this run
    #[arg(long, value_name = "DIR", hide = true)]
    pub recorded_config: Option<PathBuf>,
}

/// The kind of jobs that a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Implements features that do not pass yet
    Coding,
    /// Tests passing features; changes no code
    Testing,
}

impl From<Kind> for WorkerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Coding => Self::Coding,
            Kind::Testing => Self::Testing,
        }
    }
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    logging::start(&context.global, "crewlog=info,warn", std::io::stderr);
    let project = Project::find(context.global.project.as_deref())?;
    let project = project.settle()?;
    let config = match &args.recorded_config {
        Some(frozen) => Config::load_frozen(&project, frozen),
        None => Config::load(&project),
    }?;
    let project = project.join_attempts(config.attempts_dir())?;
    let mut config = config.worker(&project)?;
    config.started_by_scheduler = args.started_by_scheduler;
    let outputs = FileContents::open(&store::contents(&project));
    let outputs = Outputs(outputs.map_err(|error| failures::of_log(&error))?);
    let reporter = Arc::new(|line: &str| tracing::info!("{}", clean(line)));
    let kind = args.kind.into();
    let connect = args.connect.clone();
    let working = worker::run(config, kind, connect, Arc::new(outputs), reporter);
    let path_guard = project.path_guard();
    let exit = runtime::start()?.block_on(async {
        tokio::select! {
            exit = working => exit.map_err(|error| {
                let next = "fix this and start the worker again";
                Error::usage("the worker cannot start", error, next)
            }),
            // Every process that the worker started ends with it.
            error = path_guard.lost(|| Ok(())) => Err(error),
        }
    })?;
    match exit {
        Exit::Drained | Exit::Stopped => Ok(ExitCode::Passing),
        Exit::Interrupted => Ok(ExitCode::Interrupted),
        Exit::NoScheduler => Err(Error::new(
            ExitCode::WaitingForPerson,
            "the worker waited too long for a scheduler",
            format!("no scheduler listens at {}", project.socket.display()),
            "start one with `scheduler run`; work that the worker finished is kept",
        )),
        Exit::Refused(problem) => {
            let what = "the scheduler refused the worker";
            Err(Error::usage(what, problem.what, problem.advice))
        }
        Exit::Failed(reason) => Err(Error::internal("the worker cannot continue", reason, "")),
    }
}

/// Stores outputs of checks as content files beside the log.
struct Outputs(FileContents);

impl OutputStore for Outputs {
    fn put(&self, bytes: &[u8]) -> std::io::Result<ContentHash> {
        self.0.put(bytes).map_err(std::io::Error::other)
    }

    fn path(&self, hash: &ContentHash) -> Option<PathBuf> {
        let path = self.0.path(hash);
        path.is_file().then_some(path)
    }
}
