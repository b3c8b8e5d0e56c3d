//! Workers that a run waits for, in words.

use crate::model::format;
use crate::protocol::MissingWorkers;

/// What to start, and until when.
pub fn start(lacking: &MissingWorkers) -> String {
    let start = format!("start `worker --kind {}`", lacking.kind.word());
    match lacking.ends_in_ms {
        None => start,
        Some(ms) => format!("{start}, or the run ends in {}", format::duration(ms)),
    }
}

/// Who is lacking, and until when, for a line that is short.
pub fn short(lacking: &MissingWorkers) -> String {
    let word = lacking.kind.word();
    match lacking.ends_in_ms {
        None => format!("no {word} worker"),
        Some(ms) => format!("no {word} worker, ends in {}", format::duration(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::WorkerKind;

    #[test]
    fn the_countdown_is_said_where_there_is_one() {
        let lacking = |kind, ends_in_ms| MissingWorkers { kind, ends_in_ms };
        let table = [
            (
                lacking(WorkerKind::Coding, None),
                "start `worker --kind coding`",
                "no coding worker",
            ),
            (
                lacking(WorkerKind::Testing, Some(90_000)),
                "start `worker --kind testing`, or the run ends in 1m30s",
                "no testing worker, ends in 1m30s",
            ),
        ];
        for (lacking, long, brief) in table {
            assert_eq!(
                (start(&lacking).as_str(), short(&lacking).as_str()),
                (long, brief)
            );
        }
    }
}
