//! Agents that are played to our side of the conversation through a pair of pipes: recordings of
//! real ones, in `recordings`, and some that misbehave.

pub(in crate::agent) mod recordings;
mod set_up;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::agent::driver::JobPaths;
use crate::agent::limits::SessionLimits;
use crate::agent::process::Isolation;
use crate::agent::transcript::Transcript;
use crate::model::trouble::TroubleKind;

/// The worktree in the recordings.
const RECORDED_WORKTREE: &str = "/ws/wt";

const LIMITS: SessionLimits = SessionLimits {
    idle_ms: 10_000,
    time_ms: 10_000,
    steps_max: 100,
    grace_ms: 5_000,
};

/// Plays the agent's side of a recording.
struct FakeAgent {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
    unread: VecDeque<Value>,
    /// Maps recorded request ids to the driver's.
    ids: BTreeMap<String, Value>,
    cancel: CancellationToken,
    worktree: String,
}

impl FakeAgent {
    fn new(stream: DuplexStream, cancel: CancellationToken, worktree: &Path) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            lines: BufReader::new(reader).lines(),
            writer,
            unread: VecDeque::new(),
            ids: BTreeMap::new(),
            cancel,
            worktree: worktree.display().to_string(),
        }
    }

    async fn play(mut self, recording: &str) {
        for line in recording.lines() {
            let entry: Value = serde_json::from_str(line).expect("an entry");
            let message = &entry["msg"];
            match (
                entry["dir"].as_str(),
                message.get("method"),
                message.get("id"),
            ) {
                (Some("agent"), ..) => self.say(message).await,
                (_, Some(method), Some(id)) => {
                    // From there on, a loaded session is driven like a new one.
                    let method = match method.as_str() {
                        Some("session/load") => "session/new",
                        other => other.expect("a method"),
                    };
                    let asked = self.hear(|heard| heard["method"] == method).await;
                    self.ids.insert(id.to_string(), asked["id"].clone());
                }
                (_, Some(method), None) => {
                    self.cancel.cancel();
                    self.hear(|heard| heard["method"] == *method).await;
                }
                (_, None, Some(id)) => {
                    let heard = self
                        .hear(|heard| heard.get("method").is_none() && heard["id"] == *id)
                        .await;
                    if message.pointer("/result/outcome").is_some() {
                        assert_eq!(heard["result"], message["result"], "another option");
                    }
                }
                (_, None, None) => panic!("not a message: {line}"),
            }
        }
    }

    async fn say(&mut self, message: &Value) {
        let mut message = message.clone();
        if message.get("method").is_none() {
            let id = self.ids.get(&message["id"].to_string());
            message["id"] = id.expect("an answered request").clone();
        }
        let text = message
            .to_string()
            .replace(RECORDED_WORKTREE, &self.worktree);
        let line = format!("{text}\n");
        // The driver hangs up when it has read enough.
        let _ = self.writer.write_all(line.as_bytes()).await;
    }

    async fn hear(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&wanted) {
            return self.unread.remove(at).expect("it is there");
        }
        loop {
            let line = self.lines.next_line().await.expect("readable");
            let line = line.expect("the driver hung up before it said what was recorded");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if wanted(&message) {
                return message;
            }
            self.unread.push_back(message);
        }
    }
}

/// The result of a played session.
struct Played {
    result: SessionResult,
    events: Vec<AgentEvent>,
    transcript: String,
}

impl Played {
    fn count(&self, wanted: impl Fn(&AgentEvent) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

/// The rows of a session's record.
fn rows(base: &std::path::Path) -> String {
    let opened = crate::agent::transcript::open(base).expect("readable");
    let (mut reader, _) = opened.expect("it is there");
    let mut text = String::new();
    while let Some(row) = reader.row(u64::MAX).expect("a row") {
        text.push_str(&format!("{}\n", String::from_utf8_lossy(&row)));
    }
    text
}

/// Runs our side against `agent`, which gets the other end, the cancel token and the worktree.
async fn drive(
    settings: AcpSettings,
    limits: SessionLimits,
    agent: impl AsyncFnOnce(DuplexStream, CancellationToken, PathBuf),
) -> Played {
    drive_from(None, settings, limits, agent).await
}

/// The same, with an earlier session to be continued.
async fn drive_from(
    resume: Option<&str>,
    settings: AcpSettings,
    limits: SessionLimits,
    agent: impl AsyncFnOnce(DuplexStream, CancellationToken, PathBuf),
) -> Played {
    let directory = tempfile::tempdir().expect("directory");
    let worktree = directory.path().join("wt");
    std::fs::create_dir(&worktree).expect("worktree");
    let path = directory.path().join("transcript");
    let transcript = Transcript::create(&path, Transcript::BYTES_MAX).expect("transcript");
    let (sender, mut receiver) = mpsc::channel(10_000);
    let cancel = CancellationToken::new();
    let (ours, theirs) = tokio::io::duplex(4096);
    let (reader, writer) = tokio::io::split(ours);
    let session = Session {
        prompt: "Implement feature 1".to_owned(),
        worktree: worktree.clone(),
        env: BTreeMap::new(),
        paths: JobPaths::default(),
        feature: 1,
        attempt: 1,
        token: String::new(),
        own_executable: PathBuf::new(),
        isolation: Isolation::default(),
        cage: None,
        resume: resume.map(str::to_owned),
        limits,
        transcript,
        cancel: cancel.clone(),
    };
    let driver = AcpDriver::new("", Vec::new(), settings).expect("a driver");
    let conversation = driver.converse(reader, writer, &session, sender);
    let agent = agent(theirs, cancel, worktree);
    let (result, ()) = tokio::join!(conversation, agent);
    drop(session);
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    Played {
        result,
        events,
        transcript: rows(&path),
    }
}

/// An agent that answers the requests named with these results, in order, and then sends `last`.
async fn minimal(stream: DuplexStream, answers: &[(&str, &str)], last: &str) {
    let mut agent = FakeAgent::new(stream, CancellationToken::new(), Path::new("/"));
    for (method, answer) in answers {
        let asked = agent.hear(|heard| heard["method"] == *method).await;
        let line = answer.replace("ID", &asked["id"].to_string());
        agent
            .writer
            .write_all(format!("{line}\n").as_bytes())
            .await
            .expect("written");
    }
    let _ = agent.writer.write_all(last.as_bytes()).await;
}

const INITIALIZED: (&str, &str) = (
    "initialize",
    r#"{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":1}}"#,
);
const SESSION: (&str, &str) = (
    "session/new",
    r#"{"jsonrpc":"2.0","id":ID,"result":{"sessionId":"s"}}"#,
);
const ANSWER: (&str, &str) = (
    "session/prompt",
    r#"{"jsonrpc":"2.0","id":ID,"result":{"stopReason":"end_turn"}}"#,
);

/// Gemini CLI, if it may read through us, cannot create files.
#[tokio::test]
async fn agents_are_offered_to_write_through_us_and_not_to_read() {
    drive(AcpSettings::default(), LIMITS, async |stream, _, path| {
        let mut agent = FakeAgent::new(stream, CancellationToken::new(), &path);
        let asked = agent.hear(|heard| heard["method"] == "initialize").await;
        let offered = &asked["params"]["clientCapabilities"]["fs"];
        assert_eq!(offered["writeTextFile"], true, "{asked}");
        assert_ne!(offered["readTextFile"], true, "{asked}");
    })
    .await;
}

#[tokio::test]
async fn garbage_is_shown_and_survived() {
    let garbage = format!(
        "npm warn deprecated\n[]\n17\n\u{0}\u{1}\n{{\"foo\":1}}\n{}\n{{\"jsonrpc\":\"2.0\",\"method\":\"_new/thing\",\"params\":{{}}}}\n{}",
        "[".repeat(100_000),
        SESSION.1
    );
    let answers = [INITIALIZED, ("session/new", garbage.as_str()), ANSWER];
    let played = drive(AcpSettings::default(), LIMITS, async |stream, _, _| {
        minimal(stream, &answers, "").await;
    })
    .await;
    assert_eq!(
        played.result.end,
        SessionEnd::Completed,
        "{:?}",
        played.result
    );
    let raw: Vec<&AgentEvent> = played
        .events
        .iter()
        .filter(|event| matches!(event, AgentEvent::Raw { .. }))
        .collect();
    assert_eq!(raw.len(), 7, "{raw:?}");
    let sent = played
        .transcript
        .lines()
        .filter(|row| row.contains("\"stream\":\"in\""));
    assert!(
        sent.clone().all(|row| !row.contains("error")),
        "garbage was answered"
    );
}

#[tokio::test]
async fn an_answer_that_is_quicker_than_we_are_does_not_beat_the_step_limit() {
    for (steps_max, expected) in [(3, None), (2, Some(FailureKind::StepLimit))] {
        let limits = SessionLimits {
            steps_max,
            ..LIMITS
        };
        let watch = Arc::new(Watch::new(limits));
        let (sender, _receiver) = mpsc::channel(10);
        let transport = AcpTransport::new(Transcript::none(), Arc::clone(&watch), sender);
        for id in ["a", "b", "c"] {
            let (id, title, kind) = (id.to_owned(), String::new(), String::new());
            transport
                .emit(AgentEvent::ToolStart { id, title, kind })
                .await;
        }
        let usage = serde_json::json!({"inputTokens": 7});
        let answer = serde_json::json!({"stopReason": "end_turn", "usage": usage});
        let result = result_of(
            Ending::Answered(answer),
            Some(ProgramEnd::Exited(0)),
            &transport,
            &watch,
            "",
        );
        assert_eq!(result.failure_kind(), expected, "{result:?}");
        assert_eq!(result.usage.input_tokens, 7);
    }
}

#[tokio::test]
async fn a_stream_that_ends_early_has_no_terminal_event() {
    for answers in [&[][..], &[INITIALIZED], &[INITIALIZED, SESSION]] {
        let played = drive(AcpSettings::default(), LIMITS, async |stream, _, _| {
            minimal(stream, answers, "{\"jsonrpc\":").await;
        })
        .await;
        assert_eq!(
            played.result.end,
            SessionEnd::NoTerminalEvent,
            "{:?}",
            played.result
        );
    }
}

#[tokio::test]
async fn a_refused_mode_is_the_agents_trouble_and_names_the_modes() {
    let session = r#"{"jsonrpc":"2.0","id":ID,"result":{"sessionId":"s","modes":{"availableModes":[{"id":"plan"},{"id":"yolo"}]}}}"#;
    let refusal = r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32602,"message":"no such mode"}}"#;
    let answers = [
        INITIALIZED,
        ("session/new", session),
        ("session/set_mode", refusal),
    ];
    let settings = AcpSettings {
        mode: Some("turbo".to_owned()),
        ..AcpSettings::default()
    };
    let played = drive(settings, LIMITS, async |stream, _, _| {
        minimal(stream, &answers, "").await;
    })
    .await;
    let reason = &played.result.reason;
    assert_eq!(
        played.result.failure,
        Some(FailureKind::Trouble(TroubleKind::Agent))
    );
    assert!(
        ["turbo", "no such mode", "plan, yolo"]
            .iter()
            .all(|word| reason.contains(word)),
        "{reason}"
    );
}

#[tokio::test]
async fn a_flood_of_requests_is_bounded_and_answered() {
    // More requests at once than may wait; the fake agent reads only afterwards.
    let ask = |id: usize| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"fs/read_text_file\",\"params\":{{\"sessionId\":\"s\",\"path\":\"/etc/passwd\"}}}}\n"
        )
    };
    let played = drive(AcpSettings::default(), LIMITS, async |stream, _, _| {
        let mut agent = FakeAgent::new(stream, CancellationToken::new(), Path::new("/"));
        for (method, answer) in [INITIALIZED, SESSION] {
            let asked = agent.hear(|heard| heard["method"] == method).await;
            let line = answer.replace("ID", &asked["id"].to_string());
            agent
                .writer
                .write_all(format!("{line}\n").as_bytes())
                .await
                .expect("written");
        }
        let asked = agent
            .hear(|heard| heard["method"] == "session/prompt")
            .await;
        let flood: String = (0..300).map(ask).collect();
        let FakeAgent {
            mut lines,
            mut writer,
            ..
        } = agent;
        let write = async {
            writer.write_all(flood.as_bytes()).await.expect("written");
            writer
        };
        let read = async {
            for _ in 0..300 {
                let line = lines
                    .next_line()
                    .await
                    .expect("readable")
                    .expect("an answer");
                assert!(line.contains("not in the worktree"), "{line}");
            }
        };
        let (mut writer, ()) = tokio::join!(write, read);
        let line = ANSWER.1.replace("ID", &asked["id"].to_string());
        writer
            .write_all(format!("{line}\n").as_bytes())
            .await
            .expect("written");
    })
    .await;
    assert_eq!(
        played.result.end,
        SessionEnd::Completed,
        "{:?}",
        played.result
    );
}

#[tokio::test]
async fn an_agent_that_does_not_hear_is_given_up_after_its_grace() {
    let limits = SessionLimits {
        idle_ms: 100,
        grace_ms: 50,
        ..LIMITS
    };
    let played = drive(AcpSettings::default(), limits, async |stream, _, _| {
        minimal_until_cancelled(stream).await;
    })
    .await;
    use crate::model::evidence::FailureKind;
    assert_eq!(
        played.result.failure,
        Some(FailureKind::IdleLimit),
        "{:?}",
        played.result
    );
    assert_eq!(
        played.result,
        Watch::new(limits).result_of(Stop::Limit(FailureKind::IdleLimit))
    );
}

/// Answers up to the prompt, sends nothing more, and waits to be stopped.
async fn minimal_until_cancelled(stream: DuplexStream) {
    let mut agent = FakeAgent::new(stream, CancellationToken::new(), Path::new("/"));
    for (method, answer) in [INITIALIZED, SESSION] {
        let asked = agent.hear(|heard| heard["method"] == method).await;
        let line = answer.replace("ID", &asked["id"].to_string());
        agent
            .writer
            .write_all(format!("{line}\n").as_bytes())
            .await
            .expect("written");
    }
    agent
        .hear(|heard| heard["method"] == "session/cancel")
        .await;
    // Reads until the driver hangs up.
    while let Ok(Some(_)) = agent.lines.next_line().await {}
}

#[tokio::test]
async fn a_write_that_has_begun_is_over_before_the_session_is() {
    use std::pin::pin;
    let (sender, _receiver) = mpsc::channel(1);
    let transport = AcpTransport::new(Transcript::none(), Arc::new(Watch::new(LIMITS)), sender);
    let (begun, beginning) = tokio::sync::oneshot::channel();
    let (go_on, waiting) = std::sync::mpsc::channel::<()>();
    {
        let mut write = pin!(transport.on_disk(move || {
            begun.send(()).expect("somebody waits");
            waiting.recv()
        }));
        // The conversation ends in the middle of it.
        tokio::select! {
            _ = &mut write => panic!("it cannot be over"),
            told = beginning => told.expect("begun"),
        }
    }
    let mut settled = pin!(transport.files_settled());
    let early = futures::poll!(&mut settled);
    assert!(early.is_pending(), "the session ended during a write");
    go_on.send(()).expect("it runs on");
    settled.await;
    let late = transport.on_disk(|| ()).await;
    assert!(late.is_err(), "a write began after the session's end");
}
