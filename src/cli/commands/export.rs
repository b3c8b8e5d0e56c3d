//! `scheduler export`: prints the log as JSON lines, or writes it to one portable file.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{ProjectContext, event_json, warn_about_source};
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

/// Print the log as JSON lines, one object per event.
///
/// With --portable, write the log's events to one checksummed file, for a backup or to move to
/// another machine or version. The file does not contain check outputs and transcripts.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler export > log.jsonl\n  scheduler export --portable backup.crewlog\n\nA portable log is one checksummed file, for a backup or to move to another machine or version. It does not contain the outputs of checks and the transcripts."
)]
pub struct Args {
    /// Write the log to this new file, for `scheduler import --portable`
    #[arg(long, value_name = "FILE")]
    pub portable: Option<PathBuf>,
}

/// Lines are collected up to this many bytes before they are written.
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
        warn_about_source(context, &source);
        context.out.bytes(lines.as_bytes())?;
        Ok(ExitCode::Passing)
    })
}

fn portable(context: &Context, here: &ProjectContext, file: &Path) -> Result<ExitCode, Error> {
    let failed = |error: std::io::Error| {
        Error::internal(
            format!("cannot write {}", file.display()),
            error,
            "choose a file in a directory that you can write to, on a disk with free space",
        )
    };
    if file.exists() {
        return Err(Error::usage(
            format!("{} exists already", file.display()),
            "an export does not overwrite files",
            "choose another name, or delete that file",
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
        // An incomplete export is useless.
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
    warn_about_source(context, &source);
    portable.end().map_err(failed)
}
