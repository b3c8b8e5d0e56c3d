//! Merges checked work onto the branch.

use crate::model::command::Rejection;
use crate::model::event::{Event, FeaturePassed, MergeAborted, MergeStarted};
use crate::model::evidence::{Basis, Evidence};
use crate::model::ids::{AttemptId, CommitId, FeatureId};
use crate::model::report::Mergeable;
use crate::model::state::{Attempt, Feature, State};

/// Paths usually have 50 bytes. A merge with longer ones counts as touching everything, so that an
/// event stays within its 1 MiB.
const TOUCHED_BYTES_MAX: usize = 64 * 1024;

/// The result of a report of finished work: a merge, or passes if there was nothing to change. The
/// caller has checked that `proven` holds for every remaining feature.
pub fn begin(
    state: &State,
    attempt: AttemptId,
    open: &Attempt,
    work: &Mergeable,
) -> Result<Vec<Event>, Rejection> {
    if state.open_merge().is_some() {
        return Err(Rejection::MergeOpen);
    }
    if work.onto != state.head {
        let head = state.head.clone();
        return Err(Rejection::HeadMoved { head });
    }
    let evidence = kept(state, &open.remaining, &work.evidence);
    if work.commit == work.onto {
        return Ok(passes(attempt, &open.remaining, &evidence));
    }
    let listed = u32::try_from(work.touched.len()).unwrap_or(u32::MAX);
    Ok(vec![
        MergeStarted {
            attempt,
            onto: work.onto.clone(),
            commit: work.commit.clone(),
            touched: touched(&work.touched),
            touched_total: work.touched_total.max(listed),
            evidence,
        }
        .into(),
    ])
}

/// As many files as an event may name.
fn touched(files: &[String]) -> Vec<String> {
    let mut bytes = 0;
    let files = files.iter().take(MergeStarted::TOUCHED_MAX);
    let fit = files.take_while(|file| {
        bytes += file.len();
        bytes <= TOUCHED_BYTES_MAX
    });
    fit.cloned().collect()
}

/// The proofs of the job's features, and of no others.
fn kept(
    state: &State,
    remaining: &[FeatureId],
    evidence: &[(FeatureId, Evidence)],
) -> Vec<(FeatureId, Evidence)> {
    let of = |&feature: &FeatureId| {
        let (_, evidence) = evidence.iter().find(|(id, _)| *id == feature)?;
        Some((feature, marked(state, feature, evidence)))
    };
    remaining.iter().filter_map(of).collect()
}

/// The proof as it is recorded: a feature without checks is marked as passing on the agent's word,
/// whatever the report says.
pub fn marked(state: &State, feature: FeatureId, evidence: &Evidence) -> Evidence {
    let checks = |feature: &Feature| !feature.spec.checks.is_empty();
    if state.feature(feature).is_some_and(checks) {
        return evidence.clone();
    }
    Evidence {
        basis: Basis::AgentWord,
        commit: evidence.commit.clone(),
        tree: evidence.tree.clone(),
        checks: Vec::new(),
    }
}

/// git's answer to the open merge.
pub fn settle(
    state: &State,
    attempt: AttemptId,
    merged: bool,
    head: &CommitId,
) -> Result<Vec<Event>, Rejection> {
    let merge = state.open_merge().filter(|merge| merge.attempt == attempt);
    let merge = merge.ok_or(Rejection::NotOpen(attempt))?;
    if !merged {
        let head = head.clone();
        return Ok(vec![MergeAborted { attempt, head }.into()]);
    }
    let open = state.attempts.get(&attempt);
    let remaining = open.map_or(&[][..], |open| &open.remaining);
    let mut events = passes(attempt, remaining, &merge.evidence);
    if *head != merge.commit {
        // Another commit was built on it in the meantime.
        let head = head.clone();
        events.push(crate::model::event::HeadMoved { head }.into());
    }
    Ok(events)
}

fn passes(
    attempt: AttemptId,
    remaining: &[FeatureId],
    evidence: &[(FeatureId, Evidence)],
) -> Vec<Event> {
    let pass = |&feature: &FeatureId| {
        let (_, evidence) = evidence.iter().find(|(id, _)| *id == feature)?;
        let evidence = evidence.clone();
        Some(
            FeaturePassed {
                feature,
                attempt,
                evidence,
            }
            .into(),
        )
    };
    remaining.iter().filter_map(pass).collect()
}

/// Whether `evidence` proves the feature at `commit`: all of its checks, with exit code 0. An
/// agent's word counts only for a feature without checks. `Err` says what is missing.
pub fn proven(
    state: &State,
    feature: FeatureId,
    commit: &CommitId,
    evidence: Option<&Evidence>,
) -> Result<(), String> {
    let evidence = evidence.ok_or("the report has no evidence for this feature")?;
    let spec = state.feature(feature).map(|feature| &feature.spec);
    let checks = spec.map_or(&[][..], |spec| &spec.checks);
    if evidence.commit != *commit {
        return Err(format!(
            "the evidence is for commit {}, not for {}",
            evidence.commit.short(),
            commit.short()
        ));
    }
    if checks.is_empty() {
        return Ok(());
    }
    if evidence.basis != Basis::Checks {
        return Err("the feature has checks, but the report has only the agent's word".to_owned());
    }
    let run: Vec<&str> = evidence
        .checks
        .iter()
        .map(|run| run.command.as_str())
        .collect();
    if run != checks.iter().map(String::as_str).collect::<Vec<_>>() {
        return Err("the report's checks are not the feature's checks".to_owned());
    }
    let failed = evidence.checks.iter().find(|run| !run.end.passed());
    match failed.filter(|_| !planted!(FailedChecksPass)) {
        Some(run) => Err(format!("{:?} {}", run.command, run.end)),
        None => Ok(()),
    }
}
