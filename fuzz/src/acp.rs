//! An agent's standard output, played to the ACP driver. The first byte is the policy on
//! permissions and whether a mode is set, the square of the second the size of the pieces. The rest are parts
//! that begin with a line `@`: the first is said at once, each other one when the driver has asked
//! something, or when it has nothing more to say. In a part, `ID` in quotes stands for the id of
//! the driver's latest request, and `WT` for the worktree.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crewlog::agent::driver::{AgentEvent, JobPaths, Session, SessionResult};
use crewlog::agent::process::Isolation;
use crewlog::agent::{AcpDriver, AcpSettings, Permission, SessionLimits, Transcript};
use crewlog::model::evidence::SessionEnd;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::take::Take;

/// Turns that the driver gets to answer before the agent goes on without it. All of it runs in
/// one thread, so that a driver that wants to say something has said it by then.
const TURNS: usize = 32;
/// Parts of one input.
const PARTS_MAX: usize = 32;
/// Events of one session: more is a flood that no line of the input asked for.
const EVENTS_MAX: usize = 64 * 1024;

/// What all inputs share, so that one costs little.
struct Place {
    runtime: tokio::runtime::Runtime,
    directory: tempfile::TempDir,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Checks one input.
pub fn check(data: &[u8]) {
    play(data);
}

/// The same; what the session came to.
pub fn play(data: &[u8]) -> SessionResult {
    PLACE.with_borrow_mut(|place| {
        let place = place.get_or_insert_with(|| Place {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            directory: tempfile::tempdir().expect("a directory"),
        });
        let directory = place.directory.path();
        let worktree = directory.join("wt");
        if !worktree.is_dir() {
            fs::create_dir(&worktree).expect("a worktree");
        }
        let result = place.runtime.block_on(session(data, &worktree));
        let beside = fs::read_dir(directory).expect("readable").count();
        assert_eq!(beside, 1, "something was written beside the worktree");
        if fs::read_dir(&worktree).expect("readable").next().is_some() {
            fs::remove_dir_all(&worktree).expect("removed");
        }
        result
    })
}

async fn session(data: &[u8], worktree: &Path) -> SessionResult {
    let mut take = Take(data);
    let (policy, size) = (take.byte(), usize::from(take.byte()).pow(2) + 1);
    let settings = AcpSettings {
        mode: (policy & 1 == 1).then(|| "yolo".to_owned()),
        auth_method: (policy & 2 == 2).then(|| "key".to_owned()),
        permission: match policy & 4 {
            0 => Permission::Allow,
            _ => Permission::Deny,
        },
        model: String::new(),
        handshake_only: false,
    };
    let driver = AcpDriver::new("none", Vec::new(), settings).expect("no placeholders");
    let (ours, theirs) = tokio::io::duplex(4096);
    let (reader, writer) = tokio::io::split(ours);
    let (sender, mut receiver) = mpsc::channel(EVENTS_MAX);
    let session = session_in(worktree);
    let conversation = driver.converse(reader, writer, &session, sender);
    let agent = agent(theirs, take.0, size, worktree);
    let (result, ()) = tokio::join!(conversation, agent);
    ended(&result);
    let mut events = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        events.push(event);
    }
    told(&events);
    result
}

fn session_in(worktree: &Path) -> Session {
    Session {
        prompt: "Implement feature 1".to_owned(),
        worktree: worktree.to_owned(),
        env: BTreeMap::new(),
        paths: JobPaths::default(),
        feature: 1,
        attempt: 1,
        token: String::new(),
        own_executable: PathBuf::new(),
        isolation: Isolation::Auto,
        cage: None,
        resume: None,
        limits: SessionLimits {
            idle_ms: 20_000,
            time_ms: 20_000,
            steps_max: u32::MAX,
            grace_ms: 10,
        },
        transcript: Transcript::none(),
        cancel: CancellationToken::new(),
    }
}

/// Says all parts, and hangs up.
async fn agent(stream: DuplexStream, script: &[u8], size: usize, worktree: &Path) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut heard = BufReader::new(reader).lines();
    let mut id = Value::Null;
    for (at, part) in parts(script).into_iter().take(PARTS_MAX).enumerate() {
        if at > 0
            && let Some(asked) = listen(&mut heard).await
        {
            id = asked;
        }
        let part = filled(part, &id, worktree);
        for piece in part.chunks(size) {
            // The driver hangs up when it has heard enough; and it must be heard meanwhile, or
            // both would wait for the other to read.
            tokio::select! {
                written = writer.write_all(piece) => if written.is_err() { return },
                () = deaf(&mut heard) => return,
            }
        }
    }
    let _ = writer.shutdown().await;
    // Until the driver hangs up.
    while let Ok(Some(_)) = heard.next_line().await {}
}

/// Reads and forgets what the driver says; ends when it hangs up.
async fn deaf(heard: &mut Lines<BufReader<ReadHalf<DuplexStream>>>) {
    while let Ok(Some(_)) = heard.next_line().await {}
}

/// The id of the next request that the driver makes, if it makes one now.
async fn listen(heard: &mut Lines<BufReader<ReadHalf<DuplexStream>>>) -> Option<Value> {
    let asked = async {
        while let Ok(Some(line)) = heard.next_line().await {
            let message: Value = serde_json::from_str(&line).expect("the driver speaks JSON");
            if message.get("method").is_some() && message.get("id").is_some() {
                return message.get("id").cloned();
            }
        }
        None
    };
    let patience = async {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        id = asked => id,
        () = patience => None,
    }
}

fn parts(script: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (at, pair) in script.windows(2).enumerate() {
        if pair == b"@\n" && (at == 0 || script[at - 1] == b'\n') {
            parts.push(&script[start..at]);
            start = at + 2;
        }
    }
    parts.push(&script[start..]);
    parts
}

fn filled(part: &[u8], id: &Value, worktree: &Path) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(part) else {
        return part.to_vec();
    };
    let worktree = worktree.display().to_string();
    let text = text.replace("\"ID\"", &id.to_string());
    text.replace("WT", &worktree).into_bytes()
}

pub(super) fn ended(result: &SessionResult) {
    assert!(!result.reason.is_empty(), "{result:?}");
    assert!(
        result.reason.len() < 4_096,
        "a reason of {} bytes",
        result.reason.len()
    );
    assert!(result.usage.cost_microusd < 1_000_000_000_000);
    // Nobody cancels and the limits are far away: the driver must come to an end by itself.
    let cancelled = result.end == SessionEnd::Cancelled;
    assert!(
        !cancelled || result.failure.is_none(),
        "the driver hung: {result:?}"
    );
}

/// Calls are begun and ended once, and lines for people are short.
pub(super) fn told(events: &[AgentEvent]) {
    let mut open: BTreeMap<&str, bool> = BTreeMap::new();
    for event in events {
        let line_max = AgentEvent::LINE_BYTES_MAX + '…'.len_utf8();
        let (line, most) = match event {
            AgentEvent::ToolStart { id, title, .. } => {
                assert_eq!(open.insert(id, true), None, "{id:?} began twice");
                (title, line_max)
            }
            AgentEvent::ToolEnd { id, output, .. } => {
                assert_eq!(open.insert(id, false), Some(true), "{id:?} ended otherwise");
                (output, AgentEvent::OUTPUT_BYTES_MAX + 3)
            }
            AgentEvent::Plan { text } => (text, AgentEvent::OUTPUT_BYTES_MAX + 3),
            AgentEvent::Complaint { line } => (line, line_max),
            AgentEvent::Text { text, .. } => (text, AgentEvent::TEXT_BYTES_MAX + 4),
            AgentEvent::Started { session_id, .. } => (session_id, line_max),
            AgentEvent::Denied { what } => (what, line_max),
            AgentEvent::Retry { reason } => (reason, line_max),
            AgentEvent::Raw { text } => (text, line_max),
            AgentEvent::Usage(_) | AgentEvent::Limit { .. } => continue,
        };
        assert!(line.len() <= most, "{} bytes: {event:?}", line.len());
    }
}
