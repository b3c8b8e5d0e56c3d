//! `scheduler export`: the log as JSON lines, or as a portable log.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{ProjectContext, event_json, say_source};
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::failures;
use crate::cli::runtime;
use crate::cli::source::Item;
use crate::model::event::Recorded;
use crate::model::ids::Sequence;
use crate::queue::portable::Portable;
use crate::queue::{Contents, Head};

/// One JSON object for every event, in order, on standard output. Or, with --portable, the events
/// as the log has them, in one file that proves to be whole: the way to another machine, to a later
/// version, and to a backup. Outputs of checks and transcripts are not in it.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler export > log.jsonl\n  scheduler export --portable backup.crewlog"
)]
pub struct Args {
    /// Write a portable log to this file, which must not exist, for `scheduler import --portable`
    #[arg(long, value_name = "FILE")]
    pub portable: Option<PathBuf>,
}

/// Bytes of lines that are written at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    if let Some(file) = &args.portable {
        return portable(context, &here, file);
    }
    runtime::start()?.block_on(async {
        let source = here.source().await?;
        let mut lines = String::new();
        let each = &mut |recorded: Recorded| {
            lines.push_str(&event_json(&recorded)?);
            lines.push('\n');
            if lines.len() >= BUFFER_BYTES {
                context.out.bytes(lines.as_bytes())?;
                lines.clear();
            }
            Ok(ControlFlow::Continue(()))
        };
        source.events(Sequence(1), each).await?;
        say_source(context, &source);
        context.out.bytes(lines.as_bytes())?;
        Ok(ExitCode::Passing)
    })
}

fn portable(context: &Context, here: &ProjectContext, file: &Path) -> Result<ExitCode, Error> {
    let failed = |error: std::io::Error| {
        Error::internal(
            format!("cannot write {}", file.display()),
            error,
            "name a file in a directory that is yours, on a disk with room",
        )
    };
    if file.exists() {
        return Err(Error::usage(
            format!("{} exists already", file.display()),
            "an export overwrites nothing",
            "name another file, or remove this one",
        ));
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".unfinished");
    let unfinished = PathBuf::from(name);
    let written = runtime::start()?.block_on(async {
        let to = File::create(&unfinished).map_err(failed)?;
        let head = write(context, here, &to).await?;
        to.sync_all().map_err(failed)?;
        fs::rename(&unfinished, file).map_err(failed)?;
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = File::open(dir.unwrap_or(Path::new("."))).map_err(failed)?;
        dir.sync_all().map_err(failed)?;
        Ok(head)
    });
    if written.is_err() {
        // Half a file is of no use to anybody.
        let _ = fs::remove_file(&unfinished);
    }
    let head = written?;
    if context.out.is_json() {
        let json = serde_json::json!({
            "events": head.sequence, "hash": head.hash.to_string(), "file": file,
        });
        context.out.json(&json)?;
    } else if !context.out.quiet {
        let (events, hash, file) = (head.sequence, head.hash, file.display());
        context.out.line(format_args!(
            "wrote {events} events to {file}\n  head      {hash}"
        ))?;
    }
    Ok(ExitCode::Passing)
}

async fn write(context: &Context, here: &ProjectContext, to: &File) -> Result<Head, Error> {
    let failed = |error: crate::queue::Error| failures::of_log(&error);
    let source = here.source().await?;
    let mut portable = Portable::begin(to).map_err(failed)?;
    let take = &mut |item: Item<'_>, contents: &dyn Contents| {
        if let Item::Event(envelope) = item {
            portable.add(envelope, contents).map_err(failed)?;
        }
        Ok(ControlFlow::Continue(()))
    };
    source.read(Sequence(1), false, take).await?;
    say_source(context, &source);
    portable.end().map_err(failed)
}
