//! A worker that can be killed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crewlog::agent::process::{Isolation, Tree, become_subreaper};
use rustix::process::Pid;

use super::kit::command;

/// A process that stands in for a worker: this test binary again, running `stand_in`.
pub struct StandIn {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl StandIn {
    pub fn start(script: &str, token: &str, isolation: Isolation, task: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("own executable"))
            .args(["--ignored", "--exact", "stand_in::stand_in", "--nocapture"])
            .env("STAND_IN_SCRIPT", script)
            .env("STAND_IN_TOKEN", token)
            .env("STAND_IN_TASK", task)
            .env(
                "STAND_IN_PLAIN",
                if isolation == Isolation::Subreaper {
                    "1"
                } else {
                    "0"
                },
            )
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("stand-in");
        let lines = BufReader::new(process.stdout.take().expect("stdout")).lines();
        Self { process, lines }
    }

    /// The value after `key=` in the next line that has it.
    pub fn read(&mut self, key: &str) -> String {
        let prefix = format!("{key}=");
        for line in self.lines.by_ref() {
            let line = line.expect("line");
            if let Some((_, value)) = line.split_once(&prefix) {
                return value.to_owned();
            }
        }
        panic!("the stand-in never said {key}");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "not a test: the process that the other tests kill"]
fn stand_in() {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let task = var("STAND_IN_TASK");
    if task.is_empty() {
        return;
    }
    let isolation = match var("STAND_IN_PLAIN").as_str() {
        "1" => Isolation::Subreaper,
        _ => Isolation::Auto,
    };
    become_subreaper().expect("subreaper");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let mut interrupts =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
                .expect("handler");
        let token = var("STAND_IN_TOKEN");
        let mut tree = Tree::spawn(command(&var("STAND_IN_SCRIPT"), &token, isolation))
            .await
            .expect("tree");
        println!("\nguard={}", tree.guard_pid().expect("guard"));
        if task == "interrupt" {
            interrupts.recv().await;
            let ended = tokio::time::timeout(Duration::from_millis(300), tree.wait()).await;
            println!("\nsurvived={}", ended.is_err());
            tree.kill().await;
        }
        let ended = tree.wait().await;
        println!("\nended={} left={}", ended.end.code(), ended.left);
    });
}
