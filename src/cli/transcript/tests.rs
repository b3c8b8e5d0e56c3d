use serde_json::json;

use super::*;

fn row(at_ms: u64, stream: &str, line: &str) -> String {
    json!({ "t": at_ms, "stream": stream, "line": line }).to_string()
}

fn update(at_ms: u64, update: serde_json::Value) -> String {
    let message = json!({
        "jsonrpc": "2.0", "method": "session/update",
        "params": { "sessionId": "s", "update": update },
    });
    row(at_ms, "out", &message.to_string())
}

fn read(lines: &[String]) -> Vec<(u64, Kind, String)> {
    let mut reader = Reader::default();
    let mut pieces: Vec<Piece> = lines.iter().flat_map(|line| reader.line(line)).collect();
    pieces.extend(reader.end());
    let told = |piece: Piece| (piece.at_ms, piece.kind, piece.text);
    pieces.into_iter().map(told).collect()
}

#[test]
fn a_session_over_the_protocol_is_told_in_words() {
    let chunk = |text: &str| json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "text", "text": text } });
    let ask = json!({
        "jsonrpc": "2.0", "id": 3, "method": "session/request_permission",
        "params": { "toolCall": { "toolCallId": "c1" }, "options": [] },
    });
    let output = json!([{ "type": "content", "content": { "type": "text", "text": "1 failed" } },
        { "type": "diff", "path": "/w/a.rs", "newText": "" }]);
    let lines = [
        row(
            1,
            "in",
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#,
        ),
        row(
            2,
            "out",
            r#"{"jsonrpc":"2.0","id":1,"result":{"agentInfo":{"name":"gem","version":"2"}}}"#,
        ),
        row(
            3,
            "in",
            r#"{"jsonrpc":"2.0","id":2,"method":"session/prompt","params":{"prompt":[{"type":"text","text":"Do it."}]}}"#,
        ),
        update(4, chunk("I be")),
        update(5, chunk("gin.")),
        update(
            6,
            json!({ "sessionUpdate": "tool_call", "toolCallId": "c1", "title": "make test" }),
        ),
        row(7, "out", &ask.to_string()),
        row(
            8,
            "in",
            r#"{"jsonrpc":"2.0","id":3,"result":{"outcome":{"outcome":"selected","optionId":"allow"}}}"#,
        ),
        update(
            9,
            json!({ "sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "failed", "content": output }),
        ),
        row(10, "err", "warning: low battery"),
        update(11, json!({ "sessionUpdate": "usage_update", "used": 3 })),
        row(
            12,
            "out",
            r#"{"jsonrpc":"2.0","id":2,"result":{"stopReason":"end_turn"}}"#,
        ),
        row(
            13,
            "out",
            r#"{"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"no credit","data":null}}"#,
        ),
    ];
    let expected = [
        (2, Kind::Note, "the agent is gem 2"),
        (3, Kind::Prompt, "Do it."),
        (4, Kind::Agent, "I begin."),
        (6, Kind::Tool, "make test"),
        (7, Kind::Ask, "make test"),
        (8, Kind::Answer, "allow"),
        (9, Kind::Failed, "1 failed\nchanged /w/a.rs"),
        (10, Kind::Complaint, "warning: low battery"),
        (12, Kind::Note, "the agent ended its turn: end_turn"),
        (
            13,
            Kind::Note,
            "the agent answered with an error: no credit",
        ),
    ];
    let expected = expected.map(|(at, kind, text)| (at, kind, text.to_owned()));
    assert_eq!(read(&lines), expected);
}

#[test]
fn a_program_is_shown_as_it_spoke() {
    let lines = [
        row(1, "in", "Do it.\nWell."),
        row(2, "out", "working"),
        row(900, "out", r#"{"type":"result"}"#),
        json!({ "t": 901, "stream": "out", "line": "long", "cut": 77 }).to_string(),
        json!({ "note": "the transcript is full" }).to_string(),
        "{\"t\":902,\"stre".to_owned(),
        String::new(),
    ];
    let expected = [
        (1, Kind::Prompt, "Do it.\nWell."),
        (2, Kind::Agent, "working\n{\"type\":\"result\"}\nlong\n"),
        (
            901,
            Kind::Note,
            "77 more bytes of this line were not recorded",
        ),
        (0, Kind::Note, "the transcript is full"),
        (0, Kind::Note, "this line of the transcript cannot be read"),
    ];
    let expected = expected.map(|(at, kind, text)| (at, kind, text.to_owned()));
    assert_eq!(read(&lines), expected);
}

#[test]
fn no_message_upsets_the_reader() {
    let odd = [
        json!({ "jsonrpc": "2.0" }),
        json!({ "jsonrpc": "2.0", "method": 3 }),
        json!({ "jsonrpc": "2.0", "method": "session/update", "params": [] }),
        json!({ "jsonrpc": "2.0", "method": "session/update", "params": { "update": { "sessionUpdate": "tool_call" } } }),
        json!({ "jsonrpc": "2.0", "method": "session/update", "params": { "update": { "sessionUpdate": "plan" } } }),
        json!({ "jsonrpc": "2.0", "result": { "outcome": [] } }),
        json!([1, 2]),
    ];
    for message in odd {
        for stream in ["in", "out", "err", "?"] {
            read(&[row(1, stream, &message.to_string())]);
        }
    }
}
