//! The conversation with an ACP agent: initialize, a session, its mode, the prompt, and the agent's
//! requests in between. Works over any pair of streams, so tests need no process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{
    AuthenticateRequest, CancelNotification, ClientCapabilities, ContentBlock,
    FileSystemCapabilities, Implementation, InitializeRequest, LoadSessionRequest,
    NewSessionRequest, PermissionOption, PermissionOptionKind, PromptRequest, ReadTextFileRequest,
    ReadTextFileResponse, RequestPermissionOutcome, RequestPermissionRequest,
    RequestPermissionResponse, SelectedPermissionOutcome, SetSessionModeRequest, TextContent,
    WriteTextFileRequest, WriteTextFileResponse,
};
use agent_client_protocol::{
    Agent, Client, Error, JsonRpcMessage, Lines, UntypedMessage, is_connection_terminated,
    is_incoming_transport_closed, on_receive_request,
};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::files::{self, FileError};
use super::transport::{AcpTransport, incoming, outgoing};
use super::{AcpSettings, Permission};
use crate::agent::driver::{AgentEvent, one_line};
use crate::agent::watch::Stop;

/// ACP's "resource not found".
const NOT_FOUND: i32 = -32_002;

/// What is sent to the agent.
#[derive(Clone, Debug)]
pub(super) struct SessionConfig {
    pub(super) prompt: String,
    pub(super) worktree: PathBuf,
    pub(super) settings: AcpSettings,
    /// An earlier session to be continued.
    pub(super) resume: Option<String>,
    pub(super) grace: std::time::Duration,
}

/// How a conversation ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The prompt was answered: the terminal event.
    Answered(Value),
    /// Everything before the prompt is done, and no more was wanted.
    Agreed,
    /// One of our requests was answered with an error.
    Failed(Error),
    /// The agent cannot be used as it is configured.
    Unusable(String),
    /// The agent cannot continue the earlier session, for this reason.
    UnknownSession(String),
    /// The agent's output ended before the prompt was answered.
    Closed,
    /// We stopped it. Contains the prompt's answer, if it came in time.
    Stopped(Stop, Option<Value>),
}

/// Talks until an end is reached. Closes the agent's input before it returns.
pub(super) async fn run_session(
    reader: impl AsyncRead + Unpin + Send + 'static,
    writer: impl AsyncWrite + Unpin + Send + 'static,
    config: SessionConfig,
    transport: Arc<AcpTransport>,
    stop: impl Future<Output = Stop> + Send,
) -> Ending {
    let ending = Arc::new(Mutex::new(None));
    let told = tokio::sync::Notify::new();
    let connection = connect(reader, writer, &config, &transport, async |agent| {
        let end = converse(&agent, &config, &transport, stop).await;
        *ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        told.notify_one();
    });
    // Does not wait for the connection's own end: it would first deliver what is still to be
    // written, and a stuck agent reads nothing.
    let result = tokio::select! {
        result = connection => result,
        () = told.notified() => Ok(()),
    };
    // The connection is closed, but a write that it began may go on, and would change what is
    // committed.
    transport.files_settled().await;
    let ending = ending.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (ending, result) {
        (Some(ending), _) => ending,
        (None, Err(error)) => end_of_error(error),
        (None, Ok(())) => Ending::Closed,
    }
}

/// Serves the agent's requests while `main` talks to it.
async fn connect(
    reader: impl AsyncRead + Unpin + Send + 'static,
    writer: impl AsyncWrite + Unpin + Send + 'static,
    config: &SessionConfig,
    transport: &Arc<AcpTransport>,
    main: impl AsyncFnOnce(ConnectionTo<Agent>),
) -> Result<(), Error> {
    let lines = Lines::new(
        outgoing(writer, Arc::clone(transport)),
        Box::pin(incoming(reader, Arc::clone(transport))),
    );
    let policy = config.settings.permission;
    let place = || (Arc::clone(transport), config.worktree.clone());
    let (asked, reads, writes) = (Arc::clone(transport), place(), place());
    Client
        .v1()
        .name("crewlog")
        .on_receive_request(
            async move |request: RequestPermissionRequest, responder, _| {
                let (outcome, denied) = choose(policy, &request.options);
                if denied {
                    let call = &request.tool_call;
                    let what = call.fields.title.as_deref().unwrap_or(&call.tool_call_id.0);
                    let what = one_line(what);
                    asked.emit(AgentEvent::Denied { what }).await;
                }
                responder.respond(RequestPermissionResponse::new(outcome))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: ReadTextFileRequest, responder, _| {
                let (transport, worktree) = reads.clone();
                let read =
                    move || files::read(&worktree, &request.path, request.line, request.limit);
                let read = answered(transport.on_disk(read).await);
                responder.respond_with_result(read.map(ReadTextFileResponse::new))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: WriteTextFileRequest, responder, _| {
                let (transport, worktree) = writes.clone();
                let write = move || files::write(&worktree, &request.path, &request.content);
                let written = answered(transport.on_disk(write).await);
                responder.respond_with_result(written.map(|()| WriteTextFileResponse::new()))
            },
            on_receive_request!(),
        )
        .connect_with(lines, async move |agent| {
            main(agent).await;
            Ok(())
        })
        .await
}

/// The protocol's error for a file operation's error.
fn answered<T>(result: Result<Result<T, FileError>, Error>) -> Result<T, Error> {
    result?.map_err(|error| match &error {
        FileError::Missing { .. } => Error::new(NOT_FOUND, error.to_string()),
        FileError::Refused { .. } => Error::invalid_params().data(Value::String(error.to_string())),
        FileError::System { .. } => Error::into_internal_error(error),
    })
}

/// Which option answers a request for permission, and whether that denies it. Once rather than
/// always, so that the agent's own memory of permissions does not change.
fn choose(policy: Permission, options: &[PermissionOption]) -> (RequestPermissionOutcome, bool) {
    use PermissionOptionKind::{AllowAlways, AllowOnce, RejectAlways, RejectOnce};
    let wanted = match policy {
        Permission::Allow => [AllowOnce, AllowAlways],
        Permission::Deny => [RejectOnce, RejectAlways],
    };
    let option = wanted
        .iter()
        .find_map(|kind| options.iter().find(|option| option.kind == *kind));
    match option {
        Some(option) => {
            let selected = SelectedPermissionOutcome::new(option.option_id.clone());
            let outcome = RequestPermissionOutcome::Selected(selected);
            (outcome, policy == Permission::Deny)
        }
        None => (RequestPermissionOutcome::Cancelled, true),
    }
}

/// Our side of the conversation, from the first message to the last.
async fn converse(
    agent: &ConnectionTo<Agent>,
    config: &SessionConfig,
    transport: &AcpTransport,
    stop: impl Future<Output = Stop>,
) -> Ending {
    let mut stop = std::pin::pin!(stop);
    let session = tokio::select! {
        biased;
        session = set_up(agent, config, transport) => session,
        why = &mut stop => return Ending::Stopped(why, None),
    };
    let session = match session {
        Ok(session) => session,
        Err(ending) => return ending,
    };
    if config.settings.handshake_only {
        return Ending::Agreed;
    }
    let prompt = ContentBlock::Text(TextContent::new(config.prompt.clone()));
    let prompt = PromptRequest::new(session.clone(), vec![prompt]);
    let mut answer = std::pin::pin!(ask(agent, &prompt));
    tokio::select! {
        biased;
        answer = &mut answer => match answer {
            Ok(answer) => Ending::Answered(answer),
            Err(error) => end_of_error(error),
        },
        why = &mut stop => {
            // An agent that has ended needs no notice.
            let _ = agent.send_notification(CancelNotification::new(session));
            let last = tokio::time::timeout(config.grace, answer).await;
            Ending::Stopped(why, last.ok().and_then(Result::ok))
        }
    }
}

/// Everything before the prompt; returns the session's id.
async fn set_up(
    agent: &ConnectionTo<Agent>,
    config: &SessionConfig,
    transport: &AcpTransport,
) -> Result<String, Ending> {
    // An agent reads its files itself. Gemini CLI, offered to read through us, takes the protocol's
    // answer for a missing file as a failed read, and then cannot create any file.
    let files = FileSystemCapabilities::new().write_text_file(true);
    let initialize = InitializeRequest::new(ProtocolVersion::V1)
        .client_capabilities(ClientCapabilities::new().fs(files))
        .client_info(Implementation::new("crewlog", env!("CARGO_PKG_VERSION")));
    let capable = ask(agent, &initialize).await.map_err(end_of_error)?;
    if let Some(method) = &config.settings.auth_method {
        let authenticate = AuthenticateRequest::new(method.clone());
        ask(agent, &authenticate).await.map_err(end_of_error)?;
    }
    let (id, answer) = match &config.resume {
        Some(id) => (
            id.clone(),
            load(agent, config, id, &capable, transport).await?,
        ),
        None => begin(agent, config).await?,
    };
    if let Some(mode) = &config.settings.mode {
        let set = SetSessionModeRequest::new(id.clone(), mode.clone());
        if let Err(error) = ask(agent, &set).await {
            return Err(refused_mode(mode, &answer, error));
        }
    }
    let wanted = &config.settings.model;
    let mut model = model_of(&answer);
    if !wanted.is_empty() && model.as_ref() != Some(wanted) && model.is_some() {
        set_model(agent, &id, wanted, &answer).await?;
        model = Some(wanted.clone());
    }
    transport
        .emit(AgentEvent::Started {
            session_id: one_line(&id),
            model,
            agent: name_of(&capable),
        })
        .await;
    Ok(id)
}

/// A new session; returns its id and the agent's answer.
async fn begin(
    agent: &ConnectionTo<Agent>,
    config: &SessionConfig,
) -> Result<(String, Value), Ending> {
    let worktree: &Path = &config.worktree;
    let answer = ask(agent, &NewSessionRequest::new(worktree)).await;
    let answer = answer.map_err(end_of_error)?;
    let id = answer.get("sessionId").and_then(Value::as_str);
    match id.map(str::to_owned) {
        Some(id) => Ok((id, answer)),
        None => {
            let why = "the agent made a session without an id; is it an ACP agent of version 1?";
            Err(Ending::Unusable(why.to_owned()))
        }
    }
}

/// Continues an earlier session; returns the agent's answer. The agent tells again all that
/// happened in it, which is not news.
async fn load(
    agent: &ConnectionTo<Agent>,
    config: &SessionConfig,
    id: &str,
    capable: &Value,
    transport: &AcpTransport,
) -> Result<Value, Ending> {
    let can = capable.pointer("/agentCapabilities/loadSession") == Some(&Value::Bool(true));
    if !can {
        let why = "the agent cannot continue earlier sessions";
        return Err(Ending::UnknownSession(why.to_owned()));
    }
    let worktree: &Path = &config.worktree;
    transport.set_deaf(true);
    let answer = ask(agent, &LoadSessionRequest::new(id.to_owned(), worktree)).await;
    transport.set_deaf(false);
    answer.map_err(|error| match end_of_error(error) {
        Ending::Failed(error) => Ending::UnknownSession(format!(
            "the agent cannot continue the session {}: {}",
            one_line(id),
            one_line(&error.message)
        )),
        other => other,
    })
}

/// Sets the configured model, in either of the protocol's ways.
async fn set_model(
    agent: &ConnectionTo<Agent>,
    id: &str,
    model: &str,
    session: &Value,
) -> Result<(), Ending> {
    let refused = |error: Error| match end_of_error(error) {
        Ending::Failed(error) => Ending::Unusable(format!(
            "the agent refused the model {model:?} that its key `model` names: {}",
            one_line(&error.message)
        )),
        other => other,
    };
    let set = match model_option(session) {
        Some(_) => UntypedMessage::new(
            "session/set_config_option",
            serde_json::json!({ "sessionId": id, "configId": "model", "value": model }),
        ),
        // Not in the stable protocol; gemini's way.
        None => UntypedMessage::new(
            "session/set_model",
            serde_json::json!({ "sessionId": id, "modelId": model }),
        ),
    };
    let answer = agent.send_request(set.map_err(refused)?).block_task().await;
    answer.map(drop).map_err(refused)
}

/// Agents start in modes that deny what we need, so continuing in another mode than the configured
/// one would waste the attempt.
fn refused_mode(mode: &str, session: &Value, error: Error) -> Ending {
    if let closed @ Ending::Closed = end_of_error(error.clone()) {
        return closed;
    }
    let modes = session
        .pointer("/modes/availableModes")
        .and_then(Value::as_array);
    let names: Vec<&str> = modes
        .into_iter()
        .flatten()
        .filter_map(|mode| mode.get("id")?.as_str())
        .collect();
    Ending::Unusable(format!(
        "the agent refused the mode {mode:?} that its key `mode` names ({}); it has: {}",
        one_line(&error.message),
        one_line(&names.join(", "))
    ))
}

/// The model that a new session says it uses.
/// The agent's name and version; empty if it does not say.
fn name_of(capable: &Value) -> String {
    let part = |key: &str| capable.pointer(key).and_then(Value::as_str).unwrap_or("");
    let words = format!("{} {}", part("/agentInfo/name"), part("/agentInfo/version"));
    one_line(&words)
}

fn model_of(session: &Value) -> Option<String> {
    let current = session.pointer("/models/currentModelId");
    let current = model_option(session).or(current);
    current?.as_str().map(one_line)
}

/// The current model, if it is an option of the session.
fn model_option(session: &Value) -> Option<&Value> {
    let options = session.get("configOptions")?.as_array()?;
    let is_model = |option: &&Value| option.get("id").and_then(Value::as_str) == Some("model");
    options.iter().find(is_model)?.get("currentValue")
}

/// Sends a request and returns its raw answer: the typed answers leave out what is not in the
/// stable protocol yet, such as the tokens that were used.
async fn ask(agent: &ConnectionTo<Agent>, request: &impl JsonRpcMessage) -> Result<Value, Error> {
    let message: UntypedMessage = request.to_untyped_message()?;
    agent.send_request(message).block_task().await
}

fn end_of_error(error: Error) -> Ending {
    if is_incoming_transport_closed(&error) || is_connection_terminated(&error) {
        Ending::Closed
    } else {
        Ending::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_answered_by_kind_never_by_position() {
        use PermissionOptionKind::{AllowAlways, AllowOnce, RejectAlways, RejectOnce};
        let pick = |policy, kinds: &[PermissionOptionKind]| {
            let options: Vec<PermissionOption> = kinds
                .iter()
                .map(|kind| PermissionOption::new(format!("{kind:?}"), "name", *kind))
                .collect();
            let (outcome, denied) = choose(policy, &options);
            let id = match outcome {
                RequestPermissionOutcome::Selected(selected) => selected.option_id.to_string(),
                _ => "cancelled".to_owned(),
            };
            (id, denied)
        };
        let all = [RejectAlways, RejectOnce, AllowAlways, AllowOnce];
        let expect = |id: &str, denied| (id.to_owned(), denied);
        assert_eq!(pick(Permission::Allow, &all), expect("AllowOnce", false));
        assert_eq!(
            pick(Permission::Allow, &[AllowAlways]),
            expect("AllowAlways", false)
        );
        assert_eq!(
            pick(Permission::Allow, &[RejectOnce]),
            expect("cancelled", true)
        );
        assert_eq!(pick(Permission::Deny, &all), expect("RejectOnce", true));
        assert_eq!(
            pick(Permission::Deny, &[AllowOnce]),
            expect("cancelled", true)
        );
    }
}
