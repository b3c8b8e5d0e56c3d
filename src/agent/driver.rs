//! What all agents have in common: the description of a session, its events, its end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::cage::Cage;
use super::limits::SessionLimits;
use super::process::{Isolation, ProcessError, Streams, TreeCommand};
use super::transcript::Transcript;
use crate::model::clip::clip_marked;
use crate::model::evidence::{FailureKind, SessionEnd, Usage};
use crate::model::trouble::TroubleKind;

/// Everything that one session needs. The environment is complete: nothing is inherited.
#[derive(Clone, Debug)]
pub struct Session {
    /// The text that the agent gets.
    pub prompt: String,
    /// Its working directory; absolute.
    pub worktree: PathBuf,
    /// Environment variables of the program.
    pub env: BTreeMap<OsString, OsString>,
    /// The files that the worker has written for it.
    pub paths: JobPaths,
    /// The first feature's number, for placeholders.
    pub feature: u32,
    /// The attempt's id, for placeholders.
    pub attempt: u64,
    /// Names the process tree on this machine; see [`TreeCommand::token`].
    pub token: String,
    /// Executable of the stages; see [`TreeCommand::own_executable`].
    pub own_executable: PathBuf,
    /// How the process tree is held together.
    pub isolation: Isolation,
    /// What the agent may see, write and use up; see [`TreeCommand::cage`].
    pub cage: Option<Cage>,
    /// The agent's own name of an earlier session that is to be continued, from
    /// [`AgentEvent::Started`]; `None` begins a new one.
    pub resume: Option<String>,
    /// When the session is ended.
    pub limits: SessionLimits,
    /// Records its raw streams.
    pub transcript: Transcript,
    /// Cancelled when the session is no longer wanted.
    pub cancel: CancellationToken,
}

/// The files that describe the job.
#[derive(Clone, Debug, Default)]
pub struct JobPaths {
    /// The prompt; also in `CREWLOG_PROMPT`.
    pub prompt_file: PathBuf,
    /// The job as JSON; also in `CREWLOG_JOB`.
    pub job_file: PathBuf,
    /// Where the agent may write its verdict; also in `CREWLOG_VERDICT`.
    pub verdict_file: PathBuf,
}

impl Session {
    /// The command that runs `program` as this session's agent.
    pub(super) fn tree_command(&self, program: OsString, args: Vec<OsString>) -> TreeCommand {
        TreeCommand {
            program,
            args,
            cwd: self.worktree.clone(),
            env: self.env.clone(),
            token: self.token.clone(),
            own_executable: self.own_executable.clone(),
            isolation: self.isolation,
            streams: Streams::Separate,
            cage: self.cage.clone(),
        }
    }
}

/// The author of an [`AgentEvent::Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The agent, to its user.
    Agent,
    /// The agent, to itself.
    Thought,
    /// The prompt, repeated.
    User,
}

/// What happens in a session, for display. Nothing is decided by events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// The agent is ready to work.
    Started {
        /// Its own name for the session; empty if it has none.
        session_id: String,
        /// The model, if it says so.
        model: Option<String>,
        /// Its name and version; empty if it does not say.
        agent: String,
    },
    /// Somebody says something. A text may come in pieces: one that ends no line is continued by the
    /// next one.
    Text {
        /// The author of the text.
        role: Role,
        /// Text, as the agent wrote it.
        text: String,
    },
    /// A tool call began.
    ToolStart {
        /// The agent's name for the call.
        id: String,
        /// One line for people.
        title: String,
        /// The kind of tool: `read`, `edit`, `execute`, …; `other` if unknown.
        kind: String,
    },
    /// A tool call ended.
    ToolEnd {
        /// The agent's name for the call.
        id: String,
        /// Whether the agent calls it a success.
        ok: bool,
        /// The beginning of its output, as far as the agent tells.
        output: String,
    },
    /// The agent's list of what it wants to do, one line per entry, with a mark for what is done.
    Plan {
        /// The whole list.
        text: String,
    },
    /// The agent was denied something.
    Denied {
        /// The request, in the agent's words.
        what: String,
    },
    /// What was used so far, in all.
    Usage(Usage),
    /// The provider limits the agent.
    Limit {
        /// When it will be over, in milliseconds since 1970, if known.
        until_ms: Option<u64>,
        /// The end of a session that the limit causes.
        kind: SessionEnd,
    },
    /// The agent retries something by itself. No agent reports this over ACP, and a plain command
    /// cannot; claude and codex do.
    Retry {
        /// The reason, as text for people.
        reason: String,
    },
    /// A line of the agent's standard error.
    Complaint {
        /// The line, cut to a length that a person reads.
        line: String,
    },
    /// Something unknown, cut to a length that a person reads.
    Raw {
        /// Text, as the agent wrote it.
        text: String,
    },
}

impl AgentEvent {
    /// Titles, summaries and raw lines are read by people, one line at a time.
    pub const LINE_BYTES_MAX: usize = 400;
    /// A longer text is in the transcript, and is cut for display.
    pub const TEXT_BYTES_MAX: usize = 64 * 1024;
    /// Outputs of tools are read to see what happened; the transcript has all of them.
    pub const OUTPUT_BYTES_MAX: usize = 8 * 1024;
}

/// How a session ended. Once it exists, every process of the session is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionResult {
    /// How the session ended.
    pub end: SessionEnd,
    /// One or a few sentences for people.
    pub reason: String,
    /// The last lines of the agent's standard error, if we started the program.
    pub complaints: String,
    /// What the agent says that it used.
    pub usage: Usage,
    /// When a provider's limit is over, in milliseconds since 1970, if known.
    pub limit_until_ms: Option<u64>,
    /// The agent's exit code, if it ended by itself; a signal N is 128 + N.
    pub exit_code: Option<i32>,
    /// Set if the session failed because of something else than the agent's own ending: one of our
    /// limits, or a setup that cannot work.
    pub failure: Option<FailureKind>,
    /// The agent does not know the session that it was to resume. Nothing has happened: begin a new
    /// one.
    pub unknown_session: bool,
    /// Processes that could not be ended.
    pub left: usize,
}

impl SessionResult {
    /// A result of this class, without usage.
    pub fn new(end: SessionEnd, reason: impl Into<String>) -> Self {
        Self {
            end,
            reason: reason.into(),
            complaints: String::new(),
            usage: Usage::default(),
            limit_until_ms: None,
            exit_code: None,
            failure: None,
            unknown_session: false,
            left: 0,
        }
    }

    /// The session never began, because of its setup.
    pub fn setup(reason: impl Into<String>) -> Self {
        Self {
            failure: Some(FailureKind::Setup),
            ..Self::new(SessionEnd::Crashed, reason)
        }
    }

    /// The program could not be started.
    pub(super) fn unstarted(error: &ProcessError) -> Self {
        let setup = Self::setup(error.to_string());
        match error.trouble() {
            Some(kind) => Self {
                failure: Some(FailureKind::Trouble(kind)),
                ..setup
            },
            None => setup,
        }
    }

    /// The agent cannot be used for any prompt.
    pub(super) fn unusable(reason: impl Into<String>) -> Self {
        Self {
            failure: Some(FailureKind::Trouble(TroubleKind::Agent)),
            ..Self::setup(reason)
        }
    }

    /// What a session tells last: what it used in all, and the limit that ended it.
    pub(super) fn last_events(&self) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        if !self.usage.is_zero() {
            events.push(AgentEvent::Usage(self.usage));
        }
        let limited = [
            SessionEnd::Limited,
            SessionEnd::Overloaded,
            SessionEnd::QuotaExhausted,
        ];
        if limited.contains(&self.end) {
            events.push(AgentEvent::Limit {
                until_ms: self.limit_until_ms,
                kind: self.end,
            });
        }
        events
    }

    /// The kind of failure; `None` if it succeeded, or if somebody cancelled it.
    pub fn failure_kind(&self) -> Option<FailureKind> {
        if self.failure.is_some() {
            return self.failure;
        }
        match self.end {
            SessionEnd::Completed | SessionEnd::Cancelled => None,
            SessionEnd::Limited | SessionEnd::Overloaded => Some(FailureKind::ProviderLimited),
            SessionEnd::AuthFailed => Some(FailureKind::ProviderRefused),
            SessionEnd::QuotaExhausted => Some(FailureKind::QuotaExhausted),
            SessionEnd::ContextOverflow => Some(FailureKind::ContextOverflow),
            SessionEnd::TurnOrBudgetCap => Some(FailureKind::TurnOrBudgetCap),
            SessionEnd::Crashed => Some(FailureKind::AgentCrashed),
            SessionEnd::NoTerminalEvent => Some(FailureKind::NoTerminalEvent),
            SessionEnd::Refused => Some(FailureKind::Refused),
        }
    }
}

/// Drives one kind of agent.
pub trait Driver: Send + Sync {
    /// Runs a session to its end, whatever that is. Dropping the future ends the agent, too, but
    /// without waiting for it.
    ///
    /// A full `events` channel holds the session up, and its idle limit continues counting.
    fn run(
        &self,
        session: Session,
        events: mpsc::Sender<AgentEvent>,
    ) -> BoxFuture<'_, SessionResult>;
}

/// The first line of `text`, cut to [`AgentEvent::LINE_BYTES_MAX`].
pub(super) fn one_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty());
    clip_marked(line.unwrap_or("").trim(), AgentEvent::LINE_BYTES_MAX)
}

/// Dollars to millionths, rounded; 0 for an invalid amount.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked before"
)]
pub(super) fn microusd(dollars: f64) -> u64 {
    // No session costs a million dollars.
    if (0.0..1e6).contains(&dollars) {
        (dollars * 1e6).round() as u64
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_are_none_cost_nothing() {
        for dollars in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(microusd(dollars), 0);
        }
        assert_eq!(microusd(0.0408), 40_800);
    }

    #[test]
    fn lines_for_people_are_short_and_whole() {
        assert_eq!(one_line("\n  first \nsecond"), "first");
        assert!(one_line(&"x".repeat(10_000)).len() <= AgentEvent::LINE_BYTES_MAX + "…".len());
    }

    #[test]
    fn every_end_has_its_kind_of_failure() {
        let kind = |end| SessionResult::new(end, "").failure_kind();
        assert_eq!(kind(SessionEnd::Completed), None);
        assert_eq!(kind(SessionEnd::Cancelled), None);
        assert_eq!(
            kind(SessionEnd::Overloaded),
            Some(FailureKind::ProviderLimited)
        );
        assert_eq!(
            kind(SessionEnd::QuotaExhausted),
            Some(FailureKind::QuotaExhausted)
        );
        assert_eq!(kind(SessionEnd::Crashed), Some(FailureKind::AgentCrashed));
        assert_eq!(
            SessionResult::setup("").failure_kind(),
            Some(FailureKind::Setup)
        );
    }
}
