//! The programs that a script runs: shell commands and `git apply`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::ScriptError;
use crate::agent::process::Output;

/// Longer output is cut; nobody reads it in a transcript.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// A command's background children may hold its output open; it is read this long after the command
/// itself has ended.
const DRAIN_LIMIT: Duration = Duration::from_millis(200);

/// The result of a command.
pub(super) struct Ran {
    pub(super) ok: bool,
    pub(super) output: String,
}

/// Runs a shell command in the worktree. Dropping the future ends the shell; what that leaves
/// behind ends with the session's process tree.
pub(super) async fn shell(worktree: &Path, command: &str) -> Result<Ran, ScriptError> {
    let mut shell = Command::new("sh");
    // One pipe, so that output and errors stay in their order.
    shell.arg("-c").arg(format!("exec 2>&1\n{command}"));
    run(shell, worktree, command).await
}

/// Applies a patch to the worktree.
pub(super) async fn apply(worktree: &Path, patch: &Path) -> Result<(), ScriptError> {
    let what = format!("git apply {}", patch.display());
    let mut git = Command::new("sh");
    git.arg("-c")
        .arg("exec git -C \"$0\" apply --whitespace=nowarn \"$1\" 2>&1")
        .arg(worktree)
        .arg(patch);
    let ran = run(git, worktree, &what).await?;
    if ran.ok {
        Ok(())
    } else {
        let why = ran.output.trim().to_owned();
        Err(ScriptError::Command { what, why })
    }
}

async fn run(mut command: Command, worktree: &Path, what: &str) -> Result<Ran, ScriptError> {
    let fail = |error: std::io::Error| ScriptError::Command {
        what: what.to_owned(),
        why: error.to_string(),
    };
    let mut child = command
        .current_dir(worktree)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(fail)?;
    let mut output = Output::new(OUTPUT_BYTES_MAX);
    let stdout = child.stdout.take();
    let status = {
        let read = async {
            let Some(mut stdout) = stdout else {
                return;
            };
            let mut bytes = [0; 4096];
            while let Ok(read) = stdout.read(&mut bytes).await {
                if read == 0 {
                    return;
                }
                output.push(bytes.get(..read).unwrap_or(&[]));
            }
        };
        let mut read = std::pin::pin!(read);
        tokio::select! {
            () = &mut read => child.wait().await,
            status = child.wait() => {
                let _ = tokio::time::timeout(DRAIN_LIMIT, read).await;
                status
            }
        }
    };
    Ok(Ran {
        ok: status.map_err(fail)?.success(),
        output: output.text(),
    })
}
