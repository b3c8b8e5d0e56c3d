//! Runs one agent session: renders the prompt, drives the agent, reads its verdict.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::cage::{Cage, blame};
use crate::agent::driver::Role;
use crate::agent::record::Record;
use crate::agent::{
    AgentEvent, Driver, JobPaths, Session, SessionLimits, SessionResult, Transcript,
};
use crate::model::evidence::{Failure, FailureKind, SessionEnd};
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::trouble::TroubleKind;
use crate::protocol::JobOffer;

use super::cage::Caged;
use super::config::{self, AgentConfig};
use super::driver::driver;
use super::executor::{AttemptEnv, Executor};
use super::job::{agent_environment, environment};
use super::outcome::{self, Seen};
use super::token::tree_token;
use super::trouble::{self, refused, setup};
use super::verdict::Reading;

/// Events that wait to be shown. The reader only keeps the latest, so it is never far behind.
const EVENTS_MAX: usize = 64;

impl Executor {
    pub(super) async fn session(
        &self,
        attempt_env: &AttemptEnv,
        features: &[FeatureId],
        cancel: &CancellationToken,
    ) -> Result<outcome::SessionResult, Failure> {
        let view = self.view_of(attempt_env, features);
        let prompt = self.templates.of(attempt_env.offer.kind).render(&view);
        attempt_env
            .dir
            .lay_out(&view, &prompt)
            .map_err(refused("cannot write the job's files"))?;
        let agent = self.agent_of(&attempt_env.offer)?;
        let driver =
            driver(agent, &self.config.places).map_err(|problem| setup(problem.as_str()))?;
        let settings = &attempt_env.offer.settings;
        // Rendered again, because the session may be about only some of the job's features.
        let env = environment(&self.config, std::env::vars_os(), &view, &attempt_env.dir);
        let env = agent_environment(env, agent, std::env::vars_os());
        let cage = self.cage(attempt_env, &env, Caged::Agent(agent));
        let session = Session {
            prompt,
            worktree: attempt_env.cwd.clone(),
            env,
            paths: JobPaths {
                prompt_file: attempt_env.dir.prompt_file(),
                job_file: attempt_env.dir.job_file(),
                verdict_file: attempt_env.dir.verdict_file(),
            },
            feature: features.first().map_or(0, |feature| feature.0),
            attempt: attempt_env.offer.attempt.0,
            token: tree_token(&self.config.places.project, attempt_env.offer.attempt),
            own_executable: self.own_executable.clone(),
            isolation: self.isolation(),
            cage,
            resume: None,
            limits: SessionLimits {
                idle_ms: settings.idle_limit_ms,
                // The machine enforces the whole attempt's limit; this one is never tighter.
                time_ms: settings.time_limit_ms,
                steps_max: settings.step_limit,
                grace_ms: SessionLimits::GRACE_MS,
            },
            transcript: self.transcript(attempt_env),
            cancel: cancel.clone(),
        };
        let touched = Touched::before(attempt_env.tree());
        let record = self.record(attempt_env);
        let (result, mut seen) = self.drive(driver.as_ref(), session, record).await;
        if result.left > 0 {
            tracing::warn!(
                left = result.left,
                "some processes of the agent cannot be ended"
            );
        }
        if let Some(failure) = trouble::unstarted(&result).filter(|_| !seen.started) {
            return Err(of_agent(failure));
        }
        let (verdict, told) = attempt_env.dir.verdict(features);
        let verdict = verdict.reworded(|text| self.mask.text(text));
        // One that cannot be read is a deed as well.
        let decided = verdict != Reading::default();
        seen.worked = seen.steps > 0 || decided || touched.is_changed();
        let mut judged = judged(result, verdict, seen);
        if agent.driver == config::Driver::Command {
            judged.believe(told, |text| self.mask.text(text));
        }
        judged.blame_provider();
        Ok(judged)
    }

    /// The agent that the job names. The scheduler has compared this worker's config with its own.
    fn agent_of(&self, offer: &JobOffer) -> Result<&AgentConfig, Failure> {
        let named = offer.profile.as_ref();
        let agent = named.and_then(|name| self.config.agents.get(name));
        agent.ok_or_else(|| {
            let name = named.map_or("none".to_owned(), ToString::to_string);
            setup(format!("the job's agent ({name}) is not in this worker's config").as_str())
        })
    }

    /// The result of a session in words that may be stored: with a sentence about the cage if that
    /// caused it, and without secrets.
    fn worded(&self, result: &SessionResult, cage: Option<&Cage>) -> String {
        let reason = &result.reason;
        // A program that failed has said why on its standard error, though not always in the last
        // line.
        let said = match result.end {
            SessionEnd::Crashed | SessionEnd::NoTerminalEvent => &result.complaints,
            _ => "",
        };
        let blamed = cage
            .and_then(|cage| blame::explain(reason, cage).or_else(|| blame::explain(said, cage)));
        self.mask.text(&match blamed {
            Some(blamed) => format!("{reason}; {blamed}"),
            None => reason.clone(),
        })
    }

    /// Runs the session, and shows what happens in it; also what was seen of it.
    async fn drive(
        &self,
        driver: &dyn Driver,
        session: Session,
        mut record: Record,
    ) -> (SessionResult, Seen) {
        record.prompt(&session.prompt);
        let (sender, mut receiver) = mpsc::channel(EVENTS_MAX);
        let cage = session.cage.clone();
        let mut run = driver.run(session, sender);
        let mut seen = Seen::default();
        let mut running = BTreeSet::new();
        // Not shown to anybody: the first sign of life of a session says that its agent runs.
        self.activity.send_if_modified(|activity| {
            activity.steps = 0;
            false
        });
        loop {
            tokio::select! {
                mut result = &mut run => {
                    result.reason = self.worded(&result, cage.as_ref());
                    while let Ok(event) = receiver.try_recv() {
                        record.event(&event);
                        note(&mut seen, &mut running, &event);
                    }
                    record.end(&result);
                    return (result, seen);
                }
                Some(event) = receiver.recv() => {
                    record.event(&event);
                    note(&mut seen, &mut running, &event);
                    let shown = line(&event).map(|line| self.mask.text(&line));
                    self.activity.send_if_modified(|activity| {
                        let answers = activity.steps != seen.steps;
                        activity.steps = seen.steps;
                        let told = shown.is_some();
                        if let Some(line) = shown {
                            activity.line = line;
                        }
                        answers || told
                    });
                }
            }
        }
    }

    /// The raw transcript of the session. Without one, work continues.
    fn transcript(&self, attempt_env: &AttemptEnv) -> Transcript {
        let path = self.transcript_path(attempt_env);
        let limit = self.config.transcript_limit;
        let made = path.and_then(|path| Transcript::create(&path, limit));
        let made = made.map(|transcript| transcript.masked(Arc::clone(&self.mask)));
        made.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot write a transcript of this session");
            Transcript::none()
        })
    }

    /// The record of the session, beside its transcript.
    fn record(&self, attempt_env: &AttemptEnv) -> Record {
        let path = self.transcript_path(attempt_env);
        let (limit, mask) = (self.config.transcript_limit, Arc::clone(&self.mask));
        let made = path.and_then(|path| Record::create(&path, limit, mask));
        made.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot write a record of this session");
            Record::none()
        })
    }

    fn transcript_path(&self, attempt_env: &AttemptEnv) -> std::io::Result<PathBuf> {
        let dir = self.data.join("transcripts");
        std::fs::create_dir_all(&dir)?;
        Ok(dir.join(attempt_env.offer.attempt.0.to_string()))
    }
}

/// An agent whose program is missing is that agent's problem: another one may work.
fn of_agent(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Trouble(TroubleKind::Program) => {
            Failure::new(FailureKind::Trouble(TroubleKind::Agent), failure.reason)
        }
        _ => failure,
    }
}

/// What a session came to.
fn judged(result: SessionResult, verdict: Reading, seen: Seen) -> outcome::SessionResult {
    outcome::SessionResult {
        end: result.end,
        failure: result.failure,
        detail: result.reason,
        limited_until: result.limit_until_ms.map(Timestamp),
        usage: result.usage,
        verdict,
        seen,
    }
}

/// Whether anything in a directory has changed since a moment, by the times that the system keeps:
/// it starts none of a repository's programs, as git would.
struct Touched {
    root: PathBuf,
    since: SystemTime,
}

impl Touched {
    /// Files and directories that are looked at. In what is larger, something counts as changed.
    const ENTRIES_MAX: usize = 1_000_000;

    fn before(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            since: SystemTime::now(),
        }
    }

    fn is_changed(&self) -> bool {
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.map_or(0, |since| since.as_nanos());
        let newer = |path: &Path| {
            let Ok(meta) = std::fs::symlink_metadata(path) else {
                return (false, false);
            };
            let (seconds, nanos) = (meta.ctime().max(0), meta.ctime_nsec().max(0));
            let changed =
                seconds.unsigned_abs() as u128 * 1_000_000_000 + nanos.unsigned_abs() as u128;
            (changed > since, meta.is_dir())
        };
        let mut left = vec![self.root.clone()];
        let mut seen = 0;
        while let Some(path) = left.pop() {
            let (changed, dir) = newer(&path);
            seen += 1;
            if changed || seen > Self::ENTRIES_MAX {
                return true;
            }
            if dir {
                let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
                let entries = entries.filter(|entry| entry.file_name() != ".git");
                left.extend(entries.map(|entry| entry.path()));
            }
        }
        false
    }
}

/// Notes what an event tells of the session; `running` are the tool calls under way.
fn note(seen: &mut Seen, running: &mut BTreeSet<String>, event: &AgentEvent) {
    match event {
        AgentEvent::Started { .. } => seen.started = true,
        AgentEvent::Text { role, text } => {
            seen.said |= *role != Role::User && !text.trim().is_empty();
        }
        AgentEvent::ToolStart { id, .. } => {
            running.insert(id.clone());
        }
        AgentEvent::ToolEnd { id, .. } => {
            running.remove(id);
            seen.steps = seen.steps.saturating_add(1);
        }
        _ => {}
    }
    seen.busy = !running.is_empty();
}

/// An event as a line for people; `None` when it says nothing to them.
fn line(event: &AgentEvent) -> Option<String> {
    let text = match event {
        AgentEvent::Started { .. } => "the agent is working",
        AgentEvent::Text { text, .. } => text.as_str(),
        AgentEvent::ToolStart { title, .. } => title.as_str(),
        AgentEvent::ToolEnd { ok: true, .. } | AgentEvent::Usage(_) => return None,
        AgentEvent::ToolEnd { output, .. } => {
            return Some(format!(
                "failed: {}",
                first_line(output).unwrap_or_default()
            ));
        }
        AgentEvent::Denied { what } => return Some(format!("denied: {what}")),
        AgentEvent::Limit { .. } => "the provider limits the agent",
        AgentEvent::Retry { reason } => return Some(format!("retrying: {reason}")),
        AgentEvent::Plan { .. } | AgentEvent::Complaint { .. } | AgentEvent::Raw { .. } => {
            return None;
        }
    };
    first_line(text)
}

fn first_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.map(str::to_owned)
}
