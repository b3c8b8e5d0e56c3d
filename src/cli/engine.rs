//! A run from start to end, for the commands `run` and `demo`.

mod signals;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use self::signals::end_on_signals;
use self::watcher::Watcher;
use super::Context;
use super::config::Config;
use super::error::Error;
use super::exit::ExitCode;
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
use crate::model::event::{ProcessIdentity, RunOutcome};
use crate::model::ids::AttemptId;
use crate::model::report::AttemptReport;
use crate::model::settings::WorkerKind;
use crate::model::state::{Attempt, State};
use crate::protocol::identity;
use crate::queue::EventLog;
use crate::scheduler::ports::{GitBranch, Spool};
use crate::scheduler::processes::{CleanUpAttempt, LocalProcesses};
use crate::scheduler::{self, Ending, Options, RunConfig, load};
use crate::worker::config::Isolation;
use crate::worker::{self, Signals, cage, spool, tree_prefix, tree_token};
use crate::workspace::Repository;

/// What the command decides about a run, in addition to the config.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Workers to start and keep running.
    pub workers: WorkerCounts,
    /// Seed for all random choices; random by default.
    pub seed: Option<u64>,
    /// Keep the run open when everything is done.
    pub stay: bool,
    /// A line to print at the start.
    pub notes: Vec<String>,
}

/// How a run ended, and the state at that point.
pub struct Ended {
    /// Finished with an outcome, or interrupted.
    pub ending: Ending,
    /// The state after the run's last event.
    pub state: State,
}

impl Ended {
    /// The exit code for this end.
    pub fn code(&self) -> ExitCode {
        match self.ending {
            Ending::Interrupted => ExitCode::Interrupted,
            // Its error is shown to the person.
            Ending::GitFailed => ExitCode::Internal,
            Ending::Finished(RunOutcome::AllPassing) => ExitCode::Passing,
            Ending::Finished(RunOutcome::SomeFailed) => ExitCode::SomeFailed,
            Ending::Finished(RunOutcome::WaitingForPerson) => ExitCode::WaitingForPerson,
            Ending::Finished(RunOutcome::BudgetSpent) => ExitCode::BudgetSpent,
        }
    }

    /// Why the run ended, in words; empty after an interruption.
    pub fn reason(&self) -> &str {
        let finished = self
            .state
            .run
            .as_ref()
            .and_then(|run| run.finished.as_ref());
        finished.map_or("", |(_, reason)| reason)
    }
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
    let progress = Progress::new(screen, &state, now(), context.global.verbose > 0);
    let repository = with_settings(repository, project).await?;
    sweep(&repository, project, &branch, &state).await;
    let quiet = context.global.quiet;
    let say = |text: &str| {
        if !quiet {
            notes.note(text);
        }
    };
    run.notes.iter().for_each(|note| say(note));
    let run_config = run_config((&*log, &state), project, config, say)?;
    let options = Options {
        log: log.clone(),
        snapshots: project.snapshots.clone(),
        state,
        socket: project.socket.clone(),
        tree_prefix: tree_prefix(&project.root),
        branch: branch.clone(),
        integration: Arc::new(GitBranch {
            repository: repository.clone(),
            branch: branch.clone(),
        }),
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
        observer: Box::new(Watcher::new(progress, quiet)),
    };
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(end_on_signals(receiver, notes, context.global.clone()));
    let path_guard = project.path_guard();
    let (ending, state) = tokio::select! {
        ended = scheduler::run(options, sender) => ended.map_err(failures::of_scheduler)?,
        error = path_guard.lost(|| held.check_place().map_err(|error| failures::of_log(&error))) => {
            return Err(error);
        }
    };
    sweep_unless_told(&repository, project, &branch, &state).await;
    Ok(Ended { ending, state })
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
    match Signals::new() {
        Ok(mut signals) => tokio::select! {
            () = sweep(repository, project, branch, state) => {}
            _ = signals.next() => tracing::warn!("interrupted: the next start removes leftover worktrees"),
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
    say: impl Fn(&str),
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
        say(&format!("the config changed since the last run: {words}"));
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

struct SpoolFiles(PathBuf);

impl Spool for SpoolFiles {
    fn read(&self, attempt: AttemptId) -> Option<AttemptReport> {
        spool::read(&self.0, attempt)
    }
}

fn is_own(project: &Project) -> Arc<dyn Fn(&ProcessIdentity) -> bool + Send + Sync> {
    let project = project.clone();
    Arc::new(move |process| project::is_own(&project, process.pid))
}

fn reap(root: PathBuf) -> CleanUpAttempt {
    Arc::new(move |attempt| {
        let token = tree_token(&root, attempt);
        Box::pin(async move {
            let swept = tokio::task::spawn_blocking(move || process::sweep(&token)).await;
            match swept {
                Ok(killed) if !killed.is_empty() => {
                    tracing::info!(%attempt, ?killed, "ended processes that a dead worker left running");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "cannot search for leftover processes"),
            }
        })
    })
}

fn by_kind(counts: WorkerCounts) -> BTreeMap<WorkerKind, u32> {
    BTreeMap::from([
        (WorkerKind::Coding, counts.coding),
        (WorkerKind::Testing, counts.testing),
    ])
}

/// The scheduler starts its workers from its own executable, with the hidden command `worker`.
fn worker_command(project: &Project, told: &Path) -> Result<Vec<OsString>, Error> {
    let own = runtime::own_executable()?;
    let root = project.root.clone().into_os_string();
    let mut command = vec![own.into(), "worker".into(), "-C".into(), root];
    command.extend(["--recorded-config".into(), told.as_os_str().to_owned()]);
    Ok(command)
}
