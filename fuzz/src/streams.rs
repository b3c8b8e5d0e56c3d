//! What agents write, read by the drivers of their own streams, and the records of sessions. The first
//! byte says how the process ended.

use crewlog::agent::driver::{AgentEvent, SessionResult};
use crewlog::agent::process::ProgramEnd;
use crewlog::agent::{claude, codex};
use crewlog::cli::transcript::Reader;
use crewlog::model::evidence::{FailureKind, SessionEnd};

use super::acp;
use super::take::Take;

/// Checks an output of Claude Code.
pub fn claude(data: &[u8]) {
    check(data, claude::read);
}

/// Checks an output of Codex.
pub fn codex(data: &[u8]) {
    check(data, codex::read);
}

type Read = fn(&[u8], Option<ProgramEnd>) -> (Vec<AgentEvent>, SessionResult);

fn check(data: &[u8], read: Read) {
    let mut take = Take(data);
    let end = match take.byte() {
        b'i' => None,
        b's' => Some(ProgramEnd::Signalled(9)),
        b'1' => Some(ProgramEnd::Exited(1)),
        _ => Some(ProgramEnd::Exited(0)),
    };
    let (events, result) = read(take.0, end);
    acp::told(&events);
    if result.failure == Some(FailureKind::IdleLimit) {
        assert_eq!(end, None, "{result:?}");
    } else {
        acp::ended(&result);
    }
    // A claim needs its terminal event, whatever the exit code.
    let completed = result.end == SessionEnd::Completed;
    let said = |word: &str| String::from_utf8_lossy(take.0).contains(word);
    assert!(
        !completed || said("result") || said("turn.completed") || said("\\u"),
        "{result:?}"
    );
}

/// Checks a record's rows.
pub fn record(data: &[u8]) {
    let mut reader = Reader::default();
    let text = String::from_utf8_lossy(data);
    let pieces = text.lines().flat_map(|line| reader.line(line));
    let shown: usize = pieces.map(|piece| piece.text.len()).sum();
    let rest = reader.end().map_or(0, |piece| piece.text.len());
    // A line is shown once, with a few words of ours.
    assert!(
        shown + rest <= text.len() + text.lines().count() * 80,
        "{shown}"
    );
}
