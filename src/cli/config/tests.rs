use super::*;
use crate::worker::config::Driver;

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("config.toml"), "here".to_owned())
}

#[test]
fn the_template_is_the_default() {
    let template = parse(TEMPLATE).expect("the template is a good config");
    assert_eq!(template.file, File::default());
    assert_eq!(template.settings(), Settings::default());
}

#[test]
fn the_template_mentions_every_key() {
    let template = parse(TEMPLATE).expect("the template is a good config");
    // The section of earlier versions is read, but not advertised.
    let advertised = |key: &str| !key.starts_with("agent.");
    for (key, _) in keys::flatten(&File::default()) {
        let origin = template.origin(&key);
        assert!(
            matches!(origin, Origin::File(_)) || !advertised(&key),
            "{key} is missing"
        );
    }
    // The section of an agent is there too, as a comment.
    let mut uncommented = String::new();
    let mut inside = false;
    for line in TEMPLATE.lines() {
        inside = match line.starts_with('[') || line.starts_with("#[") {
            true => line == "#[agents.claude]",
            false => inside,
        };
        let key = line.strip_prefix('#').filter(|key| !key.starts_with(' '));
        uncommented.push_str(key.filter(|_| inside).unwrap_or(line));
        uncommented.push('\n');
    }
    let uncommented = uncommented.replace("program = \"\"", "program = \"x\"");
    let config = parse(&uncommented).expect("the commented section is good too");
    for (key, _) in keys::flatten(&config.file) {
        let there = matches!(config.origin(&key), Origin::File(_));
        assert!(there || !advertised(&key), "{key:?} is missing");
    }
    let (name, agent) = config.file.agents.first_key_value().expect("an agent");
    let expected = AgentConfig {
        program: "x".to_owned(),
        ..AgentConfig::default()
    };
    assert_eq!((name.as_str(), agent), ("claude", &expected));
}

#[test]
fn naming_a_known_agent_is_enough_and_orders_are_checked() {
    let worker = |text: &str| {
        let config = parse(text).expect(text);
        config.worker(&Project::at(Path::new("/p"))).expect(text)
    };
    let one = worker("agents.claude = { preset = \"claude\" }");
    assert_eq!(one.jobs.to_string(), "coding: claude; testing: claude");
    let (_, claude) = one.used_agents().next().expect("an agent");
    assert_eq!(
        (claude.program(), claude.driver),
        ("claude", Driver::Claude)
    );
    let several = worker(
        r#"
        [agents.fast]
        preset = "gemini"
        model = "flash"
        env.X = "1"
        [agents.codex]
        preset = "codex"
        pass_env = ["MY_KEY"]
        [agents.unused]
        preset = "opencode"
        [jobs]
        coding = ["fast", "codex"]
        testing = ["codex"]
        "#,
    );
    let words = "coding: fast, then codex; testing: codex";
    assert_eq!(several.jobs.to_string(), words);
    let used: Vec<_> = several.used_agents().collect();
    assert_eq!(used.len(), 2);
    let (fast, codex) = (used[0].1, used[1].1);
    assert_eq!(
        (fast.model.as_str(), fast.args[0].as_str()),
        ("flash", "--acp")
    );
    assert!(fast.env.contains_key("X") && fast.env.contains_key("GEMINI_CLI_NO_RELAUNCH"));
    assert_eq!(codex.pass_env, ["MY_KEY"]);
    let table = [
        (
            "agents.a = { }",
            "agents.a.program: set a program or a preset",
        ),
        (
            "agents.a = { preset = \"clod\" }",
            ":1: agents.a.preset: \"clod\" is not one of claude, codex, gemini, opencode",
        ),
        (
            "agents.\"a b\" = { preset = \"codex\" }",
            ":1: agents.a b: choose a name of letters",
        ),
        ("agents.agent = { preset = \"codex\" }", "and not `agent`"),
        (
            "agents.a = { preset = \"codex\" }\nagents.b = { preset = \"claude\" }",
            "jobs.coding: there are several agents; name them, the preferred one first",
        ),
        (
            "agents.claude = { preset = \"claude\" }\njobs.coding = [\"clade\"]",
            ":2: jobs.coding: there is no agent \"clade\"; did you mean \"claude\"?",
        ),
        (
            "agents.x = { preset = \"claude\" }\njobs.testing = [\"x\", \"x\"]",
            ":2: jobs.testing: \"x\" is there twice",
        ),
        (
            "jobs.coding = [\"claude\"]",
            ":1: jobs.coding: write a section [agents.claude]",
        ),
        (
            "agent.program = \"a\"\nagents.x = { preset = \"claude\" }",
            ":1: agent: is the section of earlier versions",
        ),
        (
            "agents.x = { prest = \"claude\" }",
            "unknown key `agents.x.prest`",
        ),
    ];
    for (text, why) in table {
        let error = parse(text).expect_err(text);
        assert!(error.why.contains(why), "{text:?}: {error}");
    }
}

#[test]
fn configs_of_earlier_versions_are_read_with_a_note() {
    let old = parse("[agent]\nprogram = \"x\"\n[agent.testing]\nprogram = \"y\"").expect("old");
    assert!(
        old.outdated()
            .is_some_and(|note| note.contains("[agents.NAME]"))
    );
    let words = "coding: agent; testing: agent.testing";
    assert_eq!(old.profiles().to_string(), words);
    assert_eq!(parse(TEMPLATE).expect("a template").outdated(), None);
}

#[test]
fn values_arrive_where_they_are_used() {
    let config = parse(
        r#"
        run = { branch = "next", idle_limit = "1h 30m", budget_usd = 2.5, retry_backoff_max = "250ms" }
        workers.orphan_limit = "3s"
        [agent]
        program = "opencode"
        args = ["acp"]
        env.OPENCODE_CONFIG = "x"
        [agent.testing]
        driver = "command"
        program = "judge"
        [hooks]
        time_limit = "5s"
        [prompts]
        coding = "ours.md"
        [environment]
        isolation = "subreaper"
        "#,
    )
    .expect("a good config");
    let settings = config.settings();
    assert_eq!(settings.idle_limit_ms, 5_400_000);
    assert_eq!(settings.budget_microusd, 2_500_000);
    assert_eq!(settings.retry_backoff_ms_max, 250);
    assert_eq!(config.branch(), "crewlog/next");
    let project = Project::at(Path::new("/p"));
    let worker = config.worker(&project).expect("a good worker");
    let agent = |name: &str| worker.agents.get(&name.into()).expect("an agent");
    assert_eq!(agent("agent").program, "opencode");
    assert_eq!(
        agent("agent")
            .env
            .get("OPENCODE_CONFIG")
            .map(String::as_str),
        Some("x")
    );
    assert_eq!(agent("agent.testing").program, "judge");
    assert_eq!(worker.hooks.limit_ms, 5_000);
    assert_eq!(worker.orphan_limit_ms, 3_000);
    assert_eq!(worker.prompts.coding.as_deref(), Some(Path::new("ours.md")));
    assert_eq!(
        worker.places.socket,
        Path::new("/p/.git/crewlog/main/socket")
    );
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let table = [
        (
            "[run]\nidle_limt = \"1s\"",
            ":2: unknown key `run.idle_limt`",
            "`run.idle_limit`?",
        ),
        (
            "\nidle_limit = \"1s\"",
            ":2: unknown key `idle_limit`",
            "`run.idle_limit`?",
        ),
        ("[runn]\nx = 1", ":1: unknown key `runn`", "`run`?"),
        (
            "[agent.tsting]",
            ":1: unknown key `agent.tsting`",
            "`agent.testing`?",
        ),
        (
            "[hooks]\nbefore_everything = \"\"",
            "`hooks.before_everything`",
            "after_create, after_run, before_remove",
        ),
        (
            "zebra = 1",
            ":1: unknown key `zebra`",
            "agent, agents, cage, checks, environment, hooks",
        ),
        (
            "[run]\nworker = \"1m\"",
            "`run.worker`",
            "`run.worker_wait`?",
        ),
        (
            "[run]\nidel_limit = \"1m\"",
            "`run.idel_limit`",
            "`run.idle_limit`?",
        ),
        (
            "[run]\nmaxAttempts = 1",
            "`run.maxAttempts`",
            "`run.max_attempts`?",
        ),
        (
            "[run]\ncoding = 1",
            "`run.coding`",
            "`prompts.coding` or `workers.coding`?",
        ),
        ("[env]\nCI = \"1\"", "`env`", "`environment`?"),
        ("budget = 1", "`budget`", "`run.budget_usd`?"),
        // Other words, not slips of the keyboard.
        (
            "[run]\nlog = 1",
            "`run.log`",
            "valid keys here: attempts_dir, batch_size, branch",
        ),
        ("foo = 1", "`foo`", "valid keys here: agent"),
        ("[agnet]", "`agnet`", "`agent`?"),
        (
            "[agent]\nargs = \"x\"",
            ":2: agent.args: invalid type: text \"x\", expected a list",
            "",
        ),
        (
            "[agent]\nenv = []",
            ":2: agent.env: invalid type: sequence, expected a table",
            "",
        ),
        (
            "[agent]\nargs = [\n \"x\",\n 7]",
            ":4: agent.args: invalid type: integer `7`, expected text in quotes",
            "",
        ),
        (
            "[run]\ntest_with_agent = 1",
            "run.test_with_agent: invalid type: integer `1`, expected true or false",
            "",
        ),
        ("run = 7", ":1: `run` is a section", "[run]"),
        (
            "[run]\nidle_limit = 10",
            ":2: run.idle_limit: invalid type: integer `10`, expected a duration, for example",
            "",
        ),
        (
            "[run]\n\nidle_limit = \"10 minits\"",
            ":3: run.idle_limit: \"10 minits\" is not a duration",
            "",
        ),
        (
            "[run]\nidle_limit = \"50ms\"",
            ":2: run.idle_limit = 50ms: must be 100ms to 1day",
            "",
        ),
        (
            "[run]\nbatch_size = 0",
            ":2: run.batch_size = 0: must be 1 to 50",
            "",
        ),
        (
            "[run]\nmax_attempts = -1",
            ":2: run.max_attempts: invalid value: integer `-1`, expected a whole number from 0",
            "",
        ),
        (
            "[run]\nbudget_usd = -1",
            ":2: run.budget_usd: -1 is not an amount",
            "",
        ),
        (
            "[run]\nbranch = \"a b\"",
            ":2: run.branch = \"a b\": a branch name must not contain spaces",
            "",
        ),
        ("[run]\nbranch = \"a.lock\"", ":2: run.branch", ""),
        ("[run]\nbranch = \"-a\"", ":2: run.branch", ""),
        (
            "[workers]\ncoding = 1001",
            ":2: workers.coding = 1001: must be 0 to 1000",
            "",
        ),
        (
            "[agent]\ndriver = \"telepathy\"",
            ":2: agent.driver: unknown variant `telepathy`, expected one of `acp`, `claude`, `codex`, `command`",
            "",
        ),
        (
            "[agent.testing]\nargs = []",
            "agent.testing.program: not set",
            "",
        ),
        (
            "[ports]\nbase = 80",
            ":2: ports: `base` must be at least 1024",
            "",
        ),
        ("[hooks]\ntime_limit = \"1ms\"", ":2: hooks.time_limit", ""),
        ("[run]\nx", ":2: ", ""),
        ("[run]\ntesting = 1\ntesting = 2", ":3: duplicate key", ""),
    ];
    for (text, why, next) in table {
        let error = parse(text).expect_err(text);
        assert!(error.why.contains(why), "{text:?}: {error}");
        assert!(error.why.starts_with("config.toml"), "{text:?}: {error}");
        assert!(error.next.contains(next), "{text:?}: {error}");
        assert_eq!(error.code, crate::cli::exit::ExitCode::Usage);
    }
}

#[test]
fn every_value_knows_where_it_came_from() {
    let mut config = parse("[run]\n\nidle_limit = \"60s\"\n[workers]\ncoding = 7").expect("good");
    let counts = |coding, testing| WorkerCounts { coding, testing };
    assert_eq!(config.set_worker_counts(counts(2, 0)), None);
    let entries = config.entries();
    let find = |key: &str| {
        let found = entries.iter().find(|entry| entry.key == key);
        found.map(|entry| (entry.value.as_str(), entry.origin))
    };
    assert_eq!(find("run.idle_limit"), Some(("\"1m\"", Origin::File(3))));
    assert_eq!(find("run.testing"), Some(("1", Origin::Default)));
    assert_eq!(find("run.branch"), Some(("\"here\"", Origin::Default)));
    assert_eq!(
        find("workers.coding"),
        Some(("2", Origin::Flag("--workers")))
    );
}

#[test]
fn what_is_asked_for_on_the_command_line_is_what_runs() {
    let counts = |coding, testing| WorkerCounts { coding, testing };
    let table = [
        ("", counts(3, 1), (3, 1), None),
        ("", counts(0, 0), (3, 1), None),
        (
            "",
            counts(5, 3),
            (5, 3),
            Some(
                "--workers: run.max_concurrency is 5 instead of 3 and run.testing is 3 instead of 1 for this run",
            ),
        ),
        (
            "[run]\ntesting = 0\nmax_concurrency = 9",
            counts(5, 1),
            (9, 1),
            Some("--workers: run.testing is 1 instead of 0 for this run"),
        ),
    ];
    for (text, asked, (coding, testing), said) in table {
        let mut config = parse(text).expect("good");
        assert_eq!(config.set_worker_counts(asked).as_deref(), said, "{text}");
        let settings = config.settings();
        assert_eq!(
            (settings.max_concurrency, settings.testing),
            (coding, testing)
        );
        let crew = config.worker_counts();
        assert_eq!((crew.coding, crew.testing), (asked.coding, asked.testing));
    }
}

#[test]
fn only_a_worker_needs_an_agent() {
    let config = parse("").expect("good");
    let error = config
        .worker(&Project::at(Path::new("/p")))
        .expect_err("no agent");
    assert!(error.why.contains("agent.program: not set"), "{error}");
}

#[test]
fn branches_are_named_after_the_directory() {
    let table = [
        ("/home/me/shoebox", "shoebox"),
        ("/home/me/My Project!", "My-Project"),
        ("/home/me/.dotfiles", "dotfiles"),
        ("/home/me/a..b", "main"),
        ("/home/me/x.lock", "main"),
        ("/home/me/日本", "main"),
        ("/", "main"),
    ];
    for (root, expected) in table {
        assert_eq!(
            keys::branch_from_directory(Path::new(root)),
            expected,
            "{root}"
        );
    }
}

#[test]
fn sizes_are_read_and_shown() {
    let table = [
        ("\"64MiB\"", 64 << 20, "64MiB"),
        ("\"1 mb\"", 1_000_000, "1MB"),
        ("\"500kB\"", 500_000, "500kB"),
        ("70000", 70_000, "70kB"),
        ("\"65537\"", 65_537, "65537B"),
        ("\"2GiB\"", 2 << 30, "2GiB"),
    ];
    for (written, bytes, shown) in table {
        let config = parse(&format!("[workers]\ntranscript_limit = {written}")).expect(written);
        let entries = config.entries();
        let entry = entries
            .iter()
            .find(|entry| entry.key == "workers.transcript_limit");
        assert_eq!(
            entry.map(|entry| entry.value.as_str()),
            Some(&*format!("{shown:?}"))
        );
        assert_eq!(config.file.workers.transcript_limit, Bytes(bytes));
    }
    for wrong in [
        "\"64 parsecs\"",
        "-1",
        "\"\"",
        "\"1kB\"",
        "\"99999999999GiB\"",
    ] {
        let error = parse(&format!("[workers]\ntranscript_limit = {wrong}")).expect_err(wrong);
        assert!(
            error.why.contains(":2: workers.transcript_limit"),
            "{error}"
        );
    }
}
