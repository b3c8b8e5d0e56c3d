//! What agents come to: they pass, fail, lie, ask, crash, hang, and meet their provider's limits.

use crate::model::evidence::{FailureKind, SessionEnd, Usage};
use crate::model::ids::{FeatureId, Timestamp};
use crate::model::report::JobFeature;
use crate::model::settings::Settings;
use crate::worker::outcome::{Seen, SessionResult};
use crate::worker::verdict::{Claim, Reading};

use super::dice::Dice;
use super::git::Change;
use super::scenario::Trouble;

/// A session that has been decided and has not happened yet.
#[derive(Clone, Debug)]
pub struct Plan {
    pub ms: u64,
    pub result: SessionResult,
    /// What it leaves in the worktree.
    pub change: Change,
}

fn completed(dice: &mut Dice) -> SessionResult {
    SessionResult {
        end: SessionEnd::Completed,
        failure: None,
        detail: String::new(),
        limited_until: None,
        usage: Usage {
            input_tokens: dice.between(0, 300),
            output_tokens: dice.between(0, 50),
            cost_microusd: 0,
        },
        verdict: Reading::default(),
        seen: Seen {
            started: true,
            steps: 1,
            said: true,
            busy: false,
            worked: true,
        },
    }
}

/// What becomes of a session without a provider: an error, a limit, or silence.
pub fn unanswered(dice: &mut Dice, plan: &mut Plan, settings: &Settings) {
    let result = &mut plan.result;
    result.verdict = Reading::default();
    result.limited_until = None;
    result.failure = None;
    result.seen = Seen {
        started: true,
        ..Seen::default()
    };
    plan.change = Change::default();
    plan.ms = 10 + dice.skewed(5_000);
    let ends = [
        SessionEnd::Crashed,
        SessionEnd::NoTerminalEvent,
        SessionEnd::Overloaded,
        SessionEnd::Cancelled,
    ];
    result.end = dice.pick(&ends).unwrap_or(SessionEnd::Crashed);
    if result.end == SessionEnd::Cancelled {
        plan.ms = settings.idle_limit_ms;
        result.failure = Some(FailureKind::IdleLimit);
    }
}

/// The session of a coding agent.
pub fn coding(
    dice: &mut Dice,
    features: &[JobFeature],
    others: &[FeatureId],
    trouble: &Trouble,
    settings: &Settings,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan {
        ms: 10 + dice.skewed(90_000),
        result: completed(dice),
        change: Change::default(),
    };
    let one = dice.pick(features).map_or(FeatureId(0), |one| one.id);
    plan.change.does = features.iter().map(|feature| feature.id).collect();
    if dice.percent(trouble.breaks) {
        plan.change.breaks = dice.pick(others).into_iter().collect();
    }
    if surprise(dice, &mut plan, trouble, settings, now) {
        return plan;
    }
    let claims = if dice.percent(trouble.fails) {
        vec![(one, Claim::Fail("I cannot do it".to_owned()))]
    } else if dice.percent(trouble.asks) {
        vec![(one, Claim::Input("which colour?".to_owned()))]
    } else if dice.percent(trouble.lies) {
        // It says that it did, and did not, or not all of it.
        plan.change.does.retain(|id| *id != one);
        vec![(one, Claim::Pass)]
    } else {
        Vec::new()
    };
    plan.result.verdict = match dice.percent(trouble.flaky) {
        true => Reading::unread("is no JSON"),
        false => Reading { claims, note: None },
    };
    plan
}

/// The session of a testing agent, which sees whether features work.
pub fn testing(
    dice: &mut Dice,
    features: &[(FeatureId, bool)],
    trouble: &Trouble,
    settings: &Settings,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan {
        ms: 10 + dice.skewed(40_000),
        result: completed(dice),
        change: Change::default(),
    };
    if surprise(dice, &mut plan, trouble, settings, now) {
        return plan;
    }
    let mut claims = Vec::new();
    for &(id, works) in features {
        let lie = dice.percent(trouble.lies);
        if dice.percent(trouble.fails / 3) {
            continue;
        }
        claims.push(match works != lie {
            true => (id, Claim::Pass),
            false => (id, Claim::Fail("it does not work".to_owned())),
        });
    }
    plan.result.verdict.claims = claims;
    plan
}

/// Ends that are nobody's opinion. True when it is one of these.
fn surprise(
    dice: &mut Dice,
    plan: &mut Plan,
    trouble: &Trouble,
    settings: &Settings,
    now: Timestamp,
) -> bool {
    let result = &mut plan.result;
    if dice.percent(trouble.crashes) {
        let ends = [
            SessionEnd::Crashed,
            SessionEnd::NoTerminalEvent,
            SessionEnd::ContextOverflow,
            SessionEnd::TurnOrBudgetCap,
            SessionEnd::Refused,
            SessionEnd::Cancelled,
        ];
        result.end = dice.pick(&ends).unwrap_or(SessionEnd::Crashed);
    } else if dice.percent(trouble.limits) {
        let ends = [
            SessionEnd::Limited,
            SessionEnd::Overloaded,
            SessionEnd::Limited,
            SessionEnd::AuthFailed,
            SessionEnd::QuotaExhausted,
        ];
        result.end = dice.pick(&ends).unwrap_or(SessionEnd::Limited);
        if result.end == SessionEnd::Limited && dice.percent(60) {
            // Now and then a time that has passed already.
            let at = now.0 + dice.skewed(600_000);
            result.limited_until = Some(Timestamp(at.saturating_sub(10_000)));
        }
    } else if dice.percent(trouble.hangs) {
        result.end = SessionEnd::Cancelled;
        if dice.percent(50) {
            plan.ms = settings.idle_limit_ms;
            result.failure = Some(FailureKind::IdleLimit);
        } else {
            // It works for ever and has to be interrupted.
            plan.ms = settings.time_limit_ms * 3;
        }
    } else {
        return false;
    }
    true
}
