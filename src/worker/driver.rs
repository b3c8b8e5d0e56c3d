//! Creates the driver that an agent's config asks for.

use crate::agent::{AcpDriver, AcpSettings, CommandDriver, Driver, Permission};

use super::config::{self, AgentConfig, PermissionPolicy, Places};

/// The program of an agent as it is started. A path with a slash is relative to the project, where
/// the config file is; the agent's own working directory differs.
pub(super) fn program(agent: &AgentConfig, places: &Places) -> String {
    match agent.program.contains('/') {
        true => places.project.join(&agent.program).display().to_string(),
        false => agent.program.clone(),
    }
}

/// Starts one kind of agent again and again.
pub(super) fn driver(agent: &AgentConfig, places: &Places) -> Result<Box<dyn Driver>, String> {
    let program = program(agent, places);
    let args = agent.args.clone();
    match agent.driver {
        config::Driver::Command => match CommandDriver::new(program, args, "") {
            Ok(driver) => Ok(Box::new(driver)),
            Err(error) => Err(error.to_string()),
        },
        config::Driver::Acp => match AcpDriver::new(program, args, acp_settings(agent)) {
            Ok(driver) => Ok(Box::new(driver)),
            Err(error) => Err(error.to_string()),
        },
    }
}

/// The session settings of an ACP agent.
pub(super) fn acp_settings(agent: &AgentConfig) -> AcpSettings {
    AcpSettings {
        mode: (!agent.mode.is_empty()).then(|| agent.mode.clone()),
        permission: match agent.permission {
            PermissionPolicy::Allow => Permission::Allow,
            PermissionPolicy::Deny => Permission::Deny,
        },
        ..AcpSettings::default()
    }
}
