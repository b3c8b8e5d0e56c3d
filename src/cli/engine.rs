//! A run from start to end, for the commands `run` and `demo`.

mod ended;
mod notices;
mod parts;
mod run_log;
mod signals;
mod watcher;

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

pub use self::ended::Ended;
use self::notices::Notices;
use self::parts::{SpoolFiles, by_kind, integration, is_own, reap, worker_command};
pub use self::run_log::{ProcessEnd, RunLog};
pub use self::signals::LISTENS;
use self::signals::{detach_on_hangup, end_on_signals};
pub use self::watcher::Watcher;
use super::Context;
use super::config::Config;
use super::error::Error;
use super::logging;
use super::progress::{Progress, Screen};
use super::project::{self, Project};
use super::store::{self, now};
use super::text::clean;
use super::worker_counts::WorkerCounts;
use super::{failures, runtime};
use crate::agent::cage::probe::Support;
use crate::agent::process;
use crate::bug;
use crate::model::config::{differences, words};
use crate::model::ids::AttemptId;
use crate::model::state::{Attempt, State};
use crate::model::views::ReportFold;
use crate::protocol::identity;
use crate::queue::{EventLog, SledLog};
use crate::scheduler::processes::LocalProcesses;
use crate::scheduler::{self, Ending, Options, RunConfig, load};
use crate::worker::config::Isolation;
use crate::worker::{self, Hangup, Signals, cage, tree_prefix};
use crate::workspace::Repository;

/// What the command decides about a run, in addition to the config.
#[derive(Debug, Default)]
pub struct RunOptions {
    /// Workers to start and keep running.
    pub workers: WorkerCounts,
    /// Seed for all random choices; random by default.
    pub seed: Option<u64>,
    /// Keep the run open when everything is done.
    pub stay: bool,
    /// A line to print at the start.
    pub notes: Vec<String>,
    /// Whoever started this run in the background, and waits until it listens.
    pub starter: Option<UnixStream>,
}

/// Runs the scheduler: holds the log, listens, and returns when the run is over or was stopped.
pub fn work(
    context: &Context,
    project: &Project,
    config: &Config,
    run: RunOptions,
) -> Result<Ended, Error> {
    if run.workers.coding + run.workers.testing > 0 {
        let worker = can_work(project, config)?;
        cage::notes(&worker)
            .iter()
            .for_each(|note| context.note(note));
    }
    let screen = Screen::new(&context.global);
    if run.starter.is_some() {
        screen.write_times();
    }
    logging::start(&context.global, "warn", screen.clone());
    let runtime = runtime::start()?;
    let ended = runtime.block_on(work_here(context, project, config, run, screen));
    match bug::count() {
        0 => {}
        bugs => context.note(format_args!(
            "{bugs} internal errors were logged. Please report them together with the output of `scheduler export`"
        )),
    }
    ended
}

/// Reports a mistake in the workers' config here, once, instead of by each worker in turn.
fn can_work(project: &Project, config: &Config) -> Result<worker::Config, Error> {
    let worker = config.worker(project)?;
    let next = format!("edit {}", project.config.display());
    worker::check(&worker).map_err(|error| Error::usage("workers cannot start", error, next))?;
    if worker.isolation == Isolation::Cage {
        let support = Support::probe(Path::new(process::TreeCommand::OWN_EXECUTABLE));
        let lacks = support.lacks().join("; ");
        if !support.cages() || support.no_namespace.is_some() {
            return Err(Error::usage(
                "environment.isolation is \"cage\", but this machine cannot provide it",
                lacks,
                "change the kernel's settings, or set environment.isolation = \"auto\"",
            ));
        }
    }
    worker::check_programs(&worker).map_err(unfit)?;
    Ok(worker)
}

fn unfit(error: impl std::fmt::Display) -> Error {
    Error::usage("workers cannot start", error, "")
}

async fn work_here(
    context: &Context,
    project: &Project,
    config: &Config,
    run: RunOptions,
    screen: Screen,
) -> Result<Ended, Error> {
    let repository = Repository::discover(&project.root).await.map_err(of_git)?;
    let project = &project.settle()?;
    tokio::spawn(detach_on_hangup(screen.clone(), project.data.clone()));
    let held = Arc::new(store::hold(project, config).await?);
    let log: Arc<dyn EventLog> = held.clone();
    let project = &project.claim_attempts(config.attempts_dir())?;
    project.remove_unfinished();
    check_workers(project, config, run.workers).await?;
    let state = load::load(&*log, &project.snapshots).map_err(failures::of_scheduler)?;
    let branch = config.branch_of(&state);
    forget_torn(&repository, project, &state).await?;
    let known = (state.branch == branch).then_some(&state.head);
    (repository.ensure_branch_from(&branch, known).await).map_err(of_git)?;
    let notes = screen.clone();
    let progress = Progress::new(screen.clone(), &state, now(), context.global.verbose > 0);
    let repository = with_settings(repository, project).await?;
    sweep(&repository, project, &branch, &state).await;
    let quiet = context.global.quiet;
    let screen_or_none = (!quiet).then_some(&notes);
    if let Some(screen) = screen_or_none {
        run.notes.iter().for_each(|note| screen.note(note));
    }
    let run_config = run_config((&*log, &state), project, config, screen_or_none)?;
    let (first, fold) = (state.sequence.next(), ReportFold::after(&state));
    let mut notices = Notices::start(project, config, &*log, &state)?;
    let options = Options {
        log: log.clone(),
        snapshots: project.snapshots.clone(),
        state,
        socket: project.socket.clone(),
        tree_prefix: tree_prefix(&project.root),
        branch: branch.clone(),
        integration: integration(&repository, &branch),
        processes: Arc::new(LocalProcesses {
            reap: reap(project.root.clone()),
            is_own: is_own(project),
        }),
        spool: Arc::new(SpoolFiles(project.data.clone())),
        settings: config.settings(),
        profiles: config.profiles(),
        config: Some(run_config),
        seed: run.seed,
        own_workers: by_kind(run.workers),
        worker_command: worker_command(project, &config.freeze(project)?)?,
        worker_output: project.data.join("workers.log"),
        stay: run.stay,
        observer: notices.observer(Watcher::new(progress, quiet)),
    };
    let (sender, receiver) = oneshot::channel();
    let global = context.global.clone();
    tokio::spawn(end_on_signals(receiver, notes, global, run.starter));
    let ended = until_ended(options, sender, project, &held).await;
    // Whatever comes next is printed where the redrawn lines were.
    screen.clear();
    if let Ok((_, state)) = &ended {
        sweep_unless_told(&repository, project, &branch, state).await;
    }
    let ended = ended.map(|(ending, state)| Ended::of(ending, state, (&*log, first, fold)));
    let told = ended.as_ref();
    notices.finish(told.map_err(|error| (error, log.head().sequence)));
    ended
}

/// Runs the scheduler. Somebody may move the project's directory or delete its log meanwhile, which is
/// an error.
async fn until_ended(
    options: Options,
    handle: oneshot::Sender<scheduler::Handle>,
    project: &Project,
    held: &SledLog,
) -> Result<(Ending, State), Error> {
    let path_guard = project.path_guard();
    tokio::select! {
        ended = scheduler::run(options, handle) => ended.map_err(failures::of_scheduler),
        error = path_guard.lost(|| held.check_place().map_err(|error| failures::of_log(&error))) => {
            Err(error)
        }
    }
}

/// Finds problems that would make workers of this run fail, before the first attempt.
async fn check_workers(
    project: &Project,
    config: &Config,
    workers: WorkerCounts,
) -> Result<(), Error> {
    if workers.coding + workers.testing == 0 {
        return Ok(());
    }
    let config = config.worker(project)?;
    worker::check_places(&config.places).map_err(unfit)?;
    let own = process::TreeCommand::OWN_EXECUTABLE;
    let agents = worker::check_agents(&config, own.as_ref());
    agents.await.map_err(unfit)
}

/// Removes what a power cut left of worktrees of earlier versions, because git fails on it.
async fn forget_torn(
    repository: &Repository,
    project: &Project,
    state: &State,
) -> Result<(), Error> {
    let next = AttemptId(state.sequence.next().0);
    let forgotten = repository.forget_torn(&alive(project, state), next).await;
    forgotten.map_err(of_git)
}

/// The repository with the person's git configuration as it is now. Warns about stale lock files.
async fn with_settings(repository: Repository, project: &Project) -> Result<Repository, Error> {
    for lock in repository.stale_locks().await.map_err(of_git)? {
        let lock = lock.display();
        tracing::warn!(
            "a killed git left the lock file {lock}, on which other git commands fail; if no git is running here, delete it"
        );
    }
    // The person's configuration is read once; workers and the removal of old worktrees use it.
    let settings = repository.read_settings().await.map_err(of_git)?;
    let kept = settings.write(&worker::git_settings(&project.data));
    kept.map_err(|error| {
        let what = format!("cannot write git's settings to {}", project.data.display());
        Error::internal(
            what,
            error,
            "make sure that the disk is not full or read-only",
        )
    })?;
    Ok(repository.with_settings(settings))
}

/// The open attempts whose workers are alive; after a power cut, none is.
fn alive(project: &Project, state: &State) -> Vec<AttemptId> {
    let lives = |attempt: &Attempt| {
        let worker = state.workers().get(&attempt.job.worker);
        worker.is_some_and(|worker| {
            identity::is_alive(&worker.process) && project::is_own(project, worker.process.pid)
        })
    };
    let open = state.attempts().iter();
    open.filter(|(_, attempt)| lives(attempt))
        .map(|(id, _)| *id)
        .collect()
}

/// Ends processes that killed workers left running: those of this project's attempts without a
/// living worker above them. This includes open attempts, before they are declared lost.
async fn end_strays(root: &Path, state: &State) {
    let workers = state.workers().values();
    let living = workers.filter(|worker| identity::is_alive(&worker.process));
    let owners: BTreeSet<u32> = living.map(|worker| worker.process.pid).collect();
    let prefix = worker::tree_prefix(root);
    let swept = tokio::task::spawn_blocking(move || process::sweep_strays(&prefix, &owners)).await;
    match swept {
        Ok(ended) if ended.is_empty() => {}
        Ok(ended) => tracing::warn!(?ended, "ended processes that killed workers left running"),
        Err(error) => tracing::error!(%error, "cannot search for leftover processes"),
    }
}

/// [`sweep`] at the end of a run. A signal cuts it short; the next start does the rest.
async fn sweep_unless_told(
    repository: &Repository,
    project: &Project,
    branch: &str,
    state: &State,
) {
    match Signals::new(Hangup::Ignored) {
        Ok(mut signals) => tokio::select! {
            () = sweep(repository, project, branch, state) => {}
            () = signals.next() => tracing::warn!("interrupted: the next start removes leftover worktrees"),
        },
        Err(_) => sweep(repository, project, branch, state).await,
    }
    project.remove_unfinished();
    project.release_attempts();
}

/// Removes worktrees of ended attempts whose workers were killed before they could clean up. Unmerged
/// work is preserved, and living workers' worktrees are not touched.
async fn sweep(repository: &Repository, project: &Project, branch: &str, state: &State) {
    end_strays(&project.root, state).await;
    let live: Vec<AttemptId> = state.attempts().keys().copied().collect();
    let next = AttemptId(state.sequence.next().0);
    for dir in project.all_attempts() {
        match repository.sweep(&dir, &live, next, branch).await {
            Ok(swept) => {
                for (attempt, error) in swept.failed {
                    tracing::warn!(%attempt, %error, "cannot remove a worktree; the next start tries again");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot search for leftover worktrees"),
        }
    }
}

/// Records the config for this run, and prints which values changed since the last run.
fn run_config(
    (log, state): (&dyn EventLog, &State),
    project: &Project,
    config: &Config,
    notes: Option<&Screen>,
) -> Result<RunConfig, Error> {
    let text = config.evidence(project);
    let contents = log.contents();
    let content = contents.put(text.as_bytes());
    let content = content.map_err(|error| failures::of_log(&error))?;
    let before = state.notices.told.and_then(|hash| contents.get(&hash).ok());
    let before = before.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let changes = before.map_or(Vec::new(), |before| differences(&before, &text));
    if !changes.is_empty() {
        let total = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        let words = clean(&words(&changes, total));
        if let Some(screen) = notes {
            screen.note(&format!("the config changed since the last run: {words}"));
        }
    }
    Ok(RunConfig {
        content,
        changes,
        workers: config.worker_evidence(project),
    })
}

fn of_git(error: crate::workspace::Error) -> Error {
    match error.is_internal() {
        true => Error::internal("git failed", error, "run the command again"),
        false => Error::usage("cannot use the repository", error, ""),
    }
}
