//! What works for each known agent, so that naming it is enough.

use super::config::{AgentConfig, Driver};

/// The names of all presets.
pub const NAMES: [&str; 4] = ["claude", "codex", "gemini", "opencode"];

/// The config of a known agent.
pub fn preset(name: &str) -> Option<AgentConfig> {
    let agent = match name {
        "claude" => AgentConfig {
            driver: Driver::Claude,
            pass_env: names(&[
                "ANTHROPIC_API_KEY",
                "ANTHROPIC_AUTH_TOKEN",
                "ANTHROPIC_BASE_URL",
                "CLAUDE_CODE_OAUTH_TOKEN",
            ]),
            ..AgentConfig::default()
        },
        "codex" => AgentConfig {
            driver: Driver::Codex,
            pass_env: names(&["CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"]),
            ..AgentConfig::default()
        },
        "gemini" => AgentConfig {
            driver: Driver::Acp,
            program: "gemini".to_owned(),
            args: names(&["--acp"]),
            // Without it, gemini starts a second node process of 165 MB.
            env: [("GEMINI_CLI_NO_RELAUNCH".to_owned(), "true".to_owned())].into(),
            pass_env: names(&[
                "GEMINI_API_KEY",
                "GOOGLE_API_KEY",
                "GOOGLE_GEMINI_BASE_URL",
                "GOOGLE_CLOUD_PROJECT",
            ]),
            ..AgentConfig::default()
        },
        "opencode" => AgentConfig {
            driver: Driver::Acp,
            program: "opencode".to_owned(),
            args: names(&["acp"]),
            pass_env: names(&[
                "ANTHROPIC_API_KEY",
                "GEMINI_API_KEY",
                "OPENAI_API_KEY",
                "OPENCODE_API_KEY",
                "OPENCODE_CONFIG_CONTENT",
                "OPENROUTER_API_KEY",
            ]),
            ..AgentConfig::default()
        },
        _ => return None,
    };
    Some(AgentConfig {
        preset: name.to_owned(),
        ..agent
    })
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl AgentConfig {
    /// With the preset's values for the keys that `is_set` does not know.
    pub fn filled(self, preset: Self, is_set: impl Fn(&str) -> bool) -> Self {
        // Exhaustive, so that a new key is not forgotten here.
        let Self {
            preset: name,
            driver,
            program,
            args,
            model,
            env,
            pass_env,
            mode,
            permission,
            cage_write,
        } = self;
        Self {
            preset: name,
            driver: if is_set("driver") {
                driver
            } else {
                preset.driver
            },
            program: if is_set("program") {
                program
            } else {
                preset.program
            },
            args: if is_set("args") { args } else { preset.args },
            model: if is_set("model") { model } else { preset.model },
            // One more variable takes none away.
            env: preset.env.into_iter().chain(env).collect(),
            pass_env: if is_set("pass_env") {
                pass_env
            } else {
                preset.pass_env
            },
            mode: if is_set("mode") { mode } else { preset.mode },
            permission: if is_set("permission") {
                permission
            } else {
                preset.permission
            },
            cage_write: if is_set("cage_write") {
                cage_write
            } else {
                preset.cage_write
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_starts_a_program_and_can_be_changed_key_by_key() {
        for name in NAMES {
            let preset = preset(name).expect("it is known");
            assert_eq!(preset.preset, name);
            assert!(!preset.program().is_empty(), "{name}");
            let own = AgentConfig {
                program: "mine".to_owned(),
                env: [("X".to_owned(), "1".to_owned())].into(),
                ..AgentConfig::default()
            };
            let filled = own.filled(preset.clone(), |key| key == "program");
            assert_eq!((filled.program(), filled.driver), ("mine", preset.driver));
            assert_eq!(filled.args, preset.args);
            assert_eq!(filled.env.len(), preset.env.len() + 1);
        }
        assert_eq!(preset("somebody"), None);
    }
}
