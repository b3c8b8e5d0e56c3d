//! Whole runs: what an agent does to the run, the project and the person's files, with the cage
//! that a worker builds when nobody asks for one.

use crate::real::Project;

/// Tries everything that once worked; what it prints is part of its work.
const AGENT: &str = r#"
tries() {
    echo evil > "$P/planted.txt"; echo evil > "$HOME/planted.txt"; echo evil >> "$P/.crewlog/config.toml"
    git -C "$P" config core.bare true; git -C "$P" update-ref refs/heads/main HEAD~0 && git -C "$P" tag planted
    echo evil > "$P/.git/packed-refs.lock"; cat "$P"/.git/crewlog/*/log/*
    for verb in "skip 1" pause "stop --now" "import --update weak.toml"; do "$S" -C "$P" $verb; done
    timeout 5 "$S" -C "$P" worker --kind coding --connect "$P"/.git/crewlog/*/socket
    cat "$HOME/.netrc"; echo evil > "$(dirname "$P")/planted.txt"
}
tries > tried.txt 2>&1
echo work > work.txt
"#;

fn project(more: &str) -> Project {
    let project = Project::new("");
    let config = format!(
        "[run]\nbranch = \"clean\"\nmax_attempts = 1\n\
         [agent]\ndriver = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", '''{AGENT}''']\n\
         env = {{ P = {:?}, S = {:?} }}\n{more}",
        project.root,
        env!("CARGO_BIN_EXE_scheduler"),
    );
    project.write(".crewlog/config.toml", &config);
    project.write(
        ".crewlog/features.toml",
        "[[feature]]\nid = 1\nname = \"one\"\nchecks = [\"test -s work.txt\"]\n",
    );
    std::fs::write(project.home().join(".netrc"), super::SECRET).expect("written");
    let imported = project.scheduler(&["import", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    project
}

fn planted(project: &Project) -> Vec<String> {
    let above = project.root.parent().expect("a parent");
    let mut found: Vec<String> = [
        project.root.join("planted.txt"),
        project.home().join("planted.txt"),
        above.join("planted.txt"),
        project.root.join(".git/packed-refs.lock"),
        project.root.join(".git/refs/tags/planted"),
    ]
    .iter()
    .filter(|path| path.exists())
    .map(|path| path.display().to_string())
    .collect();
    let config = std::fs::read_to_string(project.root.join(".crewlog/config.toml"));
    if config.expect("a config").ends_with("evil\n") {
        found.push("the config".to_owned());
    }
    let git = std::fs::read_to_string(project.root.join(".git/config"));
    if git.expect("a config").contains("bare = true") {
        found.push("core.bare".to_owned());
    }
    found
}

const RUN: [&str; 5] = ["run", "--workers", "coding=1", "--progress", "none"];

#[test]
fn an_agent_changes_nothing_of_its_run_and_its_person() {
    for more in ["", "[environment]\nisolation = \"subreaper\"\n"] {
        let project = project(more);
        let run = project.scheduler(&RUN);
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        assert_eq!(planted(&project), Vec::<String>::new(), "{more}");
        let tried = project.git(&["show", "crewlog/clean:tried.txt"]);
        assert!(!tried.contains(super::SECRET), "{more}{tried}");
        assert_eq!(project.git(&["show", "crewlog/clean:work.txt"]), "work\n");
        let status = project.scheduler(&["status", "--format", "json"]);
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(
            status.contains("passing") && !status.contains("skipped\":1"),
            "{status}"
        );
    }
}

#[test]
fn without_a_cage_which_one_must_ask_for_by_name_it_does() {
    let project = project("[environment]\nisolation = \"none\"\n");
    let run = project.scheduler(&RUN);
    assert!(
        planted(&project).len() >= 5,
        "{:?} {run:?}",
        planted(&project)
    );
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("environment.isolation"), "it is said: {said}");
}

#[test]
fn a_check_that_the_cage_stops_names_path_and_key() {
    let project = project("");
    let outside = tempfile::tempdir_in(super::kit::place()).expect("a directory");
    let made = outside.path().join("made-by-check");
    let backlog = format!(
        "[[feature]]\nid = 1\nname = \"one\"\nchecks = [\"echo x > {}\"]\n",
        made.display()
    );
    project.write(".crewlog/features.toml", &backlog);
    let imported = project.scheduler(&["import", "--update", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    let run = project.scheduler(&RUN);
    assert_ne!(run.status.code(), Some(0), "{run:?}");
    let why = project.scheduler(&["why", "1"]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    let key = format!("cage.write = [\"{}\"]", made.display());
    assert!(why.contains(&key), "{why}");
}

#[test]
fn an_agent_that_the_cage_stops_names_path_and_key_though_its_last_words_are_others() {
    let outside = tempfile::tempdir_in(super::kit::place()).expect("a directory");
    let made = outside.path().join("state");
    // Before its session, and during it.
    for driver in ["acp", "command"] {
        let project = project("");
        let config = format!(
            "[run]\nbranch = \"clean\"\nmax_attempts = 1\nworker_wait = \"1s\"\n\
             [agent]\ndriver = \"{driver}\"\nprogram = \"sh\"\n\
             args = [\"-c\", 'mkdir {} || echo some-runtime 1.3 >&2; exit 1']\n",
            made.display()
        );
        project.write(".crewlog/config.toml", &config);
        let run = project.scheduler(&RUN);
        assert_ne!(run.status.code(), Some(0), "{driver}: {run:?}");
        let log = project.scheduler(&["log"]);
        let log = String::from_utf8_lossy(&log.stdout).into_owned();
        let key = format!("cage.write = [\"{}\"]", made.display());
        assert!(log.contains(&key), "{driver}: {log}");
        assert!(log.contains("some-runtime 1.3"), "{driver}: {log}");
    }
}

#[test]
fn a_path_of_the_config_that_is_not_there_is_named() {
    let project = project("cage_write = [\"~/.some-agent\"]\n");
    let named = "cage_write: ~/.some-agent does not exist";
    let run = project.scheduler(&RUN);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains(named), "{said}");
    std::fs::create_dir(project.home().join(".some-agent")).expect("made");
    let run = project.scheduler(&RUN);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(!said.contains(named), "{said}");
}

#[test]
fn a_check_without_network_reaches_nobody() {
    let project = project("[checks]\nnetwork = \"none\"\n");
    let backlog =
        "[[feature]]\nid = 1\nname = \"one\"\nchecks = [\"test $(grep -c : /proc/net/dev) = 1\"]\n";
    project.write(".crewlog/features.toml", backlog);
    let imported = project.scheduler(&["import", "--update", ".crewlog/features.toml"]);
    assert!(imported.status.success(), "{imported:?}");
    let run = project.scheduler(&RUN);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
}

#[test]
fn the_doctor_says_whether_a_run_can_start_and_what_the_config_gives_away() {
    let project = project("[cage]\nwrite = [\"~/.ssh\", \"/\"]\n");
    let doctor = project.scheduler(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(0), "{said}");
    for word in [
        "Landlock",
        "git version",
        "attempts",
        "the whole machine",
        "private keys",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let inside = said.lines().filter(|line| line.contains("attempts"));
    let inside: Vec<&str> = inside
        .filter(|line| line.contains(".git/crewlog"))
        .collect();
    assert!(
        inside.is_empty(),
        "attempts work outside of the repository: {inside:?}"
    );
    let doctor = project.scheduler(&["doctor", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    assert_eq!(json["can_run"], true);

    let config = "[agent]\nprogram = \"no-such-agent\"\n";
    project.write(".crewlog/config.toml", config);
    let doctor = project.scheduler(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(2));
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        said.contains("no-such-agent") && said.contains("a run cannot start"),
        "{said}"
    );
}
