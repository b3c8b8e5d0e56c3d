//! Codex, by its own stream: `codex exec --json`. Over ACP it is silent while it waits for its
//! provider, and reports a failed turn as a normal end.

mod conversation;
#[cfg(test)]
mod tests;

use std::ffi::OsString;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use self::conversation::Conversation;
use super::acp::Permission;
use super::driver::{AgentEvent, Driver, Session, SessionResult};
use super::placeholders::{CommandLine, PlaceholderError};
use super::process::ProgramEnd;
use super::program;
use super::reset::Now;

/// Names of variables that Codex needs and its commands do not.
const SECRETS: &str =
    r#"["*KEY*", "*TOKEN*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*CREDENTIAL*"]"#;

/// Settings of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodexSettings {
    /// The model; empty leaves it to Codex.
    pub model: String,
    /// Codex's own sandbox (`read-only`, `workspace-write`, `danger-full-access`); `None` uses it
    /// only if the session has no cage.
    pub sandbox: Option<String>,
    /// Whether commands may change anything, if the sandbox is not set.
    pub permission: Permission,
}

/// A driver for Codex.
#[derive(Clone, Debug)]
pub struct CodexDriver {
    command: CommandLine,
    settings: CodexSettings,
}

impl CodexDriver {
    /// A driver for the program `program`. Its arguments follow the driver's own, so that they win,
    /// and may contain placeholders.
    ///
    /// # Errors
    /// An unknown placeholder or a single brace.
    pub fn new(
        program: impl Into<String>,
        args: Vec<String>,
        settings: CodexSettings,
    ) -> Result<Self, PlaceholderError> {
        let command = CommandLine::new(program, args)?;
        Ok(Self { command, settings })
    }

    /// The arguments for this session.
    fn arguments(&self, session: &Session) -> Result<Vec<OsString>, PlaceholderError> {
        let settings = &self.settings;
        let mut args: Vec<OsString> = vec!["exec".into()];
        if session.resume.is_some() {
            args.push("resume".into());
        }
        args.extend(["--json", "--skip-git-repo-check"].map(OsString::from));
        if !settings.model.is_empty() {
            args.extend(["--model".into(), OsString::from(&settings.model)]);
        }
        // `exec resume` takes no `--sandbox`, but the same keys.
        for setting in [
            format!("sandbox_mode={:?}", self.sandbox(session)),
            "sandbox_workspace_write.network_access=true".to_owned(),
            "approval_policy=\"never\"".to_owned(),
            // The worktree's `.codex` is not read: Codex trusts no directory that a person has not
            // trusted, and each attempt has its own.
            format!("shell_environment_policy.exclude={SECRETS}"),
        ] {
            args.extend(["-c".into(), OsString::from(setting)]);
        }
        args.extend(self.command.args(session, &settings.model)?);
        args.extend(session.resume.as_ref().map(OsString::from));
        // The prompt is on the standard input.
        args.push("-".into());
        Ok(args)
    }

    /// Exactly one layer: inside our cage, every command in Codex's own sandbox fails.
    fn sandbox(&self, session: &Session) -> &str {
        match (&self.settings.sandbox, self.settings.permission) {
            (Some(sandbox), _) => sandbox,
            (None, Permission::Deny) => "read-only",
            (None, Permission::Allow) if session.cage.is_some() => "danger-full-access",
            (None, Permission::Allow) => "workspace-write",
        }
    }

    async fn session(&self, session: Session, events: mpsc::Sender<AgentEvent>) -> SessionResult {
        let args = match self.arguments(&session) {
            Ok(args) => args,
            Err(error) => return SessionResult::setup(error.to_string()),
        };
        let command = session.tree_command(self.command.program(), args);
        let conversation = Conversation::with(&self.settings.model, Now::here());
        program::run(&session, command, conversation, events).await
    }
}

impl Driver for CodexDriver {
    fn run(
        &self,
        session: Session,
        events: mpsc::Sender<AgentEvent>,
    ) -> BoxFuture<'_, SessionResult> {
        self.session(session, events).boxed()
    }
}

/// What the output of a process says: its events, and the session's result if the process ended in
/// this way by itself; `None` if it was ended for its silence.
pub fn read(output: &[u8], end: Option<ProgramEnd>) -> (Vec<AgentEvent>, SessionResult) {
    program::replay(Conversation::default(), output, end)
}
