//! `scheduler repair`: rebuilds a damaged log from every event that can be verified.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::ProjectContext;
use crate::agent::transcript;
use crate::cli::Context;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages::{self, damage};
use crate::cli::project::Project;
use crate::cli::zone::utc;
use crate::cli::{failures, store};
use crate::model::ids::AttemptId;
use crate::queue::directory;
use crate::queue::repair::{self, Findings};
use crate::scheduler::load;
use crate::worker::spool;

/// Rebuild a damaged log from every event that can be verified. Shows what it would drop, and asks
/// first.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler repair          # show what a repair does; in a terminal, ask\n  scheduler repair --yes    # repair without asking\n\nNothing is deleted: the damaged log is kept next to the new one, in log.damaged-TIME. Features that passed in dropped events are worked on again; what is merged stays merged."
)]
pub struct Args {
    /// Repair without asking
    #[arg(long)]
    pub yes: bool,
}

/// Most repairs in the same second; more can only be a mistake.
const NAMESAKES_MAX: u32 = 100;

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let mut here = ProjectContext::find(context)?;
    // Before anything is created or moved: without a log, this command writes nothing.
    if !directory::exists(&here.project.log) {
        store::must_not_be_lost(&here.project)?;
        return Err(Error::usage(
            "there is nothing to repair",
            "this project has no log yet",
            "`scheduler import FILE` starts one",
        ));
    }
    here.project = here.project.settle()?;
    let project = &here.project;
    let failed = |error: crate::queue::Error| failures::of_log(&error);
    let findings = repair::examine(&project.log, &project.snapshots).map_err(failed)?;
    if findings.is_whole() {
        print_whole(context, &findings)?;
        return Ok(ExitCode::Passing);
    }
    if findings.has_all_events() {
        return texts(context, project, &findings, args.yes);
    }
    let beside = Beside::find(project, AttemptId(findings.head().sequence.0))?;
    let aside = aside(project)?;
    if !context.out.is_json() {
        let plan = pages::repair::Plan {
            findings: &findings,
            results: beside.results.len(),
            transcripts: beside.transcripts.len(),
            aside: &aside,
        };
        let page = pages::repair::plan(&plan, &context.out);
        context.out.bytes(page.as_bytes())?;
    }
    beside.nobody_works()?;
    if !args.yes && !asked(context)? {
        match context.out.is_json() {
            true => context.out.json(&json(&findings, &beside, &aside, false))?,
            false => context.out.line(pages::repair::UNCHANGED)?,
        }
        return Ok(ExitCode::LogDamaged);
    }
    beside.set_aside(&project.log)?;
    let json = json(&findings, &beside, &aside, true);
    let options = store::open_options(&here.config);
    let repaired = repair::repair(findings, &project.log, &project.snapshots, &aside, &options);
    let repaired = repaired.map_err(failed)?;
    prove(&here)?;
    if context.out.is_json() {
        context.out.json(&json)?;
    } else if !context.out.quiet {
        let page = pages::repair::repaired(&repaired, &aside, &context.out);
        context.out.bytes(page.as_bytes())?;
    }
    Ok(ExitCode::Passing)
}

/// Repairs a log in which only texts are damaged: moves those files away and leaves the log as it is.
fn texts(
    context: &Context,
    project: &Project,
    findings: &Findings,
    yes: bool,
) -> Result<ExitCode, Error> {
    let aside = aside(project)?;
    let out = &context.out;
    let json = |repaired: bool| {
        json!({
            "whole": false, "repaired": repaired, "kept": findings.head().sequence,
            "lost": damage::lost_json(&findings.lost), "damaged_log": aside,
        })
    };
    if !out.is_json() {
        let page = pages::repair::texts(findings, &aside, out);
        out.bytes(page.as_bytes())?;
    }
    let repaired = yes || asked(context)?;
    if repaired {
        let moved = repair::set_texts_aside(findings, &project.log, &aside);
        moved.map_err(|error| failures::of_log(&error))?;
    }
    if out.is_json() {
        out.json(&json(repaired))?;
    } else if repaired {
        out.line(pages::repair::TEXTS_MOVED)?;
    } else {
        out.line(pages::repair::UNCHANGED)?;
    }
    Ok(match repaired {
        true => ExitCode::Passing,
        false => ExitCode::LogDamaged,
    })
}

/// Opens and folds the new log, as the next scheduler will.
fn prove(here: &ProjectContext) -> Result<(), Error> {
    let log = store::open(&here.project, &here.config)?;
    load::load(&log, &here.project.snapshots).map_err(failures::of_scheduler)?;
    Ok(())
}

/// Path under which the damaged log is kept; nothing exists there yet.
fn aside(project: &Project) -> Result<PathBuf, Error> {
    let at = utc(store::now()).replace([':', '-'], "");
    let free = (1..NAMESAKES_MAX).find_map(|number| {
        let name = match number {
            1 => format!("log.damaged-{at}"),
            _ => format!("log.damaged-{at}-{number}"),
        };
        let path = project.data.join(name);
        (!path.exists()).then_some(path)
    });
    free.ok_or_else(|| {
        Error::internal(
            "cannot choose a name for the damaged log",
            format!("{NAMESAKES_MAX} logs were moved aside in this second"),
            "try again in a second",
        )
    })
}

/// Files of attempts that started after the last verified event. Their numbers will be used again
/// for other attempts, and an old result must not be taken for a new one.
struct Beside {
    results: Vec<PathBuf>,
    held: Vec<PathBuf>,
    transcripts: Vec<PathBuf>,
}

impl Beside {
    fn find(project: &Project, last: AttemptId) -> Result<Self, Error> {
        let failed = |error: spool::SpoolError| {
            Error::internal("cannot search for results of attempts", error, "")
        };
        let spooled = spool::after(&project.data, last).map_err(failed)?;
        let held = spooled.iter().filter(|(_, held)| *held);
        Ok(Self {
            held: held.map(|(path, _)| path.clone()).collect(),
            results: spooled.into_iter().map(|(path, _)| path).collect(),
            transcripts: transcripts(&project.transcripts, last),
        })
    }

    /// Fails while a living worker holds such an attempt: it would report under a number that then
    /// belongs to another attempt.
    fn nobody_works(&self) -> Result<(), Error> {
        let Some(path) = self.held.first() else {
            return Ok(());
        };
        Err(Error::new(
            ExitCode::LogHeld,
            "a worker is still running an attempt that the repair would drop",
            format!("it holds {}", path.display()),
            "stop that worker with Ctrl-C, then repair again; its work is kept under refs/crewlog/preserved",
        ))
    }

    /// Moves the files into the damaged log's directory, so that they are kept with it.
    fn set_aside(&self, log: &Path) -> Result<(), Error> {
        for (name, files) in [("spool", &self.results), ("transcripts", &self.transcripts)] {
            let dir = log.join(name);
            let moved = (!files.is_empty())
                .then(|| move_into(&dir, files))
                .transpose();
            moved.map_err(|error| {
                Error::internal(
                    format!("cannot move files to {}", dir.display()),
                    error,
                    "the log was not changed; fix this and repair again",
                )
            })?;
        }
        Ok(())
    }
}

fn transcripts(dir: &Path, last: AttemptId) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let of_later =
        |path: &PathBuf| transcript::attempt_of(path).is_some_and(|number| number > last.0);
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(of_later).collect()
}

fn move_into(dir: &Path, files: &[PathBuf]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for file in files {
        fs::rename(file, dir.join(file.file_name().unwrap_or_default()))?;
    }
    let from = files.first().and_then(|file| file.parent());
    for dir in [Some(dir), dir.parent(), from].into_iter().flatten() {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Asks whether to repair. False without a terminal.
fn asked(context: &Context) -> Result<bool, Error> {
    if context.out.is_json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    let mut answer = String::new();
    let mut stderr = io::stderr().lock();
    let read = write!(stderr, "repair the log? [y/N] ")
        .and_then(|()| stderr.flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| {
        Error::internal(
            "cannot ask for confirmation",
            error,
            "to repair without asking, use --yes",
        )
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The findings for programs.
fn json(findings: &Findings, beside: &Beside, aside: &Path, repaired: bool) -> serde_json::Value {
    json!({
        "whole": false,
        "repaired": repaired,
        "kept": findings.head().sequence,
        "first_bad": findings.bad.as_ref().map(|(sequence, _)| sequence),
        "why": damage::why(findings),
        "known": findings.known,
        "readable_after": findings.salvage.unlinked_events(),
        "damaged_log": aside,
        "snapshots_aside": findings.foreign_snapshots.len(),
        "results_aside": beside.results.len(),
        "transcripts_aside": beside.transcripts.len(),
        "lost": damage::lost_json(&findings.lost),
    })
}

fn print_whole(context: &Context, findings: &Findings) -> Result<(), Error> {
    if context.out.is_json() {
        let kept = findings.head().sequence;
        let json = json!({ "whole": true, "repaired": false, "kept": kept });
        return context.out.json(&json);
    }
    if context.out.quiet {
        return Ok(());
    }
    let page = pages::repair::whole(findings, &context.out);
    context.out.bytes(page.as_bytes())
}
