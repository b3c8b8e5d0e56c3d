//! Any program as an agent: the prompt on its standard input and in a file, the job as JSON, and
//! placeholders in its arguments. Its exit is its terminal event: 0 claims that it is done.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::driver::{AgentEvent, Driver, Role, Session, SessionResult, one_line};
use super::errors::by_prose;
use super::lines::Line;
use super::placeholders::{CommandLine, PlaceholderError};
use super::process::ProgramEnd;
use super::program::{self, Reader};
use crate::model::clip::clip_marked;
use crate::model::evidence::SessionEnd;

/// A driver for any program.
#[derive(Clone, Debug)]
pub struct CommandDriver {
    command: CommandLine,
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
        let (command, model) = (CommandLine::new(program, args)?, model.into());
        Ok(Self { command, model })
    }

    async fn session(&self, session: Session, events: mpsc::Sender<AgentEvent>) -> SessionResult {
        let args = match self.command.args(&session, &self.model) {
            Ok(args) => args,
            Err(error) => return SessionResult::setup(error.to_string()),
        };
        let command = session.tree_command(self.command.program(), args);
        let said = Said {
            model: self.model.clone(),
            ..Said::default()
        };
        program::run(&session, command, said, events).await
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

/// A program's output: every line is a text.
#[derive(Default)]
struct Said {
    model: String,
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

    /// What keeps a program from working that has printed little more than this: somebody must log
    /// in, wait, or pay. Also the line that says so.
    fn refusal<'s>(&'s self, complaint: &'s str) -> Option<(SessionEnd, &'s str)> {
        let of = |line: &str| {
            let low = line.to_lowercase();
            match by_prose(line) {
                _ if LOGIN_WORDS.iter().any(|words| low.contains(words)) => {
                    Some(SessionEnd::AuthFailed)
                }
                limit @ Some(SessionEnd::Limited | SessionEnd::QuotaExhausted) => limit,
                _ => None,
            }
        };
        let mut lines = [complaint, &self.last]
            .into_iter()
            .filter(|_| self.lines <= REFUSAL_LINES_MAX);
        lines.find_map(|line| Some((of(line)?, line)))
    }
}

impl Reader for Said {
    /// Programs write prose in lines; a longer line is data that nobody reads.
    const LINE_BYTES_MAX: usize = 1024 * 1024;

    fn begin(&mut self) -> Option<AgentEvent> {
        Some(AgentEvent::Started {
            session_id: String::new(),
            model: (!self.model.is_empty()).then(|| self.model.clone()),
            agent: String::new(),
        })
    }

    fn line(&mut self, line: &Line) -> Vec<AgentEvent> {
        let text = String::from_utf8_lossy(&line.bytes);
        self.note(&text);
        vec![AgentEvent::Text {
            role: Role::Agent,
            text: clip_marked(&text, AgentEvent::TEXT_BYTES_MAX) + "\n",
        }]
    }

    fn end(&self, program: ProgramEnd, complaint: &str) -> SessionResult {
        result_of(program, complaint, self)
    }
}

/// What the output of a program says; see [`program::replay`].
#[cfg(test)]
pub(super) fn replay(output: &[u8], end: Option<ProgramEnd>) -> (Vec<AgentEvent>, SessionResult) {
    program::replay(Said::default(), output, end)
}

/// What the program's end means.
fn result_of(program: ProgramEnd, stderr_tail: &str, said: &Said) -> SessionResult {
    let colon = if stderr_tail.is_empty() { "" } else { ": " };
    let (end, reason) = match program {
        ProgramEnd::Exited(0) => (
            SessionEnd::Completed,
            "the program exited with 0".to_owned(),
        ),
        ProgramEnd::Signalled(signal) => (
            SessionEnd::Crashed,
            format!("the program was killed by signal {signal}{colon}{stderr_tail}"),
        ),
        ProgramEnd::Exited(code) => match said.refusal(stderr_tail) {
            Some((end, line)) => (end, format!("the program exited with {code}: {line}")),
            None => (
                SessionEnd::Crashed,
                format!("the program exited with {code}{colon}{stderr_tail}"),
            ),
        },
    };
    SessionResult::new(end, reason)
}
