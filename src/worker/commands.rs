//! Checks and hooks: shell commands in the worktree, one after the other.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::agent::cage::{Network, blame};
use crate::agent::process::{self, Streams, TreeCommand};
use crate::model::clip::clip;
use crate::model::evidence::{CheckEnd, CheckRun, Failure, FailureKind};
use crate::model::ids::FeatureId;
use crate::model::settings::WorkerKind;

use super::cage::Caged;
use super::config;
use super::executor::{AttemptEnv, Executor};
use super::job::AttemptDir;
use super::outcome::FeatureChecks;
use super::token::tree_token;
use super::trouble::{self, setup};

/// Kept bytes of a check's output: more than a person reads, less than fills a disk.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Bytes from the end of an output that a failure's reason quotes.
const TAIL_LINES: usize = 20;

/// Leaves room in a reason for the command.
const TAIL_BYTES: usize = 1_200;

impl Executor {
    /// Runs the checks of these features, each feature's up to its first failure.
    pub(super) async fn checks(
        &self,
        env: &AttemptEnv,
        features: &[FeatureId],
        go_on: bool,
        cancel: &CancellationToken,
    ) -> Result<Vec<FeatureChecks>, Failure> {
        if env.offer.kind == WorkerKind::Coding && !self.config.checks.keeps_all() {
            // What the hook had created for the agent was ignored, and removed with the rest.
            let hook = &self.config.hooks.after_create;
            self.run_hook(env, "after_create", hook, cancel).await?;
        }
        let mut all = Vec::new();
        let chosen = env.offer.features.iter();
        for feature in chosen.filter(|feature| features.contains(&feature.id)) {
            let mut checks = FeatureChecks {
                feature: feature.id,
                runs: Vec::new(),
                tail: String::new(),
                removed: Vec::new(),
                killed: false,
            };
            for command in &feature.spec.checks {
                let (run, killed, output) = self.check(env, command, cancel).await?;
                let failed = !run.end.passed();
                checks.runs.push(run);
                if failed {
                    checks.killed = killed;
                    checks.tail = tail(&output);
                    checks.removed = env.removed_files();
                    break;
                }
            }
            let passed = checks.runs.iter().all(|run| run.end.passed());
            all.push(checks);
            if !passed && !go_on {
                break;
            }
        }
        Ok(all)
    }

    /// Runs one check. Gives also whether it was [killed](process::Finished::killed), and its output.
    async fn check(
        &self,
        env: &AttemptEnv,
        command: &str,
        cancel: &CancellationToken,
    ) -> Result<(CheckRun, bool, String), Failure> {
        self.show(format!("check: {command}"));
        let limit = Duration::from_millis(env.offer.settings.check_limit_ms);
        let (finished, blamed) = self
            .shell(env, command, limit, Caged::Check, cancel)
            .await?;
        let output = self
            .outputs
            .put(finished.output.as_bytes())
            .map_err(trouble::unstored)?;
        let run = CheckRun {
            command: command.to_owned(),
            end: finished.end,
            duration_ms: finished.duration_ms,
            output,
        };
        Ok((run, finished.killed, with_blame(finished.output, blamed)))
    }

    /// Runs a hook, unless the project has none here.
    pub(super) async fn run_hook(
        &self,
        env: &AttemptEnv,
        name: &str,
        command: &str,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        if command.trim().is_empty() {
            return Ok(());
        }
        let limit = Duration::from_millis(self.config.hooks.limit_ms);
        let (finished, blamed) = self.shell(env, command, limit, Caged::Hook, cancel).await?;
        if finished.end.passed() {
            return Ok(());
        }
        let how = match finished.end {
            CheckEnd::TimedOut => format!(
                "took longer than its limit of {} s (`hooks.time_limit`)",
                limit.as_secs_f64()
            ),
            end => end.to_string(),
        };
        let mut reason = format!("the hook {name} {how}");
        let tail = tail(&with_blame(finished.output, blamed));
        if !tail.is_empty() {
            reason = format!("{reason}: {tail}");
        }
        Err(Failure::new(FailureKind::HookFailed, reason))
    }

    async fn shell(
        &self,
        env: &AttemptEnv,
        command: &str,
        limit: Duration,
        who: Caged<'_>,
        cancel: &CancellationToken,
    ) -> Result<(process::Finished, Option<String>), Failure> {
        let cage = self.cage(env, &env.env, who);
        if cage.is_none()
            && matches!(who, Caged::Check)
            && self.config.checks.network == Network::None
        {
            return Err(setup(
                "checks.network = \"none\" needs the cage; set environment.isolation = \"auto\" and see `scheduler doctor`",
            ));
        }
        let script = script(command, &env.dir)
            .map_err(trouble::refused("cannot write a long command to a file"))?;
        let tree = TreeCommand {
            program: "sh".into(),
            args: vec!["-c".into(), script],
            cwd: env.cwd.clone(),
            env: env.env.clone(),
            token: tree_token(&self.config.places.project, env.offer.attempt),
            own_executable: self.own_executable.clone(),
            isolation: self.isolation(),
            streams: Streams::Merged,
            cage: cage.clone(),
        };
        let finished = process::run_masked(
            tree,
            limit,
            OUTPUT_BYTES_MAX,
            Arc::clone(&self.mask),
            cancel,
        )
        .await;
        let finished = finished.map_err(setup)?;
        if finished.left > 0 {
            tracing::warn!(
                command,
                left = finished.left,
                "some processes cannot be ended"
            );
        }
        let blamed = match finished.exceeded {
            Some(exceeded) => Some(format!("it was ended because {exceeded}")),
            None if finished.end.passed() => None,
            None => cage.and_then(|cage| blame::explain(&finished.output, &cage)),
        };
        Ok((finished, blamed))
    }

    pub(super) fn isolation(&self) -> process::Isolation {
        isolation(self.config.isolation)
    }
}

/// How process trees are held together, according to the config.
pub(super) fn isolation(wanted: config::Isolation) -> process::Isolation {
    match wanted {
        config::Isolation::Auto | config::Isolation::None => process::Isolation::Auto,
        config::Isolation::Cage | config::Isolation::Namespace => process::Isolation::Namespace,
        config::Isolation::Subreaper => process::Isolation::Subreaper,
    }
}

/// The argument of `sh -c`. The system takes no argument of more than 128 KiB, so a longer command
/// is written into a file that the shell reads as if it were the argument: `$0`, input, directory
/// and exit code are the same. The file is written again each time, because agents can reach it.
fn script(command: &str, dir: &AttemptDir) -> std::io::Result<OsString> {
    if command.len() < TreeCommand::STRING_BYTES_MAX {
        return Ok(command.into());
    }
    let path = dir.script_file();
    dir.write_script(command)?;
    // A quote in the path ends the quoting, stands by itself, and begins it again.
    let mut script = OsString::from(". '");
    for (index, part) in path
        .as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'\'')
        .enumerate()
    {
        script.push(if index == 0 { "" } else { "'\\''" });
        script.push(OsStr::from_bytes(part));
    }
    script.push("'");
    Ok(script)
}

/// An output, with a sentence about the cage if that caused the end.
fn with_blame(mut output: String, blamed: Option<String>) -> String {
    if let Some(blamed) = blamed {
        // On the last line, which is quoted everywhere.
        output.truncate(output.trim_end().len());
        if !output.is_empty() {
            output.push_str("; ");
        }
        output.push_str(&blamed);
    }
    output
}

/// The last lines of an output, short enough to be quoted.
fn tail(output: &str) -> String {
    // Carriage returns stay: one in a check's output may be what made it fail.
    let trimmed = output.trim_end_matches([' ', '\n', '\t']);
    let from = trimmed.len().saturating_sub(TAIL_BYTES);
    let end = trimmed
        .get(trimmed.ceil_char_boundary(from)..)
        .unwrap_or_default();
    let lines: Vec<&str> = end.split('\n').collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    let text = lines.get(first..).unwrap_or_default().join("\n");
    clip(&text, TAIL_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_output_is_quoted() {
        assert_eq!(tail("a\nb\n\n"), "a\nb");
        assert_eq!(tail(""), "");
        let many: String = (0..100).map(|line| format!("{line}\n")).collect();
        assert!(tail(&many).starts_with("80\n"));
        assert!(tail(&many).ends_with("\n99"));
        let wide = "é".repeat(5_000);
        assert!(tail(&wide).len() <= TAIL_BYTES);
    }
}
