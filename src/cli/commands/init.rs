//! `scheduler init`: writes the files that a project needs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::cli::Context;
use crate::cli::commands::doctor::in_path;
use crate::cli::config::starter::{self, Choice};
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::project::Project;
use crate::cli::runtime;
use crate::workspace::Repository;

/// Set up this repository: write .crewlog/config.toml and a sample backlog. Existing files are kept.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  cd my-repository && scheduler init\n  scheduler init --agent codex\n  scheduler init --agent bin/my-agent\n\nExisting files are kept."
)]
pub struct Args {
    /// Agent for the config: claude, codex, gemini, opencode, or a program [default: the first of
    /// these that is in PATH]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
}

/// The sample backlog. It shows every field of a feature.
pub const SAMPLE: &str = include_str!("sample.toml");

const NEXT: &str = "describe features in features.toml, then run: scheduler import features.toml";

const NEXT_WITHOUT_AGENT: &str = "name your agent in .crewlog/config.toml, describe features in features.toml, then run: scheduler import features.toml";

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let project = Project::repository(context.global.project.as_deref())?;
    let own = project.root.join(".crewlog");
    std::fs::create_dir_all(&own).map_err(|error| failed(&own, &error))?;
    let (choice, others) = match &args.agent {
        Some(name) => (Choice::named(name), Vec::new()),
        None => Choice::found(|program| in_path(program).is_some()),
    };
    let config = starter::text(&choice, &others);
    let about = about(&choice);
    let files = [
        (".crewlog/config.toml", config.as_str(), about.as_str()),
        ("features.toml", SAMPLE, "a sample backlog"),
    ];
    let next = match choice {
        Choice::Nobody => NEXT_WITHOUT_AGENT,
        _ => NEXT,
    };
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
            "wrote": names, "kept": kept, "missing": missing, "next": next,
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
                .line(format_args!("  kept  {name:<22} already exists"))?;
        }
        context.out.line(format_args!("next: {next}"))?;
    }
    if let Some(missing) = missing {
        context.note(format_args!("before the first run: {missing}"));
    }
    Ok(ExitCode::Passing)
}

/// What the config says about the agent, in a few words.
fn about(choice: &Choice) -> String {
    match choice {
        Choice::Preset(name) => format!("the config, with the agent {name}"),
        Choice::Program(program) => {
            format!("the config, with the agent {program}: check its driver")
        }
        Choice::Nobody => "the config, without an agent: none is in PATH".to_owned(),
    }
}

/// What the repository still needs before a run, in git's words. `init` says it early; the first
/// run would fail with the same message.
fn missing(project: &Project) -> Option<String> {
    let check = async {
        let repository = Repository::discover(&project.root).await?;
        repository.check_commit().await
    };
    // Without a runtime git cannot be asked; the run reports the problem.
    let result = runtime::start().ok()?.block_on(check);
    result.err().map(|error| error.to_string())
}

/// Writes a file that does not exist yet: all of it or nothing, even after a power cut. Half a
/// config that the next `init` keeps as existing would be worse than none.
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
        "make sure that you can write to the directory, and that its disk is not full or read-only",
    )
}
