//! Puts the worker's own git into its attempt's process tree: a hanging filter ends with the
//! attempt, and git never outlives its worker.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use futures::future::BoxFuture;

use crate::agent::process::{
    self, Isolation, ProcessError, ProgramEnd, Streams, Tree, TreeCommand,
};
use crate::model::clip::clip;
use crate::workspace::launch::{Exit, Input, Launcher, Process, Program, Running};

/// Number of commands below a hanging git that an error names, and the bytes of each: enough to
/// recognise the filter.
const SHOWN: usize = 3;
const SHOWN_BYTES: usize = 200;

/// Starts programs as process trees of one attempt.
#[derive(Clone, Debug)]
pub(super) struct TreeLauncher {
    /// The attempt's marker.
    pub token: String,
    pub own_executable: PathBuf,
    pub isolation: Isolation,
}

impl Launcher for TreeLauncher {
    fn launch(&self, program: Program) -> BoxFuture<'_, io::Result<Running>> {
        Box::pin(async move {
            // A worker moves no branch, and so has no lock to pass on.
            let has_input = program.input == Input::Pipe;
            let command = TreeCommand {
                program: program.program,
                args: program.args,
                cwd: program.dir,
                env: program.env,
                token: self.token.clone(),
                own_executable: self.own_executable.clone(),
                isolation: self.isolation,
                streams: Streams::Separate,
                cage: None,
            };
            let mut tree = Tree::spawn(command).await.map_err(of_process)?;
            // Closing it is the end of the input.
            let stdin = tree.stdin.take().filter(|_| has_input);
            Ok(Running {
                stdin: stdin.map(|pipe| Box::new(pipe) as _),
                stdout: tree.stdout.take().map(|pipe| Box::new(pipe) as _),
                stderr: tree.stderr.take().map(|pipe| Box::new(pipe) as _),
                process: Box::new(InTree {
                    tree,
                    token: self.token.clone(),
                }),
            })
        })
    }
}

fn of_process(error: ProcessError) -> io::Error {
    match error {
        ProcessError::Guard { source, .. } => source,
        ProcessError::Program {
            errno: Some(libc::ENOENT),
            ..
        } => io::Error::new(ErrorKind::NotFound, error.to_string()),
        error => io::Error::other(error.to_string()),
    }
}

struct InTree {
    tree: Tree,
    token: String,
}

impl Process for InTree {
    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>> {
        Box::pin(async {
            Ok(match self.tree.wait().await.end {
                ProgramEnd::Signalled(signal) => Exit::Signal(signal),
                // In front of git may be a shell.
                ProgramEnd::Exited(code) => Exit::of_code(code),
            })
        })
    }

    fn end(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let ended = self.tree.kill().await;
            if ended.left > 0 {
                tracing::warn!(left = ended.left, "some processes cannot be ended");
            }
        })
    }

    fn running(&self) -> Vec<String> {
        let pids = process::alive(&self.token).into_iter();
        let commands = pids.filter_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let mut words: Vec<String> = line
                .split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            words.retain(|word| !word.is_empty());
            let ours = words
                .iter()
                .any(|word| word == "__guard" || word == "__init");
            (!ours && !words.is_empty()).then(|| words.join(" "))
        });
        let mut commands: Vec<String> = commands.collect();
        // git itself is named already; its children are of interest.
        commands.retain(|command| !command.contains("core.hooksPath=/dev/null"));
        for command in &mut commands {
            *command = clip(command, SHOWN_BYTES).to_owned();
        }
        commands.sort();
        commands.dedup();
        commands.truncate(SHOWN);
        commands
    }
}
