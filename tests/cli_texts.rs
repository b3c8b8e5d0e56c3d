//! Texts of all sorts on their way in (encodings, line ends, mistyped keys) and out (control
//! characters of checks and agents).

mod real;

use std::fs;

use real::Project;

const CONFIG: &str = "[run]\nbranch = \"test\"\nmax_attempts = 1\n[agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", \"echo x >new.txt\"]\n";

/// Runs the verb; gives its exit code and all that it said.
fn said(project: &Project, args: &[&str]) -> (Option<i32>, String) {
    let output = project.scheduler(args);
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8(said).expect("UTF-8"),
    )
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn a_file_in_another_encoding_is_named_with_the_remedy() {
    let project = Project::new(CONFIG);
    let backlog = "[[feature]]\nname = \"größe\"\nchecks = \"true\"\n";
    let little = [vec![0xff, 0xfe], utf16(backlog, u16::to_le_bytes)].concat();
    let latin: Vec<u8> = backlog.chars().map(|c| c as u8).collect();
    let table: [(&str, Vec<u8>, &str, &str); 3] = [
        (
            "w.toml",
            little,
            "UTF-16 (little endian)",
            "iconv -f UTF-16LE -t UTF-8 w.toml",
        ),
        (
            "b.toml",
            utf16(backlog, u16::to_be_bytes),
            "UTF-16 (big endian)",
            "iconv -f UTF-16BE",
        ),
        (
            "l.toml",
            latin,
            "byte 0xF6 at line 2, column 11",
            "iconv -f WINDOWS-1252 -t UTF-8 l.toml",
        ),
    ];
    for (name, bytes, what, remedy) in table {
        fs::write(project.root.join(name), &bytes).expect("a file");
        let (code, words) = said(&project, &["import", name]);
        assert_eq!(code, Some(2), "{words}");
        assert!(words.contains(what) && words.contains(remedy), "{words}");
    }
    let windows = format!("\u{feff}{}", backlog.replace('\n', "\r\n"));
    project.write("good.toml", &windows);
    let (code, words) = said(&project, &["import", "good.toml"]);
    assert_eq!(code, Some(0), "{words}");

    // The same for the config and for a prompt template.
    project.write("mine.md", "");
    fs::write(project.root.join("mine.md"), b"a\nb caf\xe9\n").expect("a file");
    project.write(
        ".crewlog/config.toml",
        &format!("\u{feff}{CONFIG}[prompts]\ncoding = \"mine.md\"\n"),
    );
    let (code, words) = said(&project, &["run", "--workers", "coding=1"]);
    assert_eq!(code, Some(2), "{words}");
    for part in ["byte 0xE9 at line 2, column 6", "`prompts.coding`", "iconv"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let config = project.root.join(".crewlog/config.toml");
    fs::write(&config, utf16(CONFIG, u16::to_le_bytes)).expect("a file");
    let (code, words) = said(&project, &["status"]);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("UTF-16 (little endian)"), "{words}");
    assert!(
        words.contains("config.toml") && words.contains("iconv"),
        "{words}"
    );
}

#[test]
fn what_a_check_writes_is_shown_and_not_obeyed() {
    let project = Project::new(CONFIG);
    let check = r"printf 'one\r\ntwo\033[2J\007\033[31mred\033[0m\n'; exit 7";
    let backlog = serde_json::json!([{ "name": "f", "checks": [check] }]).to_string();
    project.write("backlog.json", &backlog);
    assert_eq!(said(&project, &["import", "backlog.json"]).0, Some(0));
    let (_, run) = said(&project, &["run", "--workers", "coding=1"]);
    let (_, why) = said(&project, &["why", "1"]);
    let hash = why
        .split(|c: char| !c.is_ascii_hexdigit())
        .find(|word| word.len() == 12)
        .unwrap_or_else(|| panic!("no output is named: {why}"));
    let (_, output) = said(&project, &["show", hash]);
    assert_eq!(output, "one^M\ntwo^[[2J^Gred\n");
    let (_, log) = said(&project, &["log"]);
    assert!(why.contains("one^M\n"), "{why}");
    assert!(why.contains("two^[[2J^Gred"), "{why}");
    for text in [run, why, log] {
        let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!text.contains(odd), "{text:?}");
    }
}

/// A project whose agent runs this shell command.
fn with_agent(command: &str, more: &str) -> Project {
    let program = serde_json::to_string(command).expect("JSON");
    let project = Project::new(&format!(
        "[run]\nbranch = \"test\"\nmax_attempts = 1\n[agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", {program}]\n{more}"
    ));
    project.write("backlog.json", r#"[{ "name": "f", "checks": "true" }]"#);
    assert_eq!(said(&project, &["import", "backlog.json"]).0, Some(0));
    project
}

/// The first attempt of the log.
fn attempt(project: &Project) -> Option<String> {
    let (_, why) = said(project, &["why", "1"]);
    let words = why.split(|c: char| !c.is_ascii_alphanumeric());
    let number = |word: &&str| {
        let digits = word.strip_prefix('a').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut words = words.filter(number);
    words.next().map(str::to_owned)
}

#[test]
fn an_agent_that_says_too_much_fills_no_disk() {
    let project = with_agent(
        "echo the-beginning; head -c 12000000 /dev/urandom | base64; echo the-end >&2; echo x >new.txt",
        "transcript_limit = \"1MiB\"\n",
    );
    let (code, run) = said(&project, &["run", "--workers", "coding=1"]);
    assert_eq!(code, Some(0), "{run}");
    let attempt = attempt(&project).expect("an attempt");
    let output = project.scheduler(&["show", &attempt, "--raw"]);
    let raw = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(raw.len() < (1 << 20) + 4_096, "{} bytes", raw.len());
    for words in ["the-beginning", "the-end", "are left out here"] {
        assert!(raw.contains(words), "{words}");
    }
    let shown = project.scheduler(&["show", &attempt, "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let file = std::path::Path::new(shown["transcript"].as_str().expect("a path"));
    let files = fs::read_dir(file.parent().expect("a directory")).expect("a directory");
    let bytes: u64 = files
        .map(|file| file.expect("a file").metadata().expect("a size").len())
        .sum();
    assert!(bytes < 1 << 20, "{bytes} bytes on the disk");
}

#[test]
fn a_session_can_be_read_while_it_runs() {
    let project = with_agent("echo thinking; exec sleep 1000", "");
    let mut run = project.start(&["run", "--workers", "coding=1"]);
    real::wait_until("the agent's words", || {
        let attempt = attempt(&project)?;
        said(&project, &["show", &attempt])
            .1
            .contains("thinking")
            .then_some(())
    });
    assert_eq!(said(&project, &["stop", "--now"]).0, Some(0));
    real::wait(&mut run);
}
