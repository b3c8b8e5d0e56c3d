//! `scheduler init`: the files that a project needs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::cli::Context;
use crate::cli::config::TEMPLATE;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;
use crate::cli::runtime;
use crate::workspace::Repository;

/// Nothing that exists is overwritten.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  cd my-repository && scheduler init")]
pub struct Args {}

/// The backlog that a new project starts from; every field of a feature is in it.
pub const SAMPLE: &str = include_str!("sample.toml");

const NEXT: &str = "name your agent in .crewlog/config.toml, edit features.toml, then: scheduler import features.toml";

/// Carries the verb out.
pub fn run(context: &Context, _args: &Args) -> Result<ExitCode, Error> {
    let project = Project::repository(context.global.project.as_deref())?;
    let own = project.root.join(".crewlog");
    std::fs::create_dir_all(&own).map_err(|error| failed(&own, &error))?;
    let files = [
        (
            ".crewlog/config.toml",
            TEMPLATE,
            "the rules of the run, explained",
        ),
        ("features.toml", SAMPLE, "a sample backlog"),
    ];
    let (mut wrote, mut kept) = (Vec::new(), Vec::new());
    for (name, content, about) in files {
        let path = project.root.join(name);
        match write_new(&path, content) {
            Ok(()) => wrote.push((name, about)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => kept.push(name),
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    let missing = missing(&project);
    if context.out.is_json() {
        let names: Vec<&str> = wrote.iter().map(|(name, _)| *name).collect();
        context.out.json(&serde_json::json!({
            "project": project.root.to_string_lossy(),
            "wrote": names, "kept": kept, "missing": missing, "next": NEXT,
        }))?;
        return Ok(ExitCode::Passing);
    }
    if !context.out.quiet {
        context
            .out
            .line(format_args!("project {}", project.root.display()))?;
        for (name, about) in wrote {
            context
                .out
                .line(format_args!("  wrote {name:<22} {about}"))?;
        }
        for name in kept {
            context
                .out
                .line(format_args!("  kept  {name:<22} it was there before"))?;
        }
        context.out.line(format_args!("next: {NEXT}"))?;
    }
    if let Some(missing) = missing {
        context.note(format_args!("before the first run: {missing}"));
    }
    Ok(ExitCode::Passing)
}

/// What the repository lacks for a run, in git's terms; said now, and not only by the first run.
fn missing(project: &Project) -> Option<String> {
    let check = async {
        let repository = Repository::discover(&project.root).await?;
        repository.check_commit().await
    };
    // Without a runtime nothing can be asked, and the run will say so.
    let result = runtime::start().ok()?.block_on(check);
    result.err().map(|error| error.to_string())
}

/// Writes a file that is not there yet: all of it or nothing, also after a power cut. Half a
/// config that is kept as "it was there before" would be worse than none.
fn write_new(path: &Path, content: &str) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let unfinished = path.with_added_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    let written = file.write_all(content.as_bytes());
    let synced = written.and_then(|()| file.sync_all());
    // Unlike renaming, linking replaces nothing.
    let linked = synced.and_then(|()| std::fs::hard_link(&unfinished, path));
    std::fs::remove_file(&unfinished)?;
    linked?;
    for dir in path.ancestors().skip(1).take(2) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::internal(
        format!("cannot write {}", path.display()),
        error,
        "check that the directory is yours and that its disk is neither full nor read-only",
    )
}
