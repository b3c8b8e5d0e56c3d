//! Any agent that speaks the Agent Client Protocol over its standard input and output.

mod errors;
mod files;
mod session;
#[cfg(test)]
pub(super) mod tests;
mod transport;
mod updates;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, FusedFuture};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use self::session::{Ending, SessionConfig, run_session};
use self::transport::AcpTransport;
use super::driver::{AgentEvent, Driver, Session, SessionResult, one_line};
use super::placeholders::{CommandLine, PlaceholderError};
use super::process::{ProgramEnd, Tree};
use super::program::without_terminal_event;
use super::reset::{Now, until_ms};
use super::stderr::{self, Complaints};
use super::watch::{Stop, Watch};
use crate::model::evidence::{FailureKind, SessionEnd};

/// Time for an agent to exit after its input has ended. Its work is done by then, so only its exit
/// code matters.
const EXIT_LIMIT: Duration = Duration::from_secs(1);

/// The answer to an agent's request for permission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Permission {
    /// Allow it once. The worktree is the agent's own, and the checks decide.
    #[default]
    Allow,
    /// Deny every request.
    Deny,
}

/// Settings of a session before the prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcpSettings {
    /// The session mode to set; claude-agent-acp and codex-acp start in one that denies tools.
    pub mode: Option<String>,
    /// The authentication method to ask for; most agents find their credentials themselves.
    pub auth_method: Option<String>,
    /// The answer to requests for permission.
    pub permission: Permission,
    /// The value of `{model}` in the arguments, and the model to set if the agent lets us choose;
    /// empty keeps the agent's own.
    pub model: String,
    /// End after session and mode are set, before any prompt: this costs no token, and shows
    /// whether the agent can be used.
    pub handshake_only: bool,
}

/// A driver for ACP agents.
#[derive(Clone, Debug)]
pub struct AcpDriver {
    command: CommandLine,
    settings: AcpSettings,
}

impl AcpDriver {
    /// A driver for the agent `program`; its arguments may contain placeholders.
    ///
    /// # Errors
    /// An unknown placeholder or a single brace.
    pub fn new(
        program: impl Into<String>,
        args: Vec<String>,
        settings: AcpSettings,
    ) -> Result<Self, PlaceholderError> {
        let command = CommandLine::new(program, args)?;
        Ok(Self { command, settings })
    }

    async fn session(&self, session: Session, events: mpsc::Sender<AgentEvent>) -> SessionResult {
        let watch = Arc::new(Watch::new(session.limits));
        let mut tree = match self.start(&session).await {
            Ok(tree) => tree,
            Err(result) => return *result,
        };
        let (Some(stdin), Some(stdout)) = (tree.stdin.take(), tree.stdout.take()) else {
            return SessionResult::unusable("the agent was started without pipes");
        };
        let errors = tree.stderr.take();
        let told = events.clone();
        let transport = AcpTransport::new(session.transcript.clone(), Arc::clone(&watch), events);
        let config = self.config(&session, &watch);
        let mut complaints = Complaints::default();
        let (ending, program) = {
            let drain = stderr::drain(errors, &session.transcript, &told, &mut complaints);
            let mut drain = std::pin::pin!(drain.fuse());
            let stop = watch.stopped(&session.cancel);
            let conversation = async {
                let ending = run_session(stdout, stdin, config, Arc::clone(&transport), stop).await;
                // Its input has ended; an agent that was not stopped may now exit by itself.
                let ended = match ending {
                    Ending::Stopped(..) => None,
                    _ => tokio::time::timeout(EXIT_LIMIT, tree.wait()).await.ok(),
                };
                tree.kill().await;
                (ending, ended.map(|ended| ended.end))
            };
            let mut conversation = std::pin::pin!(conversation);
            tokio::select! {
                biased;
                result = &mut conversation => {
                    // All writers are dead, so what they wrote is in the pipe.
                    if !drain.is_terminated() {
                        let _ = tokio::time::timeout(EXIT_LIMIT, drain).await;
                    }
                    result
                }
                () = &mut drain => conversation.await,
            }
        };
        let mut result = result_of(ending, program, &transport, &watch, complaints.last());
        result.complaints = complaints.into_text();
        let ended = tree.kill().await;
        if let (Some(exceeded), true) = (ended.exceeded, result.end != SessionEnd::Completed) {
            result.reason = format!("the agent was ended because {exceeded}");
        }
        result.left = ended.left;
        transport.close(&result);
        result
    }

    /// Talks to an agent at the other end of two streams that is not our child: a whole session
    /// except starting and ending a program.
    pub async fn converse(
        &self,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        session: &Session,
        events: mpsc::Sender<AgentEvent>,
    ) -> SessionResult {
        let watch = Arc::new(Watch::new(session.limits));
        let transport = AcpTransport::new(session.transcript.clone(), Arc::clone(&watch), events);
        let config = self.config(session, &watch);
        let stop = watch.stopped(&session.cancel);
        let ending = run_session(reader, writer, config, Arc::clone(&transport), stop).await;
        let result = result_of(ending, None, &transport, &watch, "");
        transport.close(&result);
        result
    }

    fn config(&self, session: &Session, watch: &Watch) -> SessionConfig {
        SessionConfig {
            prompt: session.prompt.clone(),
            worktree: session.worktree.clone(),
            settings: self.settings.clone(),
            resume: session.resume.clone(),
            grace: watch.grace(),
        }
    }

    async fn start(&self, session: &Session) -> Result<Tree, Box<SessionResult>> {
        let args = self.command.args(session, &self.settings.model);
        let args = args.map_err(|error| Box::new(SessionResult::setup(error.to_string())))?;
        let command = session.tree_command(self.command.program(), args);
        Tree::spawn(command)
            .await
            .map_err(|error| Box::new(SessionResult::unstarted(&error)))
    }
}

impl Driver for AcpDriver {
    fn run(
        &self,
        session: Session,
        events: mpsc::Sender<AgentEvent>,
    ) -> BoxFuture<'_, SessionResult> {
        self.session(session, events).boxed()
    }
}

/// Interprets the end of a conversation.
fn result_of(
    ending: Ending,
    program: Option<ProgramEnd>,
    transport: &AcpTransport,
    watch: &Watch,
    stderr_tail: &str,
) -> SessionResult {
    let updates = transport.updates();
    let mut usage = updates.usage(None);
    let mut result = match ending {
        Ending::Answered(answer) => {
            usage = updates.usage(Some(&answer));
            let (end, reason) = updates.end_of(&answer);
            match watch.is_overstepped() {
                // What follows a limit must not depend on which side is faster.
                true => watch.result_of(Stop::Limit(FailureKind::StepLimit)),
                false => SessionResult::new(end, reason),
            }
        }
        Ending::Failed(error) => {
            let code = i64::from(i32::from(error.code));
            let end = errors::classify(code, &error.message, error.data.as_ref());
            let inner = error.data.as_ref().and_then(|data| data.get("message"));
            let inner = inner.and_then(serde_json::Value::as_str).unwrap_or("");
            let words = format!("{} {inner}", error.message);
            let reason = format!("the agent failed: {} ({code})", one_line(&words));
            SessionResult {
                limit_until_ms: errors::limit_until_ms(error.data.as_ref())
                    .or_else(|| until_ms(&words, Now::here())),
                ..SessionResult::new(end, reason)
            }
        }
        Ending::Agreed => SessionResult::new(SessionEnd::Completed, "the session was agreed on"),
        Ending::Unusable(why) => SessionResult::unusable(why),
        Ending::UnknownSession(why) => SessionResult {
            unknown_session: true,
            ..SessionResult::new(SessionEnd::Crashed, why)
        },
        // An agent without an end of its own was ended by us, when its output had ended.
        Ending::Closed => {
            without_terminal_event(program.unwrap_or(ProgramEnd::Exited(0)), stderr_tail)
        }
        Ending::Stopped(why, answer) => {
            if let Some(answer) = answer {
                usage = updates.usage(Some(&answer));
            }
            watch.result_of(why)
        }
    };
    result.usage = usage;
    result.exit_code = program.map(ProgramEnd::code);
    result
}
