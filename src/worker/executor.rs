//! Executes the steps of an attempt, with git, processes and files. It decides nothing: the machine
//! says what comes next.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::agent::mask::Mask;
use crate::agent::process;
use crate::model::evidence::{Failure, FailureKind};
use crate::model::ids::{AttemptId, CommitId, ContentHash, FeatureId};
use crate::model::report::{AttemptReport, JobFeature};
use crate::model::settings::WorkerKind;
use crate::protocol::JobOffer;
use crate::workspace::{CommitMessage, Ignored, Limits, Rebase, Repository, Worktree};

use super::config::Config;
use super::job::{AttemptDir, JobView, environment, secrets};
use super::launcher::TreeLauncher;
use super::machine::{Activity, Done, Finished, HookPoint, Leftover, Step, StepKind};
use super::outcome::RebasedCommit;
use super::ports::PortSlot;
use super::prompt::Template;
use super::spool::{Entry, SpoolFile};
use super::token::tree_token;
use super::trouble::{self, At, refused, setup};

/// How long git may be silent while discarded work is preserved; a slower filter is skipped.
const PRESERVE_IDLE: Duration = Duration::from_secs(60);

/// Files that a conflict's reason names; more do not make it clearer.
const CONFLICTS_SHOWN: usize = 5;

/// Stores the outputs of checks. What it returns must survive a power cut, because a report names
/// it.
pub trait OutputStore: Send + Sync {
    /// Stores content and returns its name; the same content is stored once.
    ///
    /// # Errors
    /// The disk refuses.
    fn put(&self, bytes: &[u8]) -> std::io::Result<ContentHash>;

    /// Path of the file with the content of this name, if it is stored in one.
    fn path(&self, hash: &ContentHash) -> Option<PathBuf>;
}

/// What the steps need while the worker lives.
pub struct Executor {
    pub(super) config: Config,
    pub(super) repository: Repository,
    pub(super) outputs: Arc<dyn OutputStore>,
    pub(super) own_executable: PathBuf,
    /// The latest sign of life of a step; older ones are of no interest.
    pub(super) activity: watch::Sender<Activity>,
    /// Where spool files are; the transcripts too.
    pub(super) data: PathBuf,
    pub(super) templates: Templates,
    /// Secrets that must not be stored anywhere.
    pub(super) mask: Arc<Mask>,
    ports: PortSlot,
    worktrees: PathBuf,
    /// The attempt at hand.
    env: Option<AttemptEnv>,
    /// What was taken up from dead workers.
    spool: Vec<SpoolFile>,
}

/// What belongs to the present attempt.
pub(super) struct AttemptEnv {
    pub(super) offer: JobOffer,
    pub(super) dir: AttemptDir,
    /// Working directory of agent, checks and hooks: the project's place in the worktree.
    pub(super) cwd: PathBuf,
    pub(super) env: BTreeMap<OsString, OsString>,
    /// Directories of the main repository that its git reads.
    pub(super) shared: Vec<PathBuf>,
    /// Files that git ignored in the worktree when the agent had finished, before they were
    /// removed; `None` until then.
    ignored: Option<Vec<String>>,
    worktree: Worktree,
}

/// The prompt templates, by the kind of the job: a coding worker verifies, too.
#[derive(Clone, Debug)]
pub struct Templates {
    /// For coding jobs.
    pub coding: Template,
    /// For testing jobs.
    pub testing: Template,
}

impl Templates {
    /// The template for jobs of this kind.
    pub fn of(&self, kind: WorkerKind) -> &Template {
        match kind {
            WorkerKind::Coding => &self.coding,
            WorkerKind::Testing => &self.testing,
        }
    }
}

impl AttemptEnv {
    /// The working tree.
    pub(super) fn tree(&self) -> &Path {
        self.worktree.path()
    }

    /// Ignored files of the agent's that its checks do not see, except those that a hook has
    /// created again.
    pub(super) fn removed_files(&self) -> Vec<String> {
        let top = self.worktree.path();
        let gone = |file: &&String| top.join(file.as_str()).symlink_metadata().is_err();
        self.ignored
            .iter()
            .flatten()
            .filter(gone)
            .cloned()
            .collect()
    }
}

/// What an executor is made of.
pub(super) struct Parts {
    pub config: Config,
    pub repository: Repository,
    pub outputs: Arc<dyn OutputStore>,
    pub own_executable: PathBuf,
    pub activity: watch::Sender<Activity>,
    pub templates: Templates,
    pub ports: PortSlot,
}

impl Executor {
    pub(super) fn new(
        parts: Parts,
        leftovers: Vec<(Leftover, SpoolFile)>,
    ) -> (Self, Vec<Leftover>) {
        let (leftovers, files) = leftovers.into_iter().unzip();
        let executor = Self {
            data: parts.config.places.data.clone(),
            worktrees: parts.config.places.worktrees.clone(),
            mask: Arc::new(secrets(&parts.config, |name| std::env::var(name).ok())),
            config: parts.config,
            repository: parts.repository,
            outputs: parts.outputs,
            own_executable: parts.own_executable,
            activity: parts.activity,
            templates: parts.templates,
            ports: parts.ports,
            env: None,
            spool: files,
        };
        (executor, leftovers)
    }

    /// Executes one step. When `cancel` is called, it ends child processes and returns soon.
    pub(super) async fn carry_out(&mut self, step: Step, cancel: &CancellationToken) -> Done {
        let (attempt, at) = (step.attempt, At::of(&step.kind));
        let result = match step.kind {
            StepKind::Make(offer) => self.make(*offer, cancel).await.map(Finished::Made),
            StepKind::Hook(point) => self.hook(point, cancel).await.map(|()| Finished::Hooked),
            StepKind::Session(features) => match self.env_of(attempt) {
                Ok(env) => self
                    .session(env, &features, cancel)
                    .await
                    .map(|result| Finished::Session(Box::new(result))),
                Err(failure) => Err(failure),
            },
            StepKind::Commit => self
                .commit(attempt, cancel)
                .await
                .map(|()| Finished::Committed),
            StepKind::Rebase(onto) => {
                let rebased = self.rebase(attempt, &onto, cancel).await;
                rebased.map(Finished::Rebased)
            }
            StepKind::Check { features, go_on } => match self.env_of(attempt) {
                Ok(env) => self
                    .checks(env, &features, go_on, cancel)
                    .await
                    .map(Finished::Checked),
                Err(failure) => Err(failure),
            },
            StepKind::Preserve => self.preserve(attempt).await.map(Finished::Preserved),
            StepKind::Spool(report) => self
                .write_spool(attempt, &report)
                .map(|()| Finished::Spooled),
            StepKind::Clean => self.clean(attempt).await.map(|()| Finished::Cleaned),
        };
        let result = trouble::on_disk(result, || trouble::free_bytes(&self.worktrees));
        let result = result.map_err(|failure| at.judge(failure));
        Done { attempt, result }
    }

    /// Shows a line to whoever watches.
    pub(super) fn show(&self, line: String) {
        self.activity.send_modify(|activity| activity.line = line);
    }

    fn env_of(&self, attempt: AttemptId) -> Result<&AttemptEnv, Failure> {
        let env = self.env.as_ref();
        env.filter(|env| env.offer.attempt == attempt)
            .ok_or_else(|| setup("the attempt's worktree was not created"))
    }

    /// The attempt's worktree, for a step that `cancel` ends.
    fn worktree_of(
        &mut self,
        attempt: AttemptId,
        cancel: &CancellationToken,
    ) -> Result<&mut Worktree, Failure> {
        let env = self.env.as_mut();
        let env = env
            .filter(|env| env.offer.attempt == attempt)
            .ok_or_else(|| setup("the attempt's worktree was not created"))?;
        env.worktree.set_limits(limits(&env.offer, cancel));
        Ok(&mut env.worktree)
    }

    /// The worker's git for an attempt: in the attempt's process tree, and under its limits.
    fn repository_of(&self, attempt: AttemptId, limits: Limits) -> Repository {
        let launcher = TreeLauncher {
            token: tree_token(&self.config.places.project, attempt),
            own_executable: self.own_executable.clone(),
            isolation: self.isolation(),
        };
        self.repository.started_by(Arc::new(launcher), limits)
    }

    async fn make(
        &mut self,
        offer: JobOffer,
        cancel: &CancellationToken,
    ) -> Result<RebasedCommit, Failure> {
        self.env = None;
        self.ports.renew().map_err(setup)?;
        // First the file with which a later worker finds what this one may leave behind.
        let entry = Entry {
            attempt: offer.attempt,
            kind: offer.kind,
            branch: offer.branch.clone(),
            result: None,
        };
        self.spool
            .push(SpoolFile::create(&self.data, entry).map_err(setup)?);
        let attempt = offer.attempt;
        let repository = self.repository_of(attempt, limits(&offer, cancel));
        let worktree = match offer.kind {
            WorkerKind::Coding => {
                let made = repository.create_worktree(&self.worktrees, attempt, &offer.base);
                made.await
            }
            WorkerKind::Testing => {
                let made = repository.create_test_worktree(&self.worktrees, attempt, &offer.base);
                made.await
            }
        };
        let worktree = worktree.map_err(setup)?;
        let dir = AttemptDir::of(&self.worktrees, offer.attempt);
        dir.make()
            .map_err(refused(format!("cannot create {:?}", dir.path())))?;
        let tree = repository.tree_of(&offer.base).await.map_err(setup)?;
        let shared = repository.shared_read_paths().await.map_err(setup)?;
        let rebased = RebasedCommit {
            onto: offer.base.clone(),
            commit: offer.base.clone(),
            tree,
            touched: Vec::new(),
            touched_total: 0,
        };
        // Split and joined, so that neither an empty prefix nor git's slash at the end of one
        // leaves a slash at the end.
        let cwd = worktree.path().join(self.repository.prefix());
        let cwd: PathBuf = cwd.components().collect();
        let view = self.view(&offer, offer.features.clone(), &cwd, &dir);
        let env = environment(&self.config, std::env::vars_os(), &view, &dir);
        self.env = Some(AttemptEnv {
            offer,
            dir,
            cwd,
            env,
            shared,
            ignored: None,
            worktree,
        });
        Ok(rebased)
    }

    fn view(
        &self,
        offer: &JobOffer,
        features: Vec<JobFeature>,
        cwd: &Path,
        dir: &AttemptDir,
    ) -> JobView {
        let regression = |feature: &JobFeature| {
            let check = feature.regression.as_ref()?.check.as_ref()?;
            let path = self.outputs.path(&check.output)?;
            Some((feature.id, path))
        };
        JobView {
            outputs: features.iter().filter_map(regression).collect(),
            kind: offer.kind,
            attempt: offer.attempt,
            attempt_number: offer.attempt_number,
            base: offer.base.clone(),
            features,
            worktree: cwd.to_owned(),
            job_file: dir.job_file(),
            verdict_file: dir.verdict_file(),
            ports: self.ports.ports(),
        }
    }

    /// The job as the agent sees it: only what its session is about.
    pub(super) fn view_of(&self, env: &AttemptEnv, features: &[FeatureId]) -> JobView {
        let chosen = env.offer.features.iter();
        let chosen = chosen.filter(|feature| features.contains(&feature.id));
        let chosen = chosen.cloned().collect();
        self.view(&env.offer, chosen, &env.cwd, &env.dir)
    }

    async fn hook(&self, point: HookPoint, cancel: &CancellationToken) -> Result<(), Failure> {
        let hooks = &self.config.hooks;
        let (name, command) = match point {
            HookPoint::AfterCreate => ("after_create", &hooks.after_create),
            HookPoint::BeforeRun => ("before_run", &hooks.before_run),
            HookPoint::AfterRun => ("after_run", &hooks.after_run),
        };
        let Some(env) = &self.env else {
            return Err(setup("the attempt's worktree was not created"));
        };
        self.run_hook(env, name, command, cancel).await
    }

    async fn commit(
        &mut self,
        attempt: AttemptId,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let env = self.env_of(attempt)?;
        let names = env.offer.features.iter().map(|one| one.spec.name.as_str());
        let subject = names.collect::<Vec<_>>().join("; ");
        let mut message = CommitMessage::new(&subject).attempt(attempt);
        for feature in &env.offer.features {
            message = message.feature(feature.id);
        }
        let worktree = self.worktree_of(attempt, cancel)?;
        worktree.commit(&message, None).await.map_err(setup)?;
        Ok(())
    }

    async fn rebase(
        &mut self,
        attempt: AttemptId,
        onto: &CommitId,
        cancel: &CancellationToken,
    ) -> Result<RebasedCommit, Failure> {
        let checks = self.config.checks.clone();
        let ignored = match checks.keeps_all() {
            true => Ignored::Keep,
            false => Ignored::RemoveBut(&checks.keep_ignored),
        };
        if !checks.keeps_all() && self.env_of(attempt)?.ignored.is_none() {
            let found = self.worktree_of(attempt, cancel)?.ignored_files().await;
            let found = found.map_err(setup)?;
            if let Some(env) = &mut self.env {
                env.ignored = Some(found);
            }
        }
        let worktree = self.worktree_of(attempt, cancel)?;
        let stood = worktree.rebase(onto, ignored).await.map_err(setup)?;
        let committed = match stood {
            Rebase::Clean(committed) => committed,
            Rebase::Conflict { files, detail } => return Err(conflict(&files, &detail)),
        };
        let changes = worktree.changes(onto, &committed.commit).await;
        let changes = changes.map_err(setup)?;
        Ok(RebasedCommit {
            onto: onto.clone(),
            commit: committed.commit,
            tree: committed.tree,
            touched: changes.touched,
            touched_total: changes.total,
        })
    }

    async fn preserve(&mut self, attempt: AttemptId) -> Result<Option<String>, Failure> {
        // Nothing cancels it: what is not preserved is lost. A filter gets only a short time.
        let worktree = self.worktree_of(attempt, &CancellationToken::new())?;
        let mut limits = worktree.limits().clone();
        limits.idle = limits.idle.map(|idle| idle.min(PRESERVE_IDLE));
        worktree.set_limits(limits);
        worktree
            .preserve("Unmerged work of an attempt.")
            .await
            .map_err(setup)
    }

    fn write_spool(&mut self, attempt: AttemptId, report: &AttemptReport) -> Result<(), Failure> {
        let found = self
            .spool
            .iter_mut()
            .find(|one| one.entry().attempt == attempt);
        if let Some(file) = found {
            return file.write(report).map_err(setup);
        }
        // A job that was given back before anything was created.
        let entry = Entry {
            attempt,
            kind: WorkerKind::Testing,
            branch: String::new(),
            result: None,
        };
        let mut file = SpoolFile::create(&self.data, entry).map_err(setup)?;
        file.write(report).map_err(setup)?;
        self.spool.push(file);
        Ok(())
    }

    async fn clean(&mut self, attempt: AttemptId) -> Result<(), Failure> {
        let env = self.env.take();
        let at_hand = env.filter(|env| env.offer.attempt == attempt);
        let removed = match at_hand {
            Some(env) => {
                let hook = &self.config.hooks.before_remove;
                // Nobody waits for an attempt that is over, so nobody cancels its clean-up.
                let never = CancellationToken::new();
                if let Err(failure) = self.run_hook(&env, "before_remove", hook, &never).await {
                    tracing::warn!(attempt = attempt.0, reason = %failure.reason, "ignored");
                }
                env.worktree.remove().await.map_err(setup)
            }
            None => self.clean_up_after(attempt).await,
        };
        // The spool file is removed last: while it exists, the left-overs can be found. The
        // scheduler's own sweep finds what could not be removed.
        if let Some(at) = self
            .spool
            .iter()
            .position(|one| one.entry().attempt == attempt)
        {
            self.spool.swap_remove(at).remove().map_err(setup)?;
        }
        removed
    }

    /// Ends what a dead worker's attempt may have left running, then removes its worktree.
    async fn clean_up_after(&self, attempt: AttemptId) -> Result<(), Failure> {
        let token = tree_token(&self.config.places.project, attempt);
        let swept = tokio::task::spawn_blocking(move || process::sweep(&token)).await;
        if let Ok(pids) = swept
            && !pids.is_empty()
        {
            tracing::info!(
                attempt = attempt.0,
                ?pids,
                "ended processes that a dead worker left running"
            );
        }
        let entry = self.spool.iter().find(|one| one.entry().attempt == attempt);
        let branch = entry.map(|one| one.entry().branch.as_str());
        let branch = branch.filter(|branch| !branch.is_empty());
        let limits = Limits {
            idle: Some(PRESERVE_IDLE),
            ..Limits::default()
        };
        self.repository_of(attempt, limits)
            .clean_up(&self.worktrees, attempt, branch)
            .await
            .map_err(setup)?;
        Ok(())
    }
}

/// The limits of git for an attempt.
fn limits(offer: &JobOffer, cancel: &CancellationToken) -> Limits {
    Limits {
        idle: Some(Duration::from_millis(offer.settings.idle_limit_ms)),
        cancel: cancel.clone(),
    }
}

fn conflict(files: &[String], detail: &str) -> Failure {
    let shown = files.get(..CONFLICTS_SHOWN).unwrap_or(files).join(", ");
    let more = match files.len().saturating_sub(CONFLICTS_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let reason =
        format!("the work conflicts with the head of the branch in {shown}{more}: {detail}");
    Failure::new(FailureKind::Conflict, reason)
}
