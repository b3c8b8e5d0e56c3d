//! Any program as an agent: the prompt on its standard input and in a file, the job as JSON, and
//! placeholders in its arguments. Its exit is its terminal event: 0 claims that it is done.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc;

use super::driver::{AgentEvent, Driver, Role, Session, SessionResult, one_line};
use super::lines::{Line, LineSplitter};
use super::placeholders::{self, PlaceholderError, Values};
use super::process::{ProgramEnd, Tree};
use super::stderr::{self, Complaints};
use super::transcript::{Direction, Transcript};
use super::watch::Watch;
use crate::model::clip::clip_marked;
use crate::model::evidence::SessionEnd;

/// Programs write prose in lines; a longer line is data that nobody reads.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// All writers are dead, so their output is in the pipes; reading it takes no longer than this.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// A driver for any program.
#[derive(Clone, Debug)]
pub struct CommandDriver {
    program: String,
    args: Vec<String>,
    model: String,
}

impl CommandDriver {
    /// A driver for `program`; its arguments may contain placeholders, and `model` is the value of
    /// `{model}`.
    ///
    /// # Errors
    /// An unknown placeholder or a single brace.
    pub fn new(
        program: impl Into<String>,
        args: Vec<String>,
        model: impl Into<String>,
    ) -> Result<Self, PlaceholderError> {
        placeholders::check(&args)?;
        Ok(Self {
            program: program.into(),
            args,
            model: model.into(),
        })
    }

    async fn session(&self, session: Session, events: mpsc::Sender<AgentEvent>) -> SessionResult {
        let values = Values::of(&session, &self.model);
        let args = self.args.iter().map(|arg| values.fill(arg)).collect();
        let args: Vec<_> = match args {
            Ok(args) => args,
            Err(error) => return SessionResult::setup(error.to_string()),
        };
        let watch = Watch::new(session.limits);
        let command = session.tree_command(self.program.clone().into(), args);
        let mut tree = match Tree::spawn(command).await {
            Ok(tree) => tree,
            Err(error) => return SessionResult::unstarted(&error),
        };
        let (mut complaints, mut said) = (Complaints::default(), Said::default());
        let (stdin, stdout, errors) = (tree.stdin.take(), tree.stdout.take(), tree.stderr.take());
        let stop = {
            let started = AgentEvent::Started {
                session_id: String::new(),
                model: (!self.model.is_empty()).then(|| self.model.clone()),
            };
            let streams = async {
                // A dropped receiver reads no more; the session continues.
                let _ = events.send(started).await;
                tokio::join!(
                    feed(stdin, &session),
                    listen(stdout, &session.transcript, &watch, &events, &mut said),
                    stderr::drain(errors, &session.transcript, &mut complaints),
                );
            };
            let mut streams = std::pin::pin!(streams.fuse());
            let end = async {
                streams.as_mut().await;
                tree.wait().await;
            };
            let stop = tokio::select! {
                biased;
                () = end => None,
                stop = watch.stopped(&session.cancel) => Some(stop),
            };
            if stop.is_some() {
                tree.kill().await;
                let _ = tokio::time::timeout(DRAIN_LIMIT, streams).await;
            }
            stop
        };
        let ended = tree.wait().await;
        let mut result = match stop {
            Some(stop) => watch.result_of(stop),
            None => result_of(ended.end, complaints.last(), &said),
        };
        if let (None, Some(exceeded)) = (stop, ended.exceeded) {
            result.reason = format!("the agent was ended because {exceeded}");
        }
        result.complaints = complaints.into_text();
        result.left = ended.left;
        result
    }
}

impl Driver for CommandDriver {
    fn run(
        &self,
        session: Session,
        events: mpsc::Sender<AgentEvent>,
    ) -> BoxFuture<'_, SessionResult> {
        self.session(session, events).boxed()
    }
}

/// What an agent without a login prints, in lower case: claude, codex, gemini, opencode, and
/// others.
const LOGIN_WORDS: [&str; 12] = [
    "not logged in",
    "please log in",
    "please run /login",
    "login required",
    "authentication required",
    "invalid api key",
    "no api key",
    "missing api key",
    "api key not found",
    "set an auth method",
    "unauthenticated",
    "401 unauthorized",
];

/// Lines after which a program has done more than refuse. Its last line may be about the work,
/// which may be about logins.
const REFUSAL_LINES_MAX: usize = 5;

/// The end of a program's output.
#[derive(Default)]
struct Said {
    lines: usize,
    last: String,
}

impl Said {
    fn note(&mut self, line: &str) {
        self.lines += 1;
        let line = one_line(line);
        if !line.is_empty() {
            self.last = line;
        }
    }

    /// True for a program that has printed little more than that somebody must log in.
    fn is_login_missing(&self, stderr_tail: &str) -> bool {
        let says = |line: &str| {
            let line = line.to_lowercase();
            LOGIN_WORDS.iter().any(|words| line.contains(words))
        };
        self.lines <= REFUSAL_LINES_MAX && (says(&self.last) || says(stderr_tail))
    }
}

/// What the program's end means.
fn result_of(program: ProgramEnd, stderr_tail: &str, said: &Said) -> SessionResult {
    let colon = if stderr_tail.is_empty() { "" } else { ": " };
    let (end, reason) = match program {
        ProgramEnd::Exited(0) => (
            SessionEnd::Completed,
            "the program exited with 0".to_owned(),
        ),
        ProgramEnd::Exited(code) if said.is_login_missing(stderr_tail) => {
            let words = if stderr_tail.is_empty() {
                &said.last
            } else {
                stderr_tail
            };
            (
                SessionEnd::AuthFailed,
                format!("the program exited with {code}: {words}"),
            )
        }
        ProgramEnd::Signalled(signal) => (
            SessionEnd::Crashed,
            format!("the program was killed by signal {signal}{colon}{stderr_tail}"),
        ),
        ProgramEnd::Exited(code) => (
            SessionEnd::Crashed,
            format!("the program exited with {code}{colon}{stderr_tail}"),
        ),
    };
    SessionResult {
        exit_code: Some(program.code()),
        ..SessionResult::new(end, reason)
    }
}

/// Writes the prompt. A program that does not read it delays only this task, and one that closes
/// its input has read enough.
async fn feed(stdin: Option<Sender>, session: &Session) {
    let Some(mut stdin) = stdin else {
        return;
    };
    let prompt = session.prompt.as_bytes();
    session.transcript.record(Direction::In, prompt, 0);
    let _ = stdin.write_all(prompt).await;
}

/// Reads the program's output until its end; every line is a text.
async fn listen(
    stdout: Option<Receiver>,
    transcript: &Transcript,
    watch: &Watch,
    events: &mpsc::Sender<AgentEvent>,
    said: &mut Said,
) {
    let Some(mut stdout) = stdout else {
        return;
    };
    let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = stdout.read(&mut bytes).await.unwrap_or(0);
        let lines: Vec<Line> = if read == 0 {
            splitter.finish().into_iter().collect()
        } else {
            watch.on_activity();
            splitter.push(bytes.get(..read).unwrap_or(&[]))
        };
        for line in lines {
            transcript.record(Direction::Out, &line.bytes, line.cut);
            let text = String::from_utf8_lossy(&line.bytes);
            said.note(&text);
            let event = AgentEvent::Text {
                role: Role::Agent,
                text: clip_marked(&text, AgentEvent::TEXT_BYTES_MAX),
            };
            let _ = events.send(event).await;
        }
        if read == 0 {
            return;
        }
    }
}
