//! `scheduler run --detach`: the same command in the background, in a session of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::cli::Context;
use crate::cli::engine::{LISTENS, RunLog};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages;
use crate::cli::project::Project;
use crate::cli::runtime;

/// Most bytes of a failed start's output that are shown.
const SHOWN_BYTES_MAX: usize = 16 * 1024;

/// Starts this process's command in the background, and waits until it listens or has ended.
pub fn start(context: &Context, project: &Project) -> Result<ExitCode, Error> {
    let project = project.settle()?;
    let failed = |doing: &str| {
        let what = format!("cannot {doing}");
        move |error: io::Error| {
            let next = "make sure that the disk is not full or read-only";
            Error::internal(what.clone(), error, next)
        }
    };
    let log = RunLog::create(&project.data).map_err(failed("create the run's log file"))?;
    let (ours, theirs) = UnixStream::pair().map_err(failed("create a socket"))?;
    let errors = log.file.try_clone().map_err(failed("open the log file"))?;
    let arguments = std::env::args_os().skip(1);
    let child = Command::new(runtime::own_executable()?)
        .args(arguments.filter(|argument| argument != "--detach"))
        .arg("--background")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(log.file)
        .stderr(errors)
        .spawn();
    let mut child = child.map_err(failed("start the run"))?;
    let mut said = Vec::new();
    // The other end closes when the process ends, so this waits no longer than that.
    let read = BufReader::new(ours).read_until(b'\n', &mut said);
    read.map_err(failed("hear from the run"))?;
    if said != LISTENS {
        let status = child.wait().map_err(failed("wait for the run"))?;
        show(&log.path);
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(code.and_then(ExitCode::of).unwrap_or(ExitCode::Internal));
    }
    let path = log.path.display().to_string();
    if context.out.is_json() {
        let json = serde_json::json!({ "pid": child.id(), "log": path });
        context.out.json(&json)?;
    } else if !context.out.quiet {
        let page = pages::end::detached(child.id(), &path, &context.out);
        context.out.bytes(page.as_bytes())?;
    }
    Ok(ExitCode::Passing)
}

/// Shows what a run that failed to start has printed.
fn show(path: &std::path::Path) {
    let text = std::fs::read(path).unwrap_or_default();
    let from = text.len().saturating_sub(SHOWN_BYTES_MAX);
    // If standard error is closed, there is nowhere to report it.
    let _ = io::stderr().write_all(text.get(from..).unwrap_or_default());
}

/// Begins the run in the background: leaves the starter's session, and returns the socket to it.
pub fn begin() -> Result<UnixStream, Error> {
    let begin = || -> io::Result<UnixStream> {
        rustix::process::setsid()?;
        let starter = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(starter.into())
    };
    begin().map_err(|error| {
        let next = "use `scheduler run --detach`, which starts the run in the background";
        Error::usage("cannot run in the background", error, next)
    })
}
