//! Checks that can fail before the first attempt, so that a mistake is reported once, and before
//! anything has begun.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::cage::probe::landlock_version;
use crate::agent::{
    AcpDriver, AcpSettings, Driver as _, JobPaths, Session, SessionLimits, SessionResult,
    Transcript,
};
use crate::model::evidence::{FailureKind, SessionEnd};
use crate::model::ids::AttemptId;
use crate::model::settings::WorkerKind;
use crate::model::trouble::TroubleKind;

use super::cage;
use super::commands::isolation;
use super::config::{AgentConfig, Config, Driver, Isolation, Places};
use super::driver;
use super::error::{PreflightError, WorkerError};
use super::job::{agent_environment, shared_environment};
use super::template::template;
use super::token::tree_token;
use super::trouble::{FREE_BYTES_MIN, free_bytes};

/// Agents that are programs for node take some seconds to start. A slower one gets its time in the
/// first attempt.
const HANDSHAKE_MS: u64 = 20_000;

/// Prefix of a handshake's directory; the number of its process follows.
const HANDSHAKE: &str = "handshake-";

/// Whether a worker with this config can start, as far as the config decides. For a process that
/// starts workers, so that a mistake is reported once and not by each of them.
///
/// # Errors
/// The config cannot work.
pub fn check(config: &Config) -> Result<(), WorkerError> {
    config.validate()?;
    if config.isolation == Isolation::Cage && !cage::is_caged(config) {
        let found = landlock_version();
        return Err(WorkerError::Cage { found });
    }
    for (_, agent) in config.used_agents() {
        driver::driver(agent, &config.places).map_err(WorkerError::Agent)?;
    }
    template(config, WorkerKind::Coding)?;
    template(config, WorkerKind::Testing).map(drop)
}

/// Whether the programs exist that every attempt starts: the agents', and a shell.
///
/// # Errors
/// The first one that is missing.
pub fn check_programs(config: &Config) -> Result<(), PreflightError> {
    for (name, agent) in config.used_agents() {
        let env = shared_environment(config, std::env::vars_os());
        let env = agent_environment(env, agent, std::env::vars_os());
        let program = driver::program(agent, &config.places);
        let key = name.key("program");
        find(&key, &program, env.get(OsStr::new("PATH")))?;
    }
    let env = shared_environment(config, std::env::vars_os());
    let path = env.get(OsStr::new("PATH"));
    find("the shell of checks and hooks", "sh", path).map(drop)
}

/// Whether attempts can be created and their results written: the directories are writable, and
/// their disks are not almost full.
///
/// # Errors
/// The first directory that is not writable.
pub fn check_places(places: &Places) -> Result<(), PreflightError> {
    can_write("the directory of attempts", &places.worktrees)?;
    can_write("the data directory", &places.data)
}

/// Whether the agents accept the configured modes: each agent with a mode is started, a session is
/// set up, and it is ended. No prompt is sent, so this costs no token. A slow agent delays nothing.
///
/// # Errors
/// The first agent that refuses: its login, its mode, or the whole session.
pub async fn check_agents(config: &Config, own_executable: &Path) -> Result<(), PreflightError> {
    forget_handshakes(&config.places.worktrees);
    for (name, agent) in config.used_agents() {
        if agent.driver != Driver::Acp || agent.mode.is_empty() {
            continue;
        }
        let result = handshake(config, agent, own_executable).await?;
        let advice = match (result.failure, result.end) {
            (Some(FailureKind::Trouble(TroubleKind::Agent)), _) => {
                format!("Correct {}", name.key("mode"))
            }
            (Some(_), _) | (None, SessionEnd::Completed | SessionEnd::Cancelled) => continue,
            (None, SessionEnd::AuthFailed) => {
                "Log in with the agent's own program, then start again".to_owned()
            }
            (None, SessionEnd::Limited | SessionEnd::Overloaded) => continue,
            _ => "Start it by hand to see what it needs".to_owned(),
        };
        return Err(PreflightError::NoSession {
            program: agent.program().to_owned(),
            reason: result.reason,
            advice,
        });
    }
    Ok(())
}

/// Removes the directories of handshakes whose process was killed.
fn forget_handshakes(worktrees: &Path) {
    for entry in fs::read_dir(worktrees).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(HANDSHAKE));
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // What cannot be removed harms nothing.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Starts an agent in a directory of its own and sets up a session with it.
async fn handshake(
    config: &Config,
    agent: &AgentConfig,
    own_executable: &Path,
) -> Result<SessionResult, PreflightError> {
    let settings = AcpSettings {
        handshake_only: true,
        ..driver::acp_settings(agent)
    };
    let program = driver::program(agent, &config.places);
    let Ok(driver) = AcpDriver::new(program, agent.args.clone(), settings) else {
        // The config was checked before.
        return Ok(SessionResult::new(SessionEnd::Completed, ""));
    };
    let place = config
        .places
        .worktrees
        .join(format!("{HANDSHAKE}{}", std::process::id()));
    let refuse = |source| PreflightError::NotWritable {
        what: "the directory of attempts",
        path: place.clone(),
        source,
    };
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&place)
        .map_err(refuse)?;
    let mut env = shared_environment(config, std::env::vars_os());
    env.insert("TMPDIR".into(), place.clone().into());
    let session = Session {
        prompt: String::new(),
        worktree: place.clone(),
        env: agent_environment(env, agent, std::env::vars_os()),
        paths: JobPaths::default(),
        feature: 0,
        attempt: 0,
        token: tree_token(&config.places.project, AttemptId(0)),
        own_executable: own_executable.to_owned(),
        isolation: isolation(config.isolation),
        cage: None,
        resume: None,
        limits: SessionLimits {
            idle_ms: HANDSHAKE_MS,
            time_ms: HANDSHAKE_MS,
            steps_max: 1,
            grace_ms: 0,
        },
        transcript: Transcript::none(),
        cancel: CancellationToken::new(),
    };
    // Nobody reads the events: the result says everything.
    let (events, _) = mpsc::channel(1);
    let result = driver.run(session, events).await;
    let removed = fs::remove_dir_all(&place);
    removed.map_err(refuse)?;
    Ok(result)
}

/// Searches a program as the system does when it starts one.
fn find(key: &str, program: &str, search: Option<&OsString>) -> Result<PathBuf, PreflightError> {
    let refuse = |reason: String| PreflightError::NotExecutable {
        key: key.to_owned(),
        program: program.to_owned(),
        reason,
    };
    if program.contains('/') {
        return match runs(Path::new(program)) {
            Ok(()) => Ok(program.into()),
            Err(reason) => Err(refuse(reason)),
        };
    }
    let path = search.cloned().unwrap_or_default();
    let mut barred = None;
    for dir in std::env::split_paths(&path) {
        let file = dir.join(program);
        match runs(&file) {
            Ok(()) => return Ok(file),
            Err(reason) if file.is_file() => barred = Some(reason),
            Err(_) => {}
        }
    }
    Err(match barred {
        Some(reason) => refuse(reason),
        None => PreflightError::NotInPath {
            key: key.to_owned(),
            program: program.to_owned(),
            path: path.to_string_lossy().into_owned(),
        },
    })
}

/// Checks that this file can be executed; otherwise returns why not.
fn runs(file: &Path) -> Result<(), String> {
    match fs::metadata(file) {
        Err(error) => Err(format!("{file:?} cannot be found: {error}")),
        Ok(found) if found.is_dir() => Err(format!("{file:?} is a directory")),
        Ok(_) => access(file, Access::EXEC_OK)
            .map_err(|error| format!("{file:?} cannot be executed: {error}")),
    }
}

fn can_write(what: &'static str, path: &Path) -> Result<(), PreflightError> {
    let refuse = |source| PreflightError::NotWritable {
        what,
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path).map_err(refuse)?;
    let free = free_bytes(path).filter(|&free| free < FREE_BYTES_MIN);
    if let Some(free) = free {
        return Err(PreflightError::DiskFull {
            what,
            path: path.to_owned(),
            free_kib: free >> 10,
        });
    }
    // The permissions alone do not tell: the file system may be read-only, or the quota used up.
    // The file has no name, so a kill at this moment leaves nothing behind.
    let written = tempfile::tempfile_in(path).and_then(|mut file| file.write_all(&[0; 4096]));
    written.map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_are_found_as_the_system_finds_them() {
        let place = tempfile::tempdir().expect("a directory");
        let (first, second) = (place.path().join("first"), place.path().join("second"));
        for (dir, mode) in [(&first, 0o644), (&second, 0o755)] {
            fs::create_dir(dir).expect("a directory");
            let file = dir.join("agent");
            fs::write(&file, "#!/bin/sh\n").expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        let both = std::env::join_paths([&first, &second]).expect("a path");
        let only = std::env::join_paths([&first]).expect("a path");
        let said = |program: &str, path: &OsString| match find("agent.program", program, Some(path))
        {
            Ok(found) => found.display().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            said("agent", &both),
            second.join("agent").display().to_string()
        );
        let table = [
            ("agent", &only, "cannot be executed"),
            ("other", &both, "no such program in PATH"),
            ("/nowhere/agent", &both, "cannot be found"),
            ("/", &both, "is a directory"),
        ];
        for (program, path, part) in table {
            let said = said(program, path);
            assert!(
                said.contains(part) && said.contains("agent.program"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_directory_that_takes_nothing_is_named() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = can_write("the data directory", &file.join("below")).expect_err("a file");
        assert!(error.to_string().contains("the data directory"), "{error}");
        can_write("the data directory", &place.path().join("new")).expect("it is made");
        assert_eq!(
            fs::read_dir(place.path().join("new"))
                .expect("it is there")
                .count(),
            0
        );
    }
}
