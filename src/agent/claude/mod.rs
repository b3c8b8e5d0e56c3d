//! Claude Code, by its own stream: `claude -p --output-format stream-json`. Over ACP it would lose a
//! limit's reset time, the reason why it ended, and its retries.

mod conversation;
mod message;
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

/// The permission mode without which headless sessions hang or are refused: it denies what is not
/// allowed below. `bypassPermissions` does not start as root.
const MODE: &str = "dontAsk";

/// The tools that need permission. What they may reach is the cage's business.
const TOOLS: &str = "Bash,Edit,Write,NotebookEdit,Read,Glob,Grep,WebFetch,WebSearch";

/// Variables that an unattended session needs; the config's own values win.
const DEFAULTS: [(&str, &str); 4] = [
    // Its own retries of a refused key take minutes, and the crew waits once for all its workers.
    ("CLAUDE_CODE_MAX_RETRIES", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    // Otherwise the model has to search for tools of MCP servers before it sees them.
    ("ENABLE_TOOL_SEARCH", "false"),
    // Without the worktree's settings, its `CLAUDE.md` is left out, too; this brings it back.
    ("CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD", "1"),
];

/// Settings of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaudeSettings {
    /// The model; empty leaves it to Claude Code.
    pub model: String,
    /// The permission mode; `None` allows the usual tools and denies what would ask.
    pub mode: Option<String>,
    /// Whether the usual tools are allowed.
    pub permission: Permission,
}

/// A driver for Claude Code.
#[derive(Clone, Debug)]
pub struct ClaudeDriver {
    command: CommandLine,
    settings: ClaudeSettings,
}

impl ClaudeDriver {
    /// A driver for the program `program`. Its arguments follow the driver's own, so that they win,
    /// and may contain placeholders.
    ///
    /// # Errors
    /// An unknown placeholder or a single brace.
    pub fn new(
        program: impl Into<String>,
        args: Vec<String>,
        settings: ClaudeSettings,
    ) -> Result<Self, PlaceholderError> {
        let command = CommandLine::new(program, args)?;
        Ok(Self { command, settings })
    }

    /// The arguments for this session.
    fn arguments(&self, session: &Session) -> Result<Vec<OsString>, PlaceholderError> {
        let settings = &self.settings;
        // Settings of the worktree would run its hooks with the agent's key, and servers of its
        // `.mcp.json` likewise.
        let mut args: Vec<OsString> = [
            "-p",
            "--output-format",
            "stream-json",
            "--verbose",
            "--setting-sources=",
            "--strict-mcp-config",
        ]
        .map(OsString::from)
        .to_vec();
        args.extend(["--add-dir".into(), session.worktree.clone().into()]);
        let mut option = |name: &str, value: &str| {
            args.extend([OsString::from(name), OsString::from(value)]);
        };
        option(
            "--permission-mode",
            settings.mode.as_deref().unwrap_or(MODE),
        );
        if settings.permission == Permission::Allow {
            option("--allowedTools", TOOLS);
        }
        match &session.resume {
            Some(id) => option("--resume", id),
            None => option("--session-id", &new_id(rand::random())),
        }
        if !settings.model.is_empty() {
            option("--model", &settings.model);
        }
        args.extend(self.command.args(session, &settings.model)?);
        Ok(args)
    }

    async fn session(
        &self,
        mut session: Session,
        events: mpsc::Sender<AgentEvent>,
    ) -> SessionResult {
        let args = match self.arguments(&session) {
            Ok(args) => args,
            Err(error) => return SessionResult::setup(error.to_string()),
        };
        for (name, value) in DEFAULTS {
            session.env.entry(name.into()).or_insert(value.into());
        }
        let command = session.tree_command(self.command.program(), args);
        program::run(&session, command, Conversation::default(), events).await
    }
}

impl Driver for ClaudeDriver {
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

/// A session's id: a UUID of version 4 from these random bits.
fn new_id(random: u128) -> String {
    let id = random & !(0xf << 76) | (0x4 << 76);
    let id = id & !(0x3 << 62) | (0x2 << 62);
    let hex = format!("{id:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts = parts.map(|part| hex.get(part).unwrap_or_default().to_owned());
    parts.join("-")
}
