//! `scheduler show aN`: what happened in an attempt, and what its agent did.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::Args;
use crate::agent::{record, transcript};
use crate::cli::Context;
use crate::cli::commands::{ProjectContext, warn_about_source};
use crate::cli::error::Error;
use crate::cli::pages;
use crate::cli::text::clean_lines;
use crate::cli::transcript::{Kind, LINE_BYTES_MAX, Piece, Reader};
use crate::model::event::Recorded;
use crate::model::ids::{AttemptId, Sequence};
use crate::model::settings::WorkerKind;
use crate::model::views::{AttemptFold, AttemptTimeline};
use crate::workspace::Repository;

/// Prints the attempt and its transcript.
pub async fn show(
    context: &Context,
    here: &ProjectContext,
    id: AttemptId,
    args: &Args,
) -> Result<(), Error> {
    let timeline = timeline(context, here, id).await?;
    let base = here.project.transcripts.join(id.0.to_string());
    let opened = |found: io::Result<Option<(transcript::Reader, PathBuf)>>| match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map_err(|error| unreadable(&base, &error)),
    };
    let raw = opened(transcript::open(&base))?;
    let record = opened(record::read(&base))?;
    let path_of = |found: &Option<(transcript::Reader, PathBuf)>| {
        let path = found.as_ref().map(|(_, path)| path);
        path.map(|path| path.to_string_lossy().into_owned())
    };
    let paths = (path_of(&raw), path_of(&record));
    // A session of an older version has no record.
    let found = match args.raw {
        true => raw,
        false => record.or(raw),
    };
    let (file, path) = match found {
        Some((reader, path)) => (Some(reader), path),
        None => (None, base.clone()),
    };
    if args.raw || args.prompt {
        let file = file.ok_or_else(|| none(&timeline, &path))?;
        return match args.raw {
            true => copy(context, file, &path),
            false => prompt(context, file, &path),
        };
    }
    let preserved = match Repository::discover(&here.project.root).await {
        // Where the work is kept is only a hint; without it, the rest is still shown.
        Ok(repository) => repository.preserved(id).await.ok().flatten(),
        Err(_) => None,
    };
    if context.out.is_json() {
        return context.out.json(&serde_json::json!({
            "attempt": timeline, "transcript": paths.0, "record": paths.1, "preserved": preserved,
        }));
    }
    let page = pages::attempt::page(&timeline, preserved.as_deref(), &context.out);
    context.out.bytes(page.as_bytes())?;
    match file {
        Some(file) => session(context, file, &path),
        None => context.out.line(none(&timeline, &path).why),
    }
}

async fn timeline(
    context: &Context,
    here: &ProjectContext,
    id: AttemptId,
) -> Result<AttemptTimeline, Error> {
    let source = here.source().await?;
    let mut fold = AttemptFold::new(id);
    let each = &mut |recorded: Recorded| {
        fold.event(&recorded);
        Ok(ControlFlow::Continue(()))
    };
    source.events(Sequence(1), each).await?;
    warn_about_source(context, &source);
    fold.answer().ok_or_else(|| {
        Error::usage(
            format!("cannot show attempt {id}"),
            "the log has no such attempt",
            "`scheduler why N` lists the attempts of a feature",
        )
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::internal(
        "cannot read the transcript",
        format!("{}: {error}", path.display()),
        "make sure that you can read the file",
    )
}

/// The error that says why an attempt has no transcript.
fn none(timeline: &AttemptTimeline, path: &Path) -> Error {
    let why = match timeline.kind {
        WorkerKind::Testing => {
            "no agent took part: the attempt only ran the feature's checks".to_owned()
        }
        WorkerKind::Coding => format!(
            "there is no transcript {}: the session never started, or the file was deleted",
            path.display()
        ),
    };
    let next = format!(
        "`scheduler show {}` shows what the log has about the attempt",
        timeline.attempt
    );
    Error::usage(
        format!("cannot show the session of attempt {}", timeline.attempt),
        why,
        next,
    )
}

/// Prints the transcript's rows as they are stored.
fn copy(context: &Context, mut file: transcript::Reader, path: &Path) -> Result<(), Error> {
    loop {
        let row = file.row(u64::MAX);
        let Some(mut row) = row.map_err(|error| unreadable(path, &error))? else {
            return Ok(());
        };
        row.push(b'\n');
        context.out.bytes(&row)?;
    }
}

/// Calls `each` with every piece of the transcript, in order.
fn pieces(
    mut file: transcript::Reader,
    path: &Path,
    each: &mut dyn FnMut(Piece) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = Reader::default();
    loop {
        let row = file.row(LINE_BYTES_MAX as u64);
        let Some(line) = row.map_err(|error| unreadable(path, &error))? else {
            break;
        };
        for piece in reader.line(&String::from_utf8_lossy(&line)) {
            each(piece)?;
        }
    }
    reader.end().map_or(Ok(()), each)
}

/// Prints only the prompt.
fn prompt(context: &Context, file: transcript::Reader, path: &Path) -> Result<(), Error> {
    pieces(file, path, &mut |piece| match piece.kind {
        Kind::Prompt => context.out.line(clean_lines(&piece.text).trim_end()),
        _ => Ok(()),
    })
}

fn session(context: &Context, file: transcript::Reader, path: &Path) -> Result<(), Error> {
    pieces(file, path, &mut |piece| {
        let lines = pages::attempt::piece(&piece, &context.out);
        context.out.bytes(lines.as_bytes())
    })
}
