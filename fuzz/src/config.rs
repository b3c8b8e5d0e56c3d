//! The project's config file.

use std::path::Path;

use crewlog::cli::config::{Config, Origin};

use super::{harmless, useful};

/// Checks one input.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let config = match parse(text) {
        Ok(config) => config,
        Err(error) => {
            for part in [&error.what, &error.why, &error.next] {
                useful(part);
            }
            return harmless(&error.to_string());
        }
    };
    config.settings().validate().expect("checked already");
    assert!(config.branch().starts_with("crewlog/"));
    let lines = text.matches('\n').count() + 1;
    let entries = config.entries();
    assert!(entries.len() > 20, "keys are missing");
    for entry in &entries {
        if let Origin::File(line) = entry.origin {
            assert!((1..=lines).contains(&line), "{} on line {line}", entry.key);
        }
    }
    // What is shown of a config is a config that means the same.
    let shown: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} = {}\n", entry.key, entry.value))
        .collect();
    let shown = shown.concat();
    let again = parse(&shown).unwrap_or_else(|error| panic!("{error}\nof\n{shown}"));
    assert_eq!(again.settings(), config.settings(), "{shown}");
    let values = |config: &Config| {
        let entries = config.entries().into_iter();
        entries
            .map(|entry| (entry.key, entry.value))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&config));
}

fn parse(text: &str) -> Result<Config, crewlog::cli::error::Error> {
    Config::parse(text, Path::new("config.toml"), "main".to_owned())
}
