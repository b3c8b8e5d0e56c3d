//! The drill's findings as text and JSON.

use std::time::Duration;

use serde_json::{Value, json as object};

use super::targets::Kind;
use super::verdict::Findings;
use crate::model::format;

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn plural(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    }
}

/// Median and maximum of sorted durations, in milliseconds.
fn median_and_longest(sorted: &[Duration]) -> Option<(u64, u64)> {
    let median = sorted.get(sorted.len() / 2)?;
    Some((ms(*median), ms(*sorted.last()?)))
}

fn recovery(sorted: &[Duration]) -> String {
    match median_and_longest(sorted) {
        Some((median, longest)) => format!("median {median} ms, at most {longest} ms"),
        None => "none".to_owned(),
    }
}

fn all_recoveries(findings: &Findings) -> Vec<Duration> {
    let mut all: Vec<Duration> = findings.recoveries.values().flatten().copied().collect();
    all.sort();
    all
}

/// One row per number, then the faults.
pub fn text(findings: &Findings) -> String {
    let kinds = Kind::ALL.map(|kind| {
        let count = findings.kills.get(&kind).copied().unwrap_or(0);
        format!("{count} {}", kind.as_str())
    });
    let (features, merged) = findings.features;
    let rows = [
        (
            "kills",
            format!(
                "{} in {}: {}",
                findings.kills(),
                format::duration(ms(findings.killing)),
                kinds.join(", ")
            ),
        ),
        (
            "",
            format!(
                "{} hit several processes, {} hit during a recovery",
                plural(findings.at_once as usize, "strike"),
                findings.in_recovery
            ),
        ),
        ("restarts", plural(findings.restarts as usize, "scheduler")),
        ("attempts", findings.attempts.to_string()),
        (
            "features",
            format!(
                "{merged} of {features} merged, {} repeated",
                plural(findings.repeated as usize, "import")
            ),
        ),
        (
            "lost",
            format!(
                "{} of {} acknowledged events and {features} features",
                findings.lost, findings.acknowledged
            ),
        ),
        ("merged twice", findings.merged_twice.to_string()),
        (
            "orphans",
            format!("{} processes, worktrees or files", findings.orphans),
        ),
        ("recovery", recovery(&all_recoveries(findings))),
    ];
    let mut out = String::new();
    for (name, value) in rows {
        out.push_str(&format!("{name:<13} {value}\n"));
    }
    for (kind, all) in &findings.recoveries {
        out.push_str(&format!(
            "{:<13} {}\n",
            format!("  {}", kind.as_str()),
            recovery(all)
        ));
    }
    for fault in &findings.faults {
        out.push_str(&format!("FAULT         {fault}\n"));
    }
    out.trim_end().to_owned()
}

/// The findings as JSON; durations are in milliseconds.
pub fn json(findings: &Findings) -> Value {
    let spans = |sorted: &[Duration]| {
        median_and_longest(sorted).map(|(median, longest)| {
            object!({ "count": sorted.len(), "median_ms": median, "longest_ms": longest })
        })
    };
    let by_kind = |kind: Kind| {
        let recoveries = findings.recoveries.get(&kind).map(Vec::as_slice);
        object!({
            "kills": findings.kills.get(&kind).copied().unwrap_or(0),
            "recovery": spans(recoveries.unwrap_or(&[])),
        })
    };
    let (features, merged) = findings.features;
    object!({
        "seed": findings.seed,
        "killing_ms": ms(findings.killing),
        "kills": findings.kills(),
        "schedulers": by_kind(Kind::Scheduler),
        "workers": by_kind(Kind::Worker),
        "agents": by_kind(Kind::Agent),
        "strikes_of_several": findings.at_once,
        "strikes_during_recovery": findings.in_recovery,
        "restarts": findings.restarts,
        "attempts": findings.attempts,
        "features": features,
        "merged": merged,
        "imports_repeated": findings.repeated,
        "acknowledged_events": findings.acknowledged,
        "lost": findings.lost,
        "merged_twice": findings.merged_twice,
        "orphans": findings.orphans,
        "recovery": spans(&all_recoveries(findings)),
        "faults": findings.faults,
        "interrupted": findings.interrupted,
        "clean": findings.clean(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn findings() -> Findings {
        Findings {
            seed: 7,
            kills: BTreeMap::from([(Kind::Scheduler, 2), (Kind::Agent, 3)]),
            at_once: 1,
            features: (24, 24),
            acknowledged: 300,
            killing: Duration::from_secs(5),
            recoveries: BTreeMap::from([
                (Kind::Scheduler, vec![Duration::from_millis(80)]),
                (
                    Kind::Agent,
                    [20, 30, 400].map(Duration::from_millis).to_vec(),
                ),
            ]),
            ..Findings::default()
        }
    }

    #[test]
    fn people_read_what_was_killed_and_that_nothing_was_lost() {
        let text = text(&findings());
        assert!(text.contains("kills         5 in 5.0s: 2 schedulers, 0 workers, 3 agents"));
        assert!(text.contains("lost          0 of 300 acknowledged events"));
        assert!(text.contains("merged twice  0\n"));
        assert!(text.contains("recovery      median 80 ms, at most 400 ms"));
        assert!(text.contains("  agents      median 30 ms, at most 400 ms"));
        assert!(findings().clean());
    }

    #[test]
    fn whatever_is_not_0_is_a_fault() {
        let broken = [
            Findings {
                lost: 1,
                ..findings()
            },
            Findings {
                merged_twice: 1,
                ..findings()
            },
            Findings {
                orphans: 1,
                ..findings()
            },
            Findings {
                faults: vec!["this".to_owned()],
                ..findings()
            },
        ];
        for findings in broken {
            assert!(!findings.clean());
            assert_eq!(json(&findings)["clean"], false);
        }
        let text = text(&Findings {
            faults: vec!["#3 was merged 2 times".to_owned()],
            ..findings()
        });
        assert!(
            text.ends_with("FAULT         #3 was merged 2 times"),
            "{text}"
        );
    }
}
