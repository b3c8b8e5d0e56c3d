//! The scripted agent: a real ACP agent over standard input and output that plays scripts instead
//! of asking a model. The demo and the tests use it instead of a provider, and the worker drives it
//! like any other agent.

mod job;
mod play;
mod script;
mod tools;

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{
    AgentCapabilities, CancelNotification, Implementation, InitializeRequest, InitializeResponse,
    NewSessionRequest, NewSessionResponse, SessionId,
};
use agent_client_protocol::{
    Agent, ByteStreams, Client, Error, JsonRpcRequest, JsonRpcResponse, on_receive_notification,
    on_receive_request,
};
use serde::{Deserialize, Serialize};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};
use tokio_util::sync::CancellationToken;

use play::Player;

/// The argument that selects this agent.
pub const ARGUMENT: &str = "scripted-agent";

/// Set by a script that hangs: then, not even the end of its input ends the process.
static HUNG: AtomicBool = AtomicBool::new(false);

/// A script cannot be played.
#[derive(Debug, thiserror::Error)]
enum ScriptError {
    /// An environment variable is missing.
    #[error("{name} is not set; the scripted agent is started by a worker, for a job")]
    Environment {
        /// Name of the variable.
        name: &'static str,
    },
    /// The job is invalid.
    #[error("cannot read the job {path}: {why}")]
    Job {
        /// Path of the file or directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The script is invalid.
    #[error("cannot read the script {path}: {why}")]
    Script {
        /// Path of the file or directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The script has nothing for this job.
    #[error("the script of feature {feature} has no [[{section}]] for this job")]
    NoPart {
        /// Number of the feature.
        feature: u32,
        /// The missing section.
        section: &'static str,
    },
    /// A step failed on a file.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// The operation, as a verb.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A patch does not apply, or a program is missing.
    #[error("{what} failed: {why}")]
    Command {
        /// The command that was run.
        what: String,
        /// The reason, as text for people.
        why: String,
    },
    /// The client refused a request.
    #[error("the client refused {what}: {why}")]
    Client {
        /// The request that was refused.
        what: &'static str,
        /// The reason, as text for people.
        why: String,
    },
}

/// What is known after `initialize` and `session/new`.
#[derive(Clone, Debug, Default)]
struct Known {
    client_writes: bool,
    worktree: PathBuf,
    cancel: CancellationToken,
}

/// Runs the agent; returns its exit code. Arguments: `--script DIR`.
pub(super) fn run(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let usage = (arguments.next(), arguments.next(), arguments.next());
    let (Some(flag), Some(directory), None) = usage else {
        return complain("usage: scripted-agent --script DIR", 2);
    };
    if flag != "--script" {
        return complain("usage: scripted-agent --script DIR", 2);
    }
    let directory = match Path::new(&directory).canonicalize() {
        Ok(directory) => directory,
        Err(error) => {
            let path = directory.display();
            return complain(&format!("cannot open the scripts {path}: {error}"), 2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}"), 1),
    };
    let result = runtime.block_on(serve(directory));
    while HUNG.load(Ordering::Relaxed) {
        std::thread::park();
    }
    // A thread of the runtime may still read standard input; nobody waits for it.
    runtime.shutdown_background();
    match result {
        Ok(()) => 0,
        Err(error) => complain(&error.to_string(), 1),
    }
}

/// An agent's complaints belong on standard error; nothing else reads it here.
fn complain(what: &str, code: i32) -> i32 {
    let _ = writeln!(std::io::stderr(), "scripted-agent: {what}");
    code
}

/// Serves one client until it closes our input.
async fn serve(directory: PathBuf) -> Result<(), Error> {
    let input = standard(std::io::stdin().as_fd().try_clone_to_owned())?;
    let output = standard(std::io::stdout().as_fd().try_clone_to_owned())?;
    let known = Arc::new(Mutex::new(Known::default()));
    let (at_start, at_session) = (Arc::clone(&known), Arc::clone(&known));
    let (at_prompt, at_cancel) = (Arc::clone(&known), Arc::clone(&known));
    Agent
        .v1()
        .name("scripted-agent")
        .on_receive_request(
            async move |request: InitializeRequest, responder, _| {
                lock(&at_start).client_writes = request.client_capabilities.fs.write_text_file;
                let info = Implementation::new("crewlog-scripted", env!("CARGO_PKG_VERSION"));
                let response = InitializeResponse::new(request.protocol_version)
                    .agent_capabilities(AgentCapabilities::new())
                    .agent_info(info);
                responder.respond(response)
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: NewSessionRequest, responder, _| {
                lock(&at_session).worktree = request.cwd;
                responder.respond(NewSessionResponse::new("scripted-1"))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: Prompt, responder, client: ConnectionTo<Client>| {
                let known = {
                    let mut known = lock(&at_prompt);
                    known.cancel = CancellationToken::new();
                    known.clone()
                };
                let player =
                    Player::new(client.clone(), request.session_id, directory.clone(), known);
                // Not here: the script waits for answers, which only this loop can deliver.
                client.spawn(async move {
                    let result = player.play().await.map_err(|error| {
                        complain(&error.to_string(), 0);
                        Error::new(-32_603, error.to_string())
                    });
                    responder.respond_with_result(result)
                })
            },
            on_receive_request!(),
        )
        .on_receive_notification(
            async move |_: CancelNotification, _| {
                lock(&at_cancel).cancel.cancel();
                Ok(())
            },
            on_receive_notification!(),
        )
        .connect_to(ByteStreams::new(output.compat_write(), input.compat()))
        .await
}

fn lock(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A standard stream as an asynchronous file; it may be a pipe, a file or a terminal.
fn standard(stream: std::io::Result<OwnedFd>) -> Result<tokio::fs::File, Error> {
    let stream = stream.map_err(Error::into_internal_error)?;
    Ok(tokio::fs::File::from_std(std::fs::File::from(stream)))
}

/// `session/prompt` as we read it: a script ignores the prompt's text.
#[derive(Clone, Debug, Serialize, Deserialize, JsonRpcRequest)]
#[request(method = "session/prompt", response = PromptAnswer)]
#[serde(rename_all = "camelCase")]
struct Prompt {
    session_id: SessionId,
}

/// The answer to a prompt. It contains the usage, which the stable protocol's type leaves out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonRpcResponse)]
#[serde(rename_all = "camelCase")]
struct PromptAnswer {
    stop_reason: String,
    usage: TokensUsed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokensUsed {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
}

impl PromptAnswer {
    fn new(stop_reason: &str, used: &script::UsageStep) -> Self {
        Self {
            stop_reason: stop_reason.to_owned(),
            usage: TokensUsed {
                input_tokens: used.input_tokens,
                output_tokens: used.output_tokens,
                total_tokens: used.input_tokens.saturating_add(used.output_tokens),
            },
        }
    }
}
