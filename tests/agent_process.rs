//! Process trees with real processes: nothing survives its worker, whoever is killed and how.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crewlog::agent::process::{
    Isolation, ProcessError, Streams, Tree, TreeCommand, alive, become_subreaper, run_to_end, sweep,
};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(20);

/// A word that stands in the arguments of this test's processes and nowhere else: a fraction of
/// a second to sleep.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("300.{:07}{number:03}", std::process::id())
}

fn command(script: &str, token: &str, isolation: Isolation) -> TreeCommand {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    TreeCommand {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        cwd: std::env::temp_dir(),
        env: BTreeMap::from([("PATH".into(), path)]),
        token: token.to_owned(),
        own_executable: PathBuf::from(env!("CARGO_BIN_EXE_scheduler")),
        isolation,
        streams: Streams::Separate,
    }
}

/// Living processes with `word` among their arguments.
fn with_word(word: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).contains(word) {
            found.push(pid);
        }
    }
    found
}

/// Sleeping processes with `word` as their duration; guards and shells only quote it.
fn sleepers(word: &str) -> usize {
    with_word(word)
        .into_iter()
        .filter(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "sleep"
        })
        .count()
}

/// Waits until something is so; polls, because nobody tells when a foreign process is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no signal for the end of a process that is not our child"
)]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The ways of agents to leave something behind, and how many sleepers each makes.
fn escapes(word: &str) -> [(&'static str, String, usize); 5] {
    [
        (
            "setsid",
            format!("setsid sleep {word} & exec sleep {word}"),
            2,
        ),
        (
            "double fork",
            format!("(sh -c 'sleep {word} & sleep {word} &' &) ; exec sleep {word}"),
            3,
        ),
        (
            "no environment",
            format!("env -i setsid sleep {word} & exec sleep {word}"),
            2,
        ),
        (
            "orphans without environment",
            format!(
                "(env -i setsid sh -c 'setsid sleep {word} & sleep {word} &' &) ; exec sleep {word}"
            ),
            3,
        ),
        (
            STOPPED,
            format!("setsid sleep {word} & exec sleep {word}"),
            2,
        ),
    ]
}

/// The escape whose sleepers are stopped before the end comes.
const STOPPED: &str = "stopped";

/// Waits for the sleepers of an escape to be there, and stops them where it says so.
fn await_sleepers(name: &str, word: &str, count: usize) {
    until(name, || sleepers(word) == count);
    if name == STOPPED {
        for pid in with_word(word) {
            if std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|comm| comm == "sleep\n")
            {
                kill_process(pid_of(&pid.to_string()), Signal::STOP).expect("stop");
            }
        }
    }
}

/// A process that stands in for a worker: this test binary again, running `stand_in`.
struct StandIn {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl StandIn {
    fn start(script: &str, token: &str, isolation: Isolation, task: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("own executable"))
            .args(["--ignored", "--exact", "stand_in", "--nocapture"])
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
    fn read(&mut self, key: &str) -> String {
        let prefix = format!("{key}=");
        for line in self.lines.by_ref() {
            let line = line.expect("line");
            if let Some((_, value)) = line.split_once(&prefix) {
                return value.to_owned();
            }
        }
        panic!("the stand-in never said {key}");
    }

    fn pid(&self) -> Pid {
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
        println!("\nended={} left={}", ended.exit_code, ended.left);
    });
}

/// Kills through a handle that was opened while the process was known to live: a guard whose
/// worker dies ends by itself, and its pid may be somebody else's a moment later.
fn kill(process: &OwnedFd) {
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("cannot kill: {error}"),
    }
}

fn handle(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).expect("a living process")
}

fn pid_of(text: &str) -> Pid {
    Pid::from_raw(text.parse().expect("pid")).expect("pid")
}

#[tokio::test]
async fn killing_a_tree_leaves_nothing() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let word = unique();
        for (name, script, count) in escapes(&word) {
            let mut tree = Tree::spawn(command(&script, "t-kill", isolation))
                .await
                .expect("tree");
            await_sleepers(name, &word, count);
            let ended = tree.kill().await;
            assert_eq!(ended.left, 0, "{name} {isolation:?}");
            assert_eq!(with_word(&word), Vec::<u32>::new(), "{name} {isolation:?}");
            assert_eq!(tree.kill().await, ended, "killing again changes nothing");
        }
    }
}

#[tokio::test]
async fn dropping_a_tree_ends_it() {
    let word = unique();
    let tree = Tree::spawn(command(&format!("sleep {word}"), "t-drop", Isolation::Auto))
        .await
        .expect("tree");
    until("the sleeper", || sleepers(&word) == 1);
    drop(tree);
    until("the end", || with_word(&word).is_empty());
}

#[tokio::test]
async fn a_program_that_ends_takes_its_children_along() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let word = unique();
        let script = format!("env -i setsid sleep {word} & exit 7");
        let mut tree = Tree::spawn(command(&script, "t-exit", isolation))
            .await
            .expect("tree");
        let ended = tree.wait().await;
        assert_eq!((ended.exit_code, ended.left), (7, 0));
        assert_eq!(with_word(&word), Vec::<u32>::new(), "{isolation:?}");
    }
}

#[tokio::test]
async fn a_stopped_guard_does_not_stop_the_end() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let word = unique();
        let script = format!("setsid sleep {word} & exec sleep {word}");
        let mut tree = Tree::spawn(command(&script, "t-stop", isolation))
            .await
            .expect("tree");
        until("the sleepers", || sleepers(&word) == 2);
        let guard = pid_of(&tree.guard_pid().expect("guard").to_string());
        kill_process(guard, Signal::STOP).expect("stop");
        assert_eq!(tree.kill().await.left, 0);
        assert_eq!(with_word(&word), Vec::<u32>::new());
    }
}

/// Who is killed with -9.
const VICTIMS: [&str; 3] = ["worker", "guard", "worker and guard"];

#[test]
fn killing_worker_or_guard_or_both_leaves_nothing() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        for victim in VICTIMS {
            let word = unique();
            for (name, script, count) in escapes(&word) {
                let token = format!("t-{word}-a1");
                let mut worker = StandIn::start(&script, &token, isolation, "wait");
                let guard = handle(pid_of(&worker.read("guard")));
                let stand_in = handle(worker.pid());
                await_sleepers(name, &word, count);
                let what = format!("{name}, killed: {victim}, {isolation:?}");
                if victim.contains("worker") {
                    kill(&stand_in);
                }
                if victim.contains("guard") {
                    kill(&guard);
                }
                if victim == "guard" {
                    assert!(worker.read("ended").ends_with("left=0"), "{what}");
                    assert_eq!(with_word(&word), Vec::<u32>::new(), "{what}");
                }
                until(&what, || with_word(&word).is_empty());
            }
        }
    }
}

#[test]
fn a_sweep_finds_what_no_stage_could_end() {
    // Worker, guard and init die at once: without a namespace the program is an orphan.
    let word = unique();
    let token = format!("t-{word}-a1");
    let script = format!("setsid sleep {word} & exec sleep {word}");
    let mut worker = StandIn::start(&script, &token, Isolation::Subreaper, "wait");
    let guard = pid_of(&worker.read("guard"));
    until("the sleepers", || sleepers(&word) == 2);
    let stages = with_word("__init");
    let init = stages
        .into_iter()
        .find(|pid| with_word(&word).contains(pid))
        .expect("init");
    // Stopped first, so that none of them acts on the death of another.
    let all = [worker.pid(), guard, pid_of(&init.to_string())];
    let handles = all.map(handle);
    for process in &handles {
        pidfd_send_signal(process, Signal::STOP).expect("stop");
    }
    handles.iter().for_each(kill);
    until("the stages' end", || {
        with_word("__init").iter().all(|pid| *pid != init)
    });
    assert_eq!(sleepers(&word), 2, "nobody is left to end them");
    assert_eq!(alive(&token).len(), 2);
    assert_eq!(
        alive(&format!("t-{word}-a")),
        Vec::<u32>::new(),
        "a token is matched whole"
    );
    assert_eq!(
        sweep(&format!("t-{word}-b")),
        Vec::<u32>::new(),
        "another token is left alone"
    );
    assert_eq!(sweep(&format!("t-{word}-")).len(), 2);
    assert_eq!(with_word(&word), Vec::<u32>::new());
}

#[test]
fn a_terminal_interrupt_does_not_reach_the_agent() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let word = unique();
        let token = format!("t-{word}");
        let mut worker = StandIn::start(
            &format!("exec sleep {word}"),
            &token,
            isolation,
            "interrupt",
        );
        worker.read("guard");
        until("the sleeper", || sleepers(&word) == 1);
        kill_process_group(worker.pid(), Signal::INT).expect("interrupt");
        assert_eq!(worker.read("survived"), "true");
        worker.read("ended");
        until("the end", || with_word(&word).is_empty());
    }
}

#[tokio::test]
async fn commands_run_to_their_end() {
    let run = async |script: &str, isolation| {
        run_to_end(
            command(script, "t-run", isolation),
            LIMIT,
            4096,
            &CancellationToken::new(),
        )
        .await
        .expect("started")
    };
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let finished = run("echo out; echo err >&2; echo out; exit 3", isolation).await;
        assert_eq!(finished.exit_code, 3);
        assert_eq!(finished.output, "out\nerr\nout\n");
        assert!(!finished.timed_out);
        assert_eq!(run("kill -TERM $$", isolation).await.exit_code, 128 + 15);
        assert_eq!(run("kill -KILL $$", isolation).await.exit_code, 128 + 9);
        assert_eq!(
            run("cat", isolation).await.exit_code,
            0,
            "there is no input"
        );
        assert_eq!(
            run(
                "cat /proc/$$/environ | tr '\\0' '\\n' | grep -c CREWLOG_TREE=t-run",
                isolation
            )
            .await
            .output,
            "1\n"
        );
        let long = run("yes 0123456789 | head -c 1000000; echo end", isolation).await;
        assert!(
            long.output.len() < 5000 && long.output.ends_with("end\n"),
            "{}",
            long.output.len()
        );
        assert!(long.output.contains("bytes cut"));
    }
}

#[tokio::test]
async fn commands_are_ended_by_limit_and_by_cancelling() {
    let word = unique();
    let script = format!("echo begun; setsid sleep {word} & exec sleep {word}");
    let finished = run_to_end(
        command(&script, "t-limit", Isolation::Auto),
        Duration::from_millis(300),
        4096,
        &CancellationToken::new(),
    )
    .await
    .expect("started");
    assert!(
        finished.timed_out && finished.exit_code == 124,
        "{finished:?}"
    );
    assert_eq!(finished.output, "begun\n");
    assert_eq!(with_word(&word), Vec::<u32>::new());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let finished = run_to_end(
        command(&script, "t-limit", Isolation::Auto),
        LIMIT,
        4096,
        &cancel,
    )
    .await
    .expect("started");
    assert!(finished.cancelled && !finished.timed_out);
    assert_eq!(with_word(&word), Vec::<u32>::new());
}

#[tokio::test]
async fn what_cannot_be_started_is_named() {
    let cancel = CancellationToken::new();
    // Again and again: a guard that is left behind lives for a moment only.
    for _ in 0..20 {
        let mut missing = command("", "t-missing", Isolation::Auto);
        missing.program = "no-such-program-anywhere".into();
        let error = run_to_end(missing, LIMIT, 100, &cancel)
            .await
            .expect_err("no program");
        assert_eq!(alive("t-missing"), Vec::<u32>::new(), "a guard is left");
        assert!(matches!(error, ProcessError::Program { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("no-such-program-anywhere"), "{text}");
    }
    let mut nowhere = command("true", "t-missing", Isolation::Auto);
    nowhere.cwd = PathBuf::from("/no/such/directory");
    let error = run_to_end(nowhere, LIMIT, 100, &cancel)
        .await
        .expect_err("no directory");
    assert!(matches!(error, ProcessError::Guard { .. }), "{error}");
}

#[tokio::test]
async fn no_descriptor_of_the_worker_reaches_the_program() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    // As if whoever started the worker had left a socket open across exec.
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).expect("flags");
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let finished = run_to_end(
            command("exec ls -l /proc/self/fd", "t-fd", isolation),
            LIMIT,
            4096,
            &CancellationToken::new(),
        )
        .await
        .expect("started");
        assert_eq!(finished.exit_code, 0, "{finished:?}");
        assert!(!finished.output.contains("socket:"), "{}", finished.output);
    }
}
