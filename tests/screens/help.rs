//! `--help` of both programs and of every verb.

use clap::{Command, CommandFactory};
use crewlog::cli::args::{Scheduler, Worker};
use crewlog::cli::output::Output;

use crate::kit::{self, Screen};

fn help(command: &mut Command, name: &str, out: &Output) -> Screen {
    let text = command.render_long_help();
    let text = match out.color {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    (format!("{name} --help"), text)
}

fn all(mut command: Command, out: &Output) -> Vec<Screen> {
    command = command.term_width(out.width.expect("a terminal").min(100));
    command.build();
    let name = command.get_name().to_owned();
    let mut screens = vec![help(&mut command, &name, out)];
    for verb in command.get_subcommands_mut() {
        let name = format!("{name} {}", verb.get_name());
        screens.push(help(verb, &name, out));
    }
    screens
}

#[test]
fn help_of_every_verb() {
    kit::check("help", |out| {
        let scheduler = all(Scheduler::command(), out);
        assert!(scheduler.len() > 20, "{} verbs", scheduler.len());
        [scheduler, all(Worker::command(), out)].concat()
    });
}
