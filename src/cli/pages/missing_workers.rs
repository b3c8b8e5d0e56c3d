//! Text about workers that a run waits for.

use crate::model::format;
use crate::protocol::MissingWorkers;

/// Which worker to start, and when the run ends without it.
pub fn start(missing: &MissingWorkers) -> String {
    let start = format!("start `worker --kind {}`", missing.kind.as_str());
    match missing.ends_in_ms {
        None => start,
        Some(ms) => format!("{start}, or the run ends in {}", format::duration(ms)),
    }
}

/// The same for the short line of totals.
pub fn short(missing: &MissingWorkers) -> String {
    let word = missing.kind.as_str();
    match missing.ends_in_ms {
        None => format!("no {word} worker"),
        Some(ms) => format!("no {word} worker (run ends in {})", format::duration(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::WorkerKind;

    #[test]
    fn the_countdown_is_said_where_there_is_one() {
        let missing = |kind, ends_in_ms| MissingWorkers { kind, ends_in_ms };
        let table = [
            (
                missing(WorkerKind::Coding, None),
                "start `worker --kind coding`",
                "no coding worker",
            ),
            (
                missing(WorkerKind::Testing, Some(90_000)),
                "start `worker --kind testing`, or the run ends in 1m30s",
                "no testing worker (run ends in 1m30s)",
            ),
        ];
        for (missing, long, brief) in table {
            assert_eq!(
                (start(&missing).as_str(), short(&missing).as_str()),
                (long, brief)
            );
        }
    }
}
