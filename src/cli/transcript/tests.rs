use super::*;
use serde_json::json;

fn read(lines: &[String]) -> Vec<(u64, Kind, String)> {
    let mut reader = Reader::default();
    let mut pieces: Vec<Piece> = lines.iter().flat_map(|line| reader.line(line)).collect();
    pieces.extend(reader.end());
    let pieces = pieces.into_iter();
    pieces.map(|it| (it.at_ms, it.kind, it.text)).collect()
}

fn check(lines: &[String], expected: &[(u64, Kind, &str)]) {
    let expected = expected.iter();
    let expected: Vec<_> = expected
        .map(|(at, kind, text)| (*at, *kind, (*text).to_owned()))
        .collect();
    assert_eq!(read(lines), expected);
}

#[test]
fn a_record_is_told_in_order() {
    let usage = json!({ "input_tokens": 1, "output_tokens": 2, "cost_microusd": 3 });
    let lines = [
        json!({ "t": 0, "event": "prompt", "text": "Do it.\nWell." }),
        json!({ "t": 1, "event": "started", "session_id": "s1", "model": "m", "agent": "Claude Code 2" }),
        json!({ "t": 2, "event": "text", "text": "I be" }),
        json!({ "t": 3, "event": "text", "text": "gin.\n" }),
        json!({ "t": 4, "event": "thought", "text": "hm" }),
        json!({ "t": 5, "event": "plan", "text": "[x] one\n[ ] two" }),
        json!({ "t": 6, "event": "tool_start", "id": "1", "title": "make test", "kind": "execute" }),
        json!({ "t": 7, "event": "tool_end", "id": "1", "ok": false, "output": "1 failed" }),
        json!({ "t": 8, "event": "tool_start", "id": "2", "title": "ls", "kind": "execute" }),
        json!({ "t": 8, "event": "tool_end", "id": "2", "ok": true, "output": "" }),
        json!({ "t": 9, "event": "denied", "what": "rm" }),
        json!({ "t": 9, "event": "usage", "input_tokens": 1, "output_tokens": 2, "cost_microusd": 3 }),
        json!({ "t": 9, "event": "stderr", "line": "low battery" }),
        json!({ "t": 9, "event": "raw", "text": "{\"x\": 1}" }),
        json!({ "t": 9, "event": "raw", "text": "what?" }),
        json!({ "t": 9, "event": "from_the_future" }),
        json!({ "t": 10, "event": "retry", "reason": "overloaded" }),
        json!({ "t": 11, "event": "limit", "until_ms": null, "kind": "limited" }),
        json!({ "t": 12, "event": "end", "end": "limited", "failure": "provider_limited",
            "reason": "the agent failed", "exit_code": 1, "usage": usage }),
    ];
    let lines = lines.map(|line| line.to_string());
    check(
        &lines,
        &[
            (0, Kind::Prompt, "Do it.\nWell."),
            (
                1,
                Kind::Note,
                "Claude Code 2 is working, model m, session s1",
            ),
            (2, Kind::Agent, "I begin.\n"),
            (4, Kind::Thought, "hm"),
            (5, Kind::Plan, "[x] one\n[ ] two"),
            (6, Kind::Tool, "make test"),
            (7, Kind::Failed, "1 failed"),
            (8, Kind::Tool, "ls"),
            (9, Kind::Denied, "rm"),
            (9, Kind::Complaint, "low battery"),
            (9, Kind::Note, "what?"),
            (10, Kind::Limit, "the agent tries again: overloaded"),
            (11, Kind::Limit, "the provider limits the agent"),
            (12, Kind::End, "the agent failed"),
        ],
    );
}

#[test]
fn a_transcript_without_a_record_is_shown_as_it_is() {
    let row = |t: u64, stream: &str, line: &str| {
        json!({ "t": t, "stream": stream, "line": line }).to_string()
    };
    let lines = [
        row(1, "in", "Do it.\nWell."),
        row(2, "out", "working"),
        row(900, "out", r#"{"type":"result"}"#),
        row(900, "err", "careful"),
        json!({ "t": 901, "stream": "out", "line": "long", "cut": 77 }).to_string(),
        json!({ "note": "the transcript is full" }).to_string(),
        "{\"t\":902,\"stre".to_owned(),
        String::new(),
    ];
    check(
        &lines,
        &[
            (1, Kind::Prompt, "Do it.\nWell."),
            (2, Kind::Agent, "working\n{\"type\":\"result\"}\n"),
            (900, Kind::Complaint, "careful"),
            (901, Kind::Agent, "long\n"),
            (
                901,
                Kind::Note,
                "77 more bytes of this line were not recorded",
            ),
            (0, Kind::Note, "the transcript is full"),
            (0, Kind::Note, "this line of the record cannot be read"),
        ],
    );
}

#[test]
fn no_line_upsets_the_reader() {
    for line in [
        "null",
        "[1]",
        "{}",
        "{\"event\":3}",
        "{\"t\":-1,\"event\":\"text\"}",
    ] {
        read(&[line.to_owned()]);
    }
}
