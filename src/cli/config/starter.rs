//! The short config that `scheduler init` writes.

use crate::worker::config::Driver;
use crate::worker::presets;

/// The agent that a new config names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One that a preset describes.
    Preset(&'static str),
    /// A program that no preset describes, with the driver to start with.
    Program(String),
    /// None: nothing was found or named.
    Nobody,
}

impl Choice {
    /// The agent that a person names.
    pub fn named(name: &str) -> Self {
        match presets::NAMES.into_iter().find(|known| *known == name) {
            Some(known) => Self::Preset(known),
            None => Self::Program(name.to_owned()),
        }
    }

    /// The first known agent that is on this machine, and the others.
    pub fn found(is_there: impl Fn(&str) -> bool) -> (Self, Vec<&'static str>) {
        let there = |name: &&str| presets::preset(name).is_some_and(|it| is_there(it.program()));
        let mut all = presets::NAMES.into_iter().filter(there);
        match all.next() {
            Some(first) => (Self::Preset(first), all.collect()),
            None => (Self::Nobody, Vec::new()),
        }
    }
}

const HEAD: &str = "\
# Crewlog's config for this repository. `scheduler config --all` explains every key and its default.
";

/// The text of the config. `others` are agents that could take over.
pub fn text(choice: &Choice, others: &[&str]) -> String {
    let agent = match choice {
        Choice::Preset(name) => format!("[agents.{name}]\npreset = \"{name}\"\n"),
        Choice::Program(program) => {
            let name = profile_name(program);
            let driver = Driver::Acp;
            format!(
                "[agents.{name}]\n# \"acp\" for an agent that speaks the Agent Client Protocol, \"command\" for any other program.\ndriver = {driver}\nprogram = {program:?}\nargs = []\n",
                driver = toml::Value::try_from(driver)
                    .map_or_else(|_| String::new(), |it| it.to_string()),
            )
        }
        Choice::Nobody => {
            let names = presets::NAMES.join(", ");
            format!(
                "# Name your agent. There are presets for {names}; any other program works too.\n#[agents.claude]\n#preset = \"claude\"\n"
            )
        }
    };
    let others = match (choice, others) {
        (Choice::Preset(first), [next, ..]) => format!(
            "\n# Also on this machine: {}. When the provider of one agent limits or fails, the next one can take\n# over:\n#[agents.{next}]\n#preset = \"{next}\"\n#[jobs]\n#coding = [\"{first}\", \"{next}\"]\n",
            others.join(", ")
        ),
        _ => String::new(),
    };
    format!("{HEAD}\n{agent}{others}")
}

/// A profile's name from a program's: its file name, without what a name may not have.
fn profile_name(program: &str) -> String {
    let file = program.rsplit('/').next().unwrap_or(program);
    let plain = |c: char| match c.is_ascii_alphanumeric() || "-_".contains(c) {
        true => c,
        false => '-',
    };
    let name: String = file.chars().map(plain).take(40).collect();
    match name.trim_matches('-') {
        "" | "agent" => "mine".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;
    use std::path::Path;

    fn parse(text: &str) -> Config {
        Config::parse(text, Path::new("config.toml"), "here".to_owned()).expect(text)
    }

    #[test]
    fn every_choice_is_a_good_config() {
        let choices = [
            ("claude", "coding: claude; testing: claude"),
            ("codex", "coding: codex; testing: codex"),
            (
                "bin/my agent.sh",
                "coding: my-agent-sh; testing: my-agent-sh",
            ),
            ("/opt/agent", "coding: mine; testing: mine"),
        ];
        for (name, jobs) in choices {
            let config = parse(&text(&Choice::named(name), &[]));
            assert_eq!(config.profiles().to_string(), jobs, "{name}");
        }
        parse(&text(&Choice::Nobody, &[]));
    }

    #[test]
    fn the_first_agent_that_is_there_is_named_and_the_others_are_offered() {
        let (choice, others) = Choice::found(|program| ["codex", "opencode"].contains(&program));
        assert_eq!(
            (&choice, others.as_slice()),
            (&Choice::Preset("codex"), &["opencode"][..])
        );
        let text = text(&choice, &others);
        assert!(text.contains("\n[agents.codex]\npreset"), "{text}");
        let offered = text
            .replace("\n#[", "\n[")
            .replace("\n#preset", "\npreset")
            .replace("\n#coding", "\ncoding");
        let jobs = "coding: codex, then opencode; testing: codex, then opencode";
        assert_eq!(parse(&offered).profiles().to_string(), jobs);
        assert_eq!(Choice::found(|_| false), (Choice::Nobody, Vec::new()));
    }
}
