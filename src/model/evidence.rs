//! Evidence: what proves a pass, and what a failure was.

use serde::{Deserialize, Serialize};

pub use super::check::{CheckEnd, CheckRun};
use super::clip::clip;
use super::ids::CommitId;
use super::trouble::{Stage, Trouble, TroubleKind};

/// How one agent session ended, for every kind of agent. Anything that is not `Completed` is a
/// failure of some sort; `Completed` is the agent's claim and proves nothing by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The agent said that its turn ended normally.
    Completed,
    /// A rate or usage limit of the provider; the session may be tried again later.
    Limited,
    /// The provider refused the credentials.
    AuthFailed,
    /// The account has no credit or quota left.
    QuotaExhausted,
    /// The conversation no longer fits the model's context window.
    ContextOverflow,
    /// The agent's own turn or budget cap was reached.
    TurnOrBudgetCap,
    /// The provider was overloaded or failed (HTTP 5xx).
    Overloaded,
    /// The session was cancelled, by us or by a person.
    Cancelled,
    /// The agent process failed: non-zero exit, signal, or a broken stream.
    Crashed,
    /// The stream ended without the agent's terminal event, whatever the exit code.
    NoTerminalEvent,
    /// The model refused the task.
    Refused,
}

/// Why an attempt failed; the classes that people filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A check exited with another code than 0 on the tree that would have been merged.
    CheckFailed,
    /// The agent said itself that it could not do it.
    AgentGaveUp,
    /// The agent's branch does not rebase onto the head.
    Conflict,
    /// The agent was silent for longer than the idle limit.
    IdleLimit,
    /// The attempt took longer than the wall-clock limit.
    TimeLimit,
    /// The agent used more steps (tool calls) than the step limit.
    StepLimit,
    /// The agent process failed.
    AgentCrashed,
    /// The agent's stream ended without its terminal event.
    NoTerminalEvent,
    /// The conversation outgrew the model's context window.
    ContextOverflow,
    /// The agent's own turn or budget cap was reached.
    TurnOrBudgetCap,
    /// The model refused the task.
    Refused,
    /// The provider limits or is overloaded; costs the feature no try.
    ProviderLimited,
    /// The provider refused the credentials; costs the feature no try.
    ProviderRefused,
    /// A hook of the project failed.
    HookFailed,
    /// The attempt could not be set up or finished by the worker.
    Setup,
    /// A problem of the machine, not of the feature; costs it no try and pauses the workers.
    /// Workers use it within an attempt; no `FeatureFailed` has it.
    Trouble(TroubleKind),
    /// The provider's account has no credit left; costs the feature no try.
    QuotaExhausted,
}

impl FailureKind {
    /// Whether a provider refuses or limits: no try is spent, and its profile is kept back.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::ProviderLimited | Self::ProviderRefused | Self::QuotaExhausted
        )
    }

    /// The class as people read and filter it: `check_failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CheckFailed => "check_failed",
            Self::AgentGaveUp => "agent_gave_up",
            Self::Conflict => "conflict",
            Self::IdleLimit => "idle_limit",
            Self::TimeLimit => "time_limit",
            Self::StepLimit => "step_limit",
            Self::AgentCrashed => "agent_crashed",
            Self::NoTerminalEvent => "no_terminal_event",
            Self::ContextOverflow => "context_overflow",
            Self::TurnOrBudgetCap => "turn_or_budget_cap",
            Self::Refused => "refused",
            Self::ProviderLimited => "provider_limited",
            Self::ProviderRefused => "provider_refused",
            Self::HookFailed => "hook_failed",
            Self::Setup => "setup",
            Self::Trouble(kind) => kind.as_str(),
            Self::QuotaExhausted => "quota_exhausted",
        }
    }
}

/// Why one attempt at one feature failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Class of the failure.
    pub kind: FailureKind,
    /// One or a few sentences for a person; at most [`Failure::REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// The checks that were run before it, the failed one last.
    pub checks: Vec<CheckRun>,
}

impl Failure {
    /// Reasons are quoted in lines of a terminal and in the next attempt's prompt.
    pub const REASON_BYTES_MAX: usize = 2_000;

    /// A failure without checks; the reason is cut at [`Failure::REASON_BYTES_MAX`].
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(clip(&reason, Self::REASON_BYTES_MAX).len());
        Self {
            kind,
            reason,
            checks: Vec::new(),
        }
    }

    /// The same failure with one more sentence. If both do not fit, the end of the earlier text is
    /// cut, because it matters less.
    pub fn with_more(self, sentence: &str) -> Self {
        let room = Self::REASON_BYTES_MAX.saturating_sub(sentence.len() + 1);
        let reason = format!("{}\n{sentence}", clip(&self.reason, room));
        Self {
            checks: self.checks,
            ..Self::new(self.kind, reason)
        }
    }
}

// Here and not beside `Trouble`, which knows no failures.
impl Trouble {
    /// The problem of the machine that `failure` describes, if it is one.
    pub fn of(failure: &Failure, stage: Stage) -> Option<Self> {
        let FailureKind::Trouble(kind) = failure.kind else {
            return None;
        };
        Some(Self {
            kind,
            stage,
            reason: failure.reason.clone(),
        })
    }

    /// As a failure of one feature, for a problem that turns out to be its own.
    pub fn as_failure(&self) -> Failure {
        let kind = match self.kind {
            TroubleKind::Hook => FailureKind::HookFailed,
            TroubleKind::Provider => FailureKind::AgentCrashed,
            _ => FailureKind::Setup,
        };
        Failure::new(kind, self.reason.clone())
    }
}

/// On what ground a feature passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Its checks exited with 0 on exactly the tree that was merged or tested.
    Checks,
    /// It has no checks: an agent said so.
    AgentWord,
}

/// What proves that one feature passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Checks, or only an agent's word.
    pub basis: Basis,
    /// The commit that was checked.
    pub commit: CommitId,
    /// Its tree, so that the proof outlives a rewritten commit.
    pub tree: CommitId,
    /// Every check that was run, in order; all with exit code 0.
    pub checks: Vec<CheckRun>,
}

/// What the agents of an attempt used. Numbers are the agent's own; absent ones are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens sent to the model, cached ones included.
    pub input_tokens: u64,
    /// Tokens the model wrote.
    pub output_tokens: u64,
    /// Cost in millionths of a US dollar.
    pub cost_microusd: u64,
}

impl Usage {
    /// True if the agent reported nothing.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The sum of both, saturating.
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost_microusd: self.cost_microusd.saturating_add(other.cost_microusd),
        }
    }

    /// The part of this that exceeds `other`, not below 0.
    pub fn minus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(other.output_tokens),
            cost_microusd: self.cost_microusd.saturating_sub(other.cost_microusd),
        }
    }

    /// Input and output tokens together.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}
