//! A run outlives its terminal, and can be watched again.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::kit::{RUN, await_agent, events, signal, succeeds, waiting};
use crate::real::{Project, clean, said, text, wait, wait_until};

fn run_log(project: &Project) -> String {
    let path = project.root.join(".git/crewlog/main/run.log");
    fs::read_to_string(path).unwrap_or_default()
}

/// Nothing that had begun was given up.
fn assert_undisturbed(project: &Project) {
    let events = events(project);
    for name in ["AttemptReleased", "AttemptLost", "FeatureFailed"] {
        assert!(!events.contains(name), "{name} in {events}");
    }
    assert!(events.contains("FeaturePassed"), "{events}");
}

/// A run in a terminal of its own, whose screen is the command's output.
fn in_terminal(project: &Project) -> Command {
    let run = project.command(&RUN);
    let line = std::iter::once(run.get_program()).chain(run.get_args());
    let line: Vec<String> = line.map(|it| format!("'{}'", it.display())).collect();
    let mut terminal = Command::new("script");
    clean(&mut terminal, &project.home());
    terminal
        .env("TMPDIR", project.tmp())
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .current_dir(&project.root)
        .args(["-q", "-e", "-c", &line.join(" "), "/dev/null"])
        .stdin(Stdio::piped())
        .process_group(0);
    terminal
}

/// The lines that are redrawn are gone when the run has ended, whatever ended it.
#[test]
fn no_redrawn_line_is_left_at_the_end() {
    for interrupted in [false, true] {
        let (project, go) = waiting();
        let mut terminal = in_terminal(&project);
        let terminal = terminal.stdout(Stdio::piped()).spawn().expect("script");
        await_agent(&project);
        if interrupted {
            let processes = project.processes();
            let ours = |line: &str| {
                line.contains("/scheduler") && line.contains(" run ") && !line.contains("-c ")
            };
            let run = processes.iter().find(|(_, line)| ours(line));
            signal(
                *run.unwrap_or_else(|| panic!("{processes:?}")).0,
                Signal::INT,
            );
        }
        fs::write(&go, "").expect("a file");
        let output = terminal.wait_with_output().expect("its end");
        let code = if interrupted { 130 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        let screen = text(&output.stdout);
        assert!(screen.contains("load "), "it was drawn: {screen:?}");
        // What is drawn is on lines that are cleared before anything else is written.
        let last = screen.rsplit("\u{1b}[2K").next().unwrap_or_default();
        assert!(last.contains("1 of 1 pass"), "{last:?}");
        assert!(!last.contains("load "), "a line is left: {last:?}");
        project.wait_for_silence();
    }
}

/// The terminal itself is gone, as after a lost connection, and all that is in it gets its signal.
#[test]
fn a_run_outlives_its_terminal() {
    let (project, go) = waiting();
    let mut terminal = in_terminal(&project);
    terminal.stdout(Stdio::null());
    let mut terminal = terminal.spawn().expect("script, of util-linux");
    await_agent(&project);
    terminal.kill().expect("a living terminal");
    terminal.wait().expect("its end");
    wait_until("the run has left its terminal", || {
        run_log(&project)
            .contains("the terminal has closed")
            .then_some(())
    });
    let status = succeeds(&project.scheduler(&["status"]));
    assert!(status.contains("running"), "{status}");
    fs::write(&go, "").expect("a file");
    project.wait_for_silence();
    let log = run_log(&project);
    assert!(log.contains("PASS") && log.contains("1 of 1 pass"), "{log}");
    assert!(!log.contains('\u{1b}'), "no terminal, no colours: {log}");
    assert_undisturbed(&project);
}

/// Output that goes elsewhere than to a terminal stays there.
#[test]
fn a_hangup_does_not_end_a_run_without_a_terminal() {
    let (project, go) = waiting();
    let mut command = project.command(&RUN);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let run = command.spawn().expect("the scheduler");
    await_agent(&project);
    // Its workers get the signal, too.
    for (pid, line) in project.processes() {
        if pid == run.id() || line.contains("--started-by-scheduler") {
            signal(pid, Signal::HUP);
            signal(pid, Signal::HUP);
        }
    }
    wait_until("the run has heard it", || {
        run_log(&project).is_empty().then_some(())
    });
    fs::write(&go, "").expect("a file");
    let output = run.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        text(&output.stdout).contains("1 of 1 pass"),
        "{}",
        said(&output)
    );
    assert_undisturbed(&project);
}

/// Starts a run in the background, and returns its process.
fn detached(project: &Project) -> u32 {
    let started = succeeds(&project.scheduler(&[&RUN[..], &["--detach"]].concat()));
    let log = started
        .lines()
        .find_map(|line| line.strip_prefix("its log"));
    let log = log.expect("a path").trim();
    assert!(fs::metadata(log).is_ok(), "{log}");
    let pid = started
        .split_once("(pid ")
        .and_then(|(_, rest)| rest.split_once(')'));
    let pid = pid.and_then(|(pid, _)| pid.parse().ok());
    pid.expect("a process id")
}

fn attach(project: &Project) -> Child {
    let mut command = project.command(&["attach"]);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.spawn().expect("the scheduler")
}

/// Waits until somebody is attached.
fn await_attached(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = crate::real::lines(child.stderr.take().expect("a pipe"), str::to_owned);
    let first = lines.recv().expect("a line");
    assert!(first.contains("attached to the run"), "{first}");
    lines.into_iter()
}

#[test]
fn a_run_in_the_background_is_attached_to_and_ends_with_its_exit_code() {
    for (told, code, words) in [("", 0, "1 of 1 pass"), ("fail", 3, "0 of 1 pass")] {
        let (project, go) = waiting();
        let pid = detached(&project);
        await_agent(&project);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
        let session = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split(' ').nth(4));
        assert_eq!(
            session,
            Some(pid.to_string().as_str()),
            "a session of its own"
        );
        // Ctrl-C ends the screen, and not the run.
        let mut first = attach(&project);
        let lines = await_attached(&mut first);
        signal(first.id(), Signal::INT);
        assert_eq!(wait(&mut first), Some(0));
        let last = lines.last().expect("a line");
        assert_eq!(last, "detached; the run continues");
        let mut second = attach(&project);
        let lines = await_attached(&mut second);
        fs::write(&go, told).expect("a file");
        let lines: Vec<String> = lines.collect();
        let output = second.wait_with_output().expect("its end");
        assert_eq!(output.status.code(), Some(code), "{lines:?}");
        assert!(text(&output.stdout).contains(words), "{}", said(&output));
        let outcome = if code == 0 { "PASS" } else { "FAIL" };
        assert!(lines.iter().any(|line| line.contains(outcome)), "{lines:?}");
        let log = run_log(&project);
        assert!(log.contains(words) && log.contains(outcome), "{log}");
        project.wait_for_silence();
        let none = project.scheduler(&["attach"]);
        assert_eq!(none.status.code(), Some(2), "{}", said(&none));
        assert!(said(&none).contains("no scheduler is running"));
    }
}

#[test]
fn whoever_is_attached_learns_of_every_other_end() {
    for (killed, code, words) in [
        (true, 1, "was killed"),
        (false, 130, "interrupted; `scheduler run` continues"),
    ] {
        let (project, _go) = waiting();
        let pid = detached(&project);
        await_agent(&project);
        let mut attached = attach(&project);
        let mut lines = await_attached(&mut attached);
        match killed {
            true => signal(pid, Signal::KILL),
            false => drop(succeeds(&project.scheduler(&["stop", "--now"]))),
        }
        let errors: Vec<String> = lines.by_ref().collect();
        let output = attached.wait_with_output().expect("its end");
        assert_eq!(output.status.code(), Some(code), "{errors:?}");
        let said = errors.join("\n") + &text(&output.stdout);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_run_that_cannot_start_in_the_background_says_why() {
    let (project, _go) = waiting();
    detached(&project);
    let arguments = [&RUN[..], &["--detach"]].concat();
    let held = project.scheduler(&arguments);
    assert_eq!(held.status.code(), Some(5), "{}", said(&held));
    assert!(said(&held).contains("error: "), "{}", said(&held));
    succeeds(&project.scheduler(&["stop", "--now"]));
    project.write(
        ".crewlog/config.toml",
        "[agent]\nprogram = \"no-such-agent\"\n",
    );
    let broken = project.scheduler(&arguments);
    assert_eq!(broken.status.code(), Some(2), "{}", said(&broken));
    assert!(said(&broken).contains("no-such-agent"), "{}", said(&broken));
    project.wait_for_silence();
}
