//! Plays a script, step by step, as an agent would work.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{
    ContentBlock, ContentChunk, Cost, PermissionOption, PermissionOptionKind,
    RequestPermissionOutcome, RequestPermissionRequest, SessionId, SessionNotification,
    SessionUpdate, TextContent, ToolCall, ToolCallContent, ToolCallStatus, ToolCallUpdate,
    ToolCallUpdateFields, ToolKind, UsageUpdate, WriteTextFileRequest,
};
use agent_client_protocol::{Client, JsonRpcRequest};

use super::job::{Feature, Job, Kind, Verdicts};
use super::script::{Script, Step, StopReason, UsageStep};
use super::{HUNG, Known, PromptAnswer, ScriptError, tools};
use crate::model::clip::clip;

/// Time for output before a crash to leave the process; nobody acknowledges it.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// The context window that usage is reported against; a scripted agent has none.
const CONTEXT_TOKENS: u64 = 200_000;

/// Lines of a judging command's output that become the reason of a failure.
const REASON_LINES: usize = 5;

/// Whether the script continues after a step.
enum Flow {
    On,
    Stop(&'static str),
}

/// Plays the scripts of one job.
pub(super) struct Player {
    client: ConnectionTo<Client>,
    session: SessionId,
    directory: PathBuf,
    known: Known,
    used: UsageStep,
    calls: u32,
}

impl Player {
    pub(super) fn new(
        client: ConnectionTo<Client>,
        session: SessionId,
        directory: PathBuf,
        known: Known,
    ) -> Self {
        Self {
            client,
            session,
            directory,
            known,
            used: UsageStep::default(),
            calls: 0,
        }
    }

    /// Plays until the scripts end or the client cancels; returns the prompt's answer.
    pub(super) async fn play(mut self) -> Result<PromptAnswer, ScriptError> {
        let job = Job::read()?;
        let mut verdicts = Verdicts::new(&job);
        for feature in &job.features {
            let script = Script::read(&self.directory, feature.id)?;
            let part = script.choose(&job, feature).ok_or(ScriptError::NoPart {
                feature: feature.id,
                section: match job.kind {
                    Kind::Coding => "attempt",
                    Kind::Testing => "test",
                },
            })?;
            for step in &part.steps {
                let cancel = self.known.cancel.clone();
                // An agent that hangs does not notice that it should stop, either.
                let hears = !matches!(step, Step::Hang { .. });
                let flow = tokio::select! {
                    biased;
                    () = cancel.cancelled(), if hears => Flow::Stop("cancelled"),
                    flow = self.step(step, feature, &mut verdicts) => flow?,
                };
                if let Flow::Stop(reason) = flow {
                    return Ok(PromptAnswer::new(reason, &self.used));
                }
            }
        }
        Ok(PromptAnswer::new("end_turn", &self.used))
    }

    async fn step(
        &mut self,
        step: &Step,
        feature: &Feature,
        verdicts: &mut Verdicts,
    ) -> Result<Flow, ScriptError> {
        match step {
            Step::Say(text) => self.tell(SessionUpdate::AgentMessageChunk(chunk(text))),
            Step::Think(text) => self.tell(SessionUpdate::AgentThoughtChunk(chunk(text))),
            Step::Patch(patch) => self.patch(patch).await?,
            Step::WriteText { path, text } => self.write(path, text, None).await?,
            Step::WriteFrom { path, from } => {
                let from = self.directory.join(from);
                let fail = |source| ScriptError::File {
                    what: "read",
                    path: from.clone(),
                    source,
                };
                let text = std::fs::read_to_string(&from).map_err(fail)?;
                let mode = std::fs::metadata(&from).map_err(fail)?.permissions().mode();
                self.write(path, &text, Some(mode)).await?;
            }
            Step::Run(command) => {
                self.run(command).await?;
            }
            Step::PauseMs(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            // A command that never ends, and not a provider that does not answer.
            Step::Hang { detached } => {
                self.begin("Run a command that never ends", ToolKind::Execute);
                hang(*detached, &self.known.worktree).await?;
            }
            Step::CrashWriting { path, text } => self.crash(path, text).await?,
            Step::Stop(reason) => {
                return Ok(Flow::Stop(match reason {
                    StopReason::Refusal => "refusal",
                    StopReason::MaxTokens => "max_tokens",
                    StopReason::MaxTurnRequests => "max_turn_requests",
                    StopReason::Cancelled => "cancelled",
                }));
            }
            Step::GiveUp(reason) => verdicts.fail(feature.id, reason)?,
            Step::Ask(question) => verdicts.input(feature.id, question)?,
            Step::VerdictPass => verdicts.pass(feature.id)?,
            Step::Judge(command) => match self.run(command).await? {
                Some(ran) if ran.ok => verdicts.pass(feature.id)?,
                Some(ran) => verdicts.fail(feature.id, &last_lines(&ran.output))?,
                None => verdicts.fail(feature.id, "the judging command was not permitted")?,
            },
            Step::Usage(used) => self.usage(used),
        }
        Ok(Flow::On)
    }

    /// A client that has gone is noticed at the next request, or at the end of our input.
    fn tell(&self, update: SessionUpdate) {
        let notification = SessionNotification::new(self.session.clone(), update);
        let _ = self.client.send_notification(notification);
    }

    async fn ask<R: JsonRpcRequest>(
        &self,
        what: &'static str,
        request: R,
    ) -> Result<R::Response, ScriptError>
    where
        R::Response: Send,
    {
        let answer = self.client.send_request(request).block_task().await;
        answer.map_err(|error| ScriptError::Client {
            what,
            why: match &error.data {
                Some(data) => format!("{} ({data})", error.message),
                None => error.message.clone(),
            },
        })
    }

    fn begin(&mut self, title: &str, kind: ToolKind) -> String {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        let call = ToolCall::new(id.clone(), title)
            .kind(kind)
            .status(ToolCallStatus::InProgress);
        self.tell(SessionUpdate::ToolCall(call));
        id
    }

    fn end(&self, id: &str, ok: bool, output: &str) {
        let status = if ok {
            ToolCallStatus::Completed
        } else {
            ToolCallStatus::Failed
        };
        let content = ToolCallContent::from(ContentBlock::Text(TextContent::new(output)));
        let fields = ToolCallUpdateFields::new()
            .status(status)
            .content(vec![content]);
        self.tell(SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(
            id.to_owned(),
            fields,
        )));
    }

    async fn patch(&mut self, patch: &Path) -> Result<(), ScriptError> {
        let id = self.begin(&format!("Apply {}", patch.display()), ToolKind::Edit);
        let applied = tools::apply(&self.known.worktree, &self.directory.join(patch)).await;
        match &applied {
            Ok(()) => self.end(&id, true, "applied"),
            Err(error) => self.end(&id, false, &error.to_string()),
        }
        applied
    }

    async fn write(
        &mut self,
        path: &Path,
        text: &str,
        mode: Option<u32>,
    ) -> Result<(), ScriptError> {
        let id = self.begin(&format!("Write {}", path.display()), ToolKind::Edit);
        let full = self.known.worktree.join(path);
        let fail = |what| {
            let path = full.clone();
            move |source| ScriptError::File { what, path, source }
        };
        if self.known.client_writes {
            let request = WriteTextFileRequest::new(self.session.clone(), full.clone(), text);
            self.ask("fs/write_text_file", request).await?;
        } else {
            if let Some(parent) = full.parent() {
                std::fs::create_dir_all(parent).map_err(fail("make the directory of"))?;
            }
            std::fs::write(&full, text).map_err(fail("write"))?;
        }
        if let Some(mode) = mode {
            let mode = std::fs::Permissions::from_mode(mode & 0o777);
            std::fs::set_permissions(&full, mode).map_err(fail("set the mode of"))?;
        }
        self.end(&id, true, &format!("{} bytes", text.len()));
        Ok(())
    }

    /// Runs a command if the client permits it; `None` if not.
    async fn run(&mut self, command: &str) -> Result<Option<tools::Ran>, ScriptError> {
        let id = self.begin(command, ToolKind::Execute);
        let option = |id: &'static str, kind| PermissionOption::new(id, id, kind);
        let fields = ToolCallUpdateFields::new()
            .title(command.to_owned())
            .kind(ToolKind::Execute);
        let request = RequestPermissionRequest::new(
            self.session.clone(),
            ToolCallUpdate::new(id.clone(), fields),
            vec![
                option("allow", PermissionOptionKind::AllowOnce),
                option("reject", PermissionOptionKind::RejectOnce),
            ],
        );
        let answer = self.ask("session/request_permission", request).await?;
        let permitted = match answer.outcome {
            RequestPermissionOutcome::Selected(selected) => &*selected.option_id.0 == "allow",
            _ => false,
        };
        if !permitted {
            self.end(&id, false, "not permitted");
            return Ok(None);
        }
        let ran = tools::shell(&self.known.worktree, command).await?;
        self.end(&id, ran.ok, &ran.output);
        Ok(Some(ran))
    }

    fn usage(&mut self, used: &UsageStep) {
        let sum = &mut self.used;
        sum.input_tokens = sum.input_tokens.saturating_add(used.input_tokens);
        sum.output_tokens = sum.output_tokens.saturating_add(used.output_tokens);
        sum.cost_microusd = sum.cost_microusd.saturating_add(used.cost_microusd);
        #[allow(clippy::cast_precision_loss, reason = "nobody spends 2^53 millionths")]
        let dollars = sum.cost_microusd as f64 / 1e6;
        let context = sum.input_tokens.saturating_add(sum.output_tokens);
        let update = UsageUpdate::new(context.min(CONTEXT_TOKENS), CONTEXT_TOKENS)
            .cost(Cost::new(dollars, "USD"));
        self.tell(SessionUpdate::UsageUpdate(update));
    }

    /// Writes half of a file and crashes.
    async fn crash(&self, path: &Path, text: &str) -> Result<(), ScriptError> {
        let full = self.known.worktree.join(path);
        let half = clip(text, text.len() / 2);
        let written = full
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&full, half));
        written.map_err(|source| ScriptError::File {
            what: "write",
            path: full,
            source,
        })?;
        tokio::time::sleep(LAST_WORDS).await;
        // The crash is intended; a core file in the worktree is not.
        let none = rustix::process::Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
        std::process::abort();
    }
}

/// Writes and reads nothing more, until killed.
async fn hang(detached: bool, worktree: &Path) -> Result<(), ScriptError> {
    if detached {
        let child = std::process::Command::new("setsid")
            .args(["sleep", "3600"])
            .current_dir(worktree)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        child.map_err(|error| ScriptError::Command {
            what: "setsid sleep".to_owned(),
            why: error.to_string(),
        })?;
    }
    HUNG.store(true, Ordering::Relaxed);
    std::future::pending().await
}

fn chunk(text: &str) -> ContentChunk {
    ContentChunk::new(ContentBlock::Text(TextContent::new(text)))
}

/// The end of an output, as a reason.
fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines.len().saturating_sub(REASON_LINES);
    let reason = lines.get(from..).unwrap_or(&[]).join("\n");
    if reason.is_empty() {
        "the judging command failed without output".to_owned()
    } else {
        reason
    }
}
