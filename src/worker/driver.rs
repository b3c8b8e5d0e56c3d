//! Creates the driver that an agent's config asks for.

use crate::agent::{
    AcpDriver, AcpSettings, ClaudeDriver, ClaudeSettings, CodexDriver, CodexSettings,
    CommandDriver, Driver, Permission,
};

use super::config::{self, AgentConfig, PermissionPolicy, Places};

/// The program of an agent as it is started. A path with a slash is relative to the project, where
/// the config file is; the agent's own working directory differs.
pub(super) fn program(agent: &AgentConfig, places: &Places) -> String {
    let program = agent.program();
    match program.contains('/') {
        true => places.project.join(program).display().to_string(),
        false => program.to_owned(),
    }
}

/// Starts one kind of agent again and again.
pub(super) fn driver(agent: &AgentConfig, places: &Places) -> Result<Box<dyn Driver>, String> {
    let program = program(agent, places);
    let (args, model) = (agent.args.clone(), agent.model.clone());
    let driver: Result<Box<dyn Driver>, _> = match agent.driver {
        config::Driver::Command => {
            CommandDriver::new(program, args, model).map(|driver| Box::new(driver) as _)
        }
        config::Driver::Acp => {
            AcpDriver::new(program, args, acp_settings(agent)).map(|driver| Box::new(driver) as _)
        }
        config::Driver::Claude => {
            let settings = ClaudeSettings {
                model,
                mode: mode(agent),
                permission: permission(agent),
            };
            refuse_bypass(agent, rustix::process::geteuid().is_root())?;
            ClaudeDriver::new(program, args, settings).map(|driver| Box::new(driver) as _)
        }
        config::Driver::Codex => {
            let settings = CodexSettings {
                model,
                sandbox: mode(agent),
                permission: permission(agent),
            };
            CodexDriver::new(program, args, settings).map(|driver| Box::new(driver) as _)
        }
    };
    driver.map_err(|error| error.to_string())
}

/// Claude Code does not start as root in the mode that bypasses permissions, unless it is told that
/// something else confines it.
fn refuse_bypass(agent: &AgentConfig, is_root: bool) -> Result<(), String> {
    let told = agent.env.contains_key("IS_SANDBOX");
    match agent.mode == "bypassPermissions" && is_root && !told {
        true => Err(
            "Claude Code refuses mode = \"bypassPermissions\" as root; leave `mode` empty to allow \
             its usual tools, or run as another user"
                .to_owned(),
        ),
        false => Ok(()),
    }
}

fn mode(agent: &AgentConfig) -> Option<String> {
    (!agent.mode.is_empty()).then(|| agent.mode.clone())
}

fn permission(agent: &AgentConfig) -> Permission {
    match agent.permission {
        PermissionPolicy::Allow => Permission::Allow,
        PermissionPolicy::Deny => Permission::Deny,
    }
}

/// The session settings of an ACP agent.
pub(super) fn acp_settings(agent: &AgentConfig) -> AcpSettings {
    AcpSettings {
        mode: mode(agent),
        permission: permission(agent),
        model: agent.model.clone(),
        ..AcpSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_of_known_agents_need_no_program() {
        let of = |driver| AgentConfig {
            driver,
            ..AgentConfig::default()
        };
        let places = Places::default();
        let named = |driver| program(&of(driver), &places);
        assert_eq!(named(config::Driver::Claude), "claude");
        assert_eq!(named(config::Driver::Codex), "codex");
        assert_eq!(named(config::Driver::Command), "");
        let own = AgentConfig {
            program: "bin/claude".to_owned(),
            ..of(config::Driver::Claude)
        };
        assert_eq!(program(&own, &places), "bin/claude");
    }

    #[test]
    fn a_mode_that_cannot_start_is_refused_at_once() {
        let mut agent = AgentConfig {
            mode: "bypassPermissions".to_owned(),
            ..AgentConfig::default()
        };
        assert_eq!(refuse_bypass(&agent, false), Ok(()));
        let error = refuse_bypass(&agent, true).expect_err("root");
        assert!(error.contains("as root"), "{error}");
        agent.env.insert("IS_SANDBOX".to_owned(), "1".to_owned());
        assert_eq!(refuse_bypass(&agent, true), Ok(()));
    }
}
