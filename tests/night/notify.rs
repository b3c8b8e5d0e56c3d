//! Notices to a real program and a real web server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::kit::{RUN, config, project, succeeds};
use crate::real::{Project, said, wait, wait_until};

/// One feature passes, one asks, and one fails for good.
const MIXED: &str = r#"
case "$CREWLOG_FEATURE" in
1) printf 'x\n' > f1.txt ;;
2) echo '{"feature": 2, "verdict": "input", "question": "TOML or YAML?"}' > "$CREWLOG_VERDICT" ;;
3) echo half > work.txt ;;
esac
"#;

/// Appends each notice to a file in the home directory.
const TELLS: &str = r#"cat >> "$HOME/told"; echo "$CREWLOG_NOTICE" >> "$HOME/kinds""#;

fn notified(notify: &str) -> Project {
    project(MIXED, &format!("[notify]\n{notify}\n"), 3)
}

fn home(project: &Project, name: &str) -> String {
    fs::read_to_string(project.home().join(name)).unwrap_or_default()
}

fn told(project: &Project) -> Vec<Value> {
    let lines = home(project, "told");
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

fn kinds(notices: &[Value]) -> Vec<&str> {
    notices
        .iter()
        .filter_map(|it| it["kind"].as_str())
        .collect()
}

#[test]
fn a_program_is_told_once_of_everything() {
    let project = notified(&format!("command = '''{TELLS}'''"));
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let notices = told(&project);
    assert_eq!(kinds(&notices), ["question", "parked", "end"]);
    assert_eq!(home(&project, "kinds"), "question\nparked\nend\n");
    assert_eq!(notices[0]["text"], "TOML or YAML?");
    assert_eq!(notices[0]["next"], "scheduler answer 2 TEXT");
    assert_eq!(notices[1]["feature"], 3);
    assert_eq!(notices[2]["end"]["exit_code"], 3);
    assert_eq!(notices[2]["end"]["passed"], 1);
    // Another run tells only how it ends.
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    assert_eq!(kinds(&told(&project)), ["question", "parked", "end", "end"]);
    // What the person does not want to hear is not told.
    let quiet = format!("[notify]\nevents = []\ncommand = '''{TELLS}'''\n");
    project.write(".crewlog/config.toml", &config(MIXED, &quiet));
    project.scheduler(&RUN);
    assert_eq!(told(&project).len(), 4);
}

/// A program that fails is tried again, also after the scheduler was killed; nothing is told twice.
#[test]
fn what_was_not_told_is_told_after_a_restart() {
    let command =
        format!("test -f \"$HOME/up\" || {{ echo down >> \"$HOME/tries\"; exit 1; }}; {TELLS}");
    let project = notified(&format!("command = '''{command}'''"));
    let mut run = project.start(&[&RUN[..], &["--stay"]].concat());
    wait_until("the first try has failed, and the next waits", || {
        let known = project.root.join(".git/crewlog/main/notified-command.json");
        let known = fs::read_to_string(known).unwrap_or_default();
        let failed = known.contains("\"trying\":null") && home(&project, "tries").contains("down");
        failed.then_some(())
    });
    crate::kit::signal(run.id(), Signal::KILL);
    wait(&mut run);
    fs::write(project.home().join("up"), "").expect("a file");
    for _ in 0..2 {
        project.scheduler(&RUN);
    }
    let notices = told(&project);
    let mut told: Vec<&str> = kinds(&notices);
    told.sort_unstable();
    assert_eq!(told, ["end", "end", "parked", "question"], "{notices:?}");
}

/// A request as the server got it.
struct Request {
    head: String,
    body: Value,
}

/// Serves on a free port; `answer` gets the number of each request, from 0.
fn serve(answer: fn(usize, TcpStream)) -> (String, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { return };
            let Some(request) = read(&stream) else {
                continue;
            };
            answer(number, stream);
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/hook/s3cret-path"), receiver)
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length?];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).ok()?;
    Some(Request { head, body })
}

fn respond(mut stream: &TcpStream, status: &str) {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("a connection");
}

#[test]
fn a_web_address_is_told_and_its_failures_are_retried() {
    let (address, requests) = serve(|number, stream| match number {
        0 => respond(&stream, "503 Service Unavailable"),
        _ => respond(&stream, "204 No Content"),
    });
    let project = notified("webhook = \"$HOOK\"");
    let missing = project.scheduler(&RUN);
    assert_eq!(missing.status.code(), Some(2), "{}", said(&missing));
    assert!(
        said(&missing).contains("$HOOK is not set"),
        "{}",
        said(&missing)
    );
    let run = project.command(&RUN).env("HOOK", &address).output();
    let run = run.expect("the scheduler");
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let requests: Vec<Request> = requests.try_iter().collect();
    let bodies: Vec<Value> = requests.iter().map(|it| it.body.clone()).collect();
    assert_eq!(kinds(&bodies), ["question", "question", "parked", "end"]);
    assert_eq!(bodies[0]["id"], bodies[1]["id"], "the same notice again");
    assert!(
        requests[0]
            .head
            .starts_with("POST /hook/s3cret-path HTTP/1.1")
    );
    let head = requests[0].head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/json"), "{head}");
    // An address is a secret.
    let everything = succeeds(&project.scheduler(&["export"])) + &said(&run);
    assert!(!everything.contains("s3cret-path"));
}

/// Nobody answers: the run goes on meanwhile, and ends soon.
#[test]
fn hanging_targets_delay_nothing() {
    let (address, _requests) = serve(|_, stream| std::mem::forget(stream));
    let notify = format!("command = \"sleep 300\"\nwebhook = {address:?}");
    let project = notified(&notify);
    let begun = Instant::now();
    let run = project.scheduler(&[&RUN[..], &["--format", "json"]].concat());
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let told = crate::kit::json(&run);
    let ran = Duration::from_millis(told["report"]["wall_ms"].as_u64().expect("a time"));
    let end = begun.elapsed().saturating_sub(ran);
    // Ten seconds for everything, one to give up, and a busy machine.
    assert!(end < Duration::from_secs(40), "{end:?} after {ran:?}");
    project.wait_for_silence();
}

#[test]
fn a_wrong_address_is_refused_without_being_quoted() {
    let project =
        Project::new("[agent]\n[notify]\nwebhook = \"htps://example.invalid/s3cret-path\"\n");
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
    assert!(said(&run).contains("notify.webhook"), "{}", said(&run));
    assert!(!said(&run).contains("s3cret-path"), "{}", said(&run));
}
