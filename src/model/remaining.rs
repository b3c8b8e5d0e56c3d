//! What is left to do, and whether it may start. The plan asks before it gives a command, and the
//! decision asks again.

use super::ids::Timestamp;
use super::profile::ProfileName;
use super::settings::WorkerKind;
use super::state::{Feature, State};

/// Whether anything may start at all; what starts an agent must also have one that it
/// [may use](may_use).
pub fn starts(state: &State, now: Timestamp) -> bool {
    may_start(state) && (!state.is_held_by_trouble(now) || planted!(TroubleIgnored))
}

/// Whether an agent of this profile may start, as far as its provider is concerned.
pub fn may_use(state: &State, now: Timestamp, profile: &ProfileName) -> bool {
    !state.is_held(profile, now) || planted!(ProviderIgnored)
}

/// Whether any agent for jobs of this kind may start.
fn has_agent(state: &State, now: Timestamp, kind: WorkerKind) -> bool {
    let mut profiles = state.profiles.of(kind).iter();
    profiles.any(|profile| may_use(state, now, profile))
}

/// Whether people and the budget let anything start.
pub fn may_start(state: &State) -> bool {
    let paused = state.paused.is_some() && !planted!(PauseIgnored);
    let spent = state.budget_spent() && !planted!(BudgetIgnored);
    !paused && !spent
}

/// Whether there is work that a worker of this kind could start now or soon.
pub fn waits_for(state: &State, now: Timestamp, kind: WorkerKind) -> bool {
    let agents = has_agent(state, now, kind);
    let work = match kind {
        WorkerKind::Coding => {
            agents && (state.ready_count() > 0 || state.delayed().next().is_some())
        }
        WorkerKind::Testing => final_tests_wait(state) && (agents || proves_without_agent(state)),
    };
    work && state.open_run().is_some() && starts(state, now)
}

/// Whether nothing is in progress, and the remaining work needs a worker.
pub fn nobody_at_work(state: &State, now: Timestamp) -> bool {
    let kinds = [WorkerKind::Coding, WorkerKind::Testing];
    let open = !state.attempts().is_empty() || state.open_merge().is_some();
    !open && kinds.iter().any(|&kind| waits_for(state, now, kind))
}

/// Passing features that are not verified at the head and can be, those longest unverified first.
pub fn unverified(state: &State) -> impl Iterator<Item = &Feature> {
    let older = state.indexes.proven.range(..(state.head_generation, 0));
    let features = older.filter_map(|&(_, slot)| state.in_slot(slot));
    features.filter(|feature| !feature.untestable())
}

/// Number of passing features that are not verified at the branch's head.
pub fn unverified_count(state: &State) -> u32 {
    u32::try_from(unverified(state).count()).unwrap_or(u32::MAX)
}

/// The sentence about them if no tests are wanted; `None` if there is nothing to say.
pub fn unverified_words(state: &State) -> Option<String> {
    let count = unverified_count(state);
    (state.settings.testing == 0 && count > 0).then(|| {
        let features = if count == 1 { "feature" } else { "features" };
        format!("{count} {features} not verified at the final commit (testing = 0)")
    })
}

/// True if the only thing left is to verify passing features at the final commit.
pub fn final_tests_wait(state: &State) -> bool {
    state.settings.testing > 0 && !coding_remains(state) && unverified(state).next().is_some()
}

/// Whether one of the features that wait for a test can be tested without an agent.
fn proves_without_agent(state: &State) -> bool {
    let kind = WorkerKind::Testing;
    unverified(state).any(|feature| !state.starts_agent(kind, &[feature.id]))
}

/// True while features are being worked on or will be without anybody's help.
pub fn coding_remains(state: &State) -> bool {
    state.open_attempts(WorkerKind::Coding) > 0
        || state.ready_count() > 0
        || state.delayed().next().is_some()
}

/// The kind of jobs that the rest of the run waits for.
pub fn kind_of_rest(state: &State) -> WorkerKind {
    match coding_remains(state) {
        true => WorkerKind::Coding,
        false => WorkerKind::Testing,
    }
}

/// Agents that have worked in this run are waited for that long: a night and a morning.
const PATIENCE_MS: u64 = 86_400_000;

/// True while the machine is in trouble, or no agent works that has been seen to work in this run.
/// Otherwise the trouble is their providers', ends by itself, and may take the night.
pub fn is_of_setup(state: &State) -> bool {
    let fails = |profile| {
        let run = state.run.as_ref();
        let proven = run.is_some_and(|run| run.worked.contains(profile));
        state.outage(profile).is_some_and(|outage| {
            let patient = proven && state.at.since_ms(outage.began) < PATIENCE_MS;
            !outage.ends() || outage.is_failure() && !patient
        })
    };
    let profiles = state.profiles.of(kind_of_rest(state));
    let agents = !profiles.is_empty() && profiles.iter().all(fails);
    state.troubled.is_some() || agents
}

/// True when such a problem is open, work is left, and nothing is under way.
pub fn is_stuck(state: &State) -> bool {
    let idle = state.attempts().is_empty() && state.open_merge().is_none();
    is_of_setup(state) && idle && (coding_remains(state) || final_tests_wait(state))
}
