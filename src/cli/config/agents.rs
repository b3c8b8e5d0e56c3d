//! The agents of a config: `[agents.NAME]` with their presets and the orders in `[jobs]`, or the
//! `[agent]` of earlier versions.

use std::collections::BTreeMap;

use super::file::File;
use crate::model::nearest::nearest;
use crate::model::profile::{ProfileName, Profiles};
use crate::worker::config::AgentConfig;
use crate::worker::presets;

/// A value that cannot work: its key, what is wrong, and what to do.
pub struct Wrong {
    /// The key, as written in the file.
    pub key: String,
    /// What is wrong, with the key.
    pub problem: String,
    /// What to do; empty if `problem` says it.
    pub next: &'static str,
}

fn wrong(key: impl Into<String>, problem: impl AsRef<str>) -> Wrong {
    let key = key.into();
    Wrong {
        problem: format!("{key}: {}", problem.as_ref()),
        key,
        next: "",
    }
}

/// Name of the profile that `[agent.testing]` becomes.
const OLD_TESTING: &str = "agent.testing";

/// The agents and their jobs. `is_set` knows the keys that the file sets.
pub fn agents(
    file: &File,
    is_set: impl Fn(&str) -> bool,
) -> Result<(BTreeMap<ProfileName, AgentConfig>, Profiles), Wrong> {
    if file.agents.is_empty() {
        return of_earlier_versions(file);
    }
    if !file.agent.program.is_empty() || file.agent.testing.is_some() {
        let words = "is the section of earlier versions; move it into a section [agents.NAME]";
        return Err(wrong("agent", words));
    }
    let mut agents = BTreeMap::new();
    for (name, agent) in &file.agents {
        let profile = ProfileName(name.clone());
        let key = |key: &str| format!("agents.{name}.{key}");
        if !profile.is_sound() || !profile.is_named() {
            let words = "choose a name of letters, digits, - and _, up to 40, and not `agent`";
            return Err(wrong(format!("agents.{name}"), words));
        }
        let filled = match agent.preset.as_str() {
            "" => agent.clone(),
            preset => {
                let known = presets::preset(preset);
                let known = known.ok_or_else(|| {
                    let names = presets::NAMES.join(", ");
                    wrong(key("preset"), format!("{preset:?} is not one of {names}"))
                })?;
                agent.clone().filled(known, |own| is_set(&key(own)))
            }
        };
        if filled.program().trim().is_empty() {
            return Err(wrong(key("program"), "set a program or a preset"));
        }
        agents.insert(profile, filled);
    }
    let jobs = Profiles {
        coding: order(file, "jobs.coding", &file.jobs.coding)?,
        testing: match file.jobs.testing.as_slice() {
            [] => order(file, "jobs.coding", &file.jobs.coding)?,
            testing => order(file, "jobs.testing", testing)?,
        },
    };
    Ok((agents, jobs))
}

/// An order of preference; without one, the only agent.
fn order(file: &File, key: &str, names: &[String]) -> Result<Vec<ProfileName>, Wrong> {
    let known = || file.agents.keys().map(String::as_str);
    if names.is_empty() {
        let all: Vec<&str> = known().collect();
        return match all.as_slice() {
            [only] => Ok(vec![ProfileName::from(*only)]),
            _ => Err(wrong(
                key,
                format!("there are several agents; name them, the preferred one first: {all:?}"),
            )),
        };
    }
    if names.len() > Profiles::EACH_MAX {
        return Err(wrong(key, format!("at most {} agents", Profiles::EACH_MAX)));
    }
    let mut order: Vec<ProfileName> = Vec::new();
    for name in names {
        if !file.agents.contains_key(name) {
            let hint = match nearest(name, known()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("write a section [agents.{name}]"),
            };
            return Err(wrong(key, format!("there is no agent {name:?}; {hint}")));
        }
        if order.iter().any(|other| other.0 == *name) {
            return Err(wrong(key, format!("{name:?} is there twice")));
        }
        order.push(ProfileName(name.clone()));
    }
    Ok(order)
}

fn of_earlier_versions(
    file: &File,
) -> Result<(BTreeMap<ProfileName, AgentConfig>, Profiles), Wrong> {
    let jobs = [
        ("jobs.coding", &file.jobs.coding),
        ("jobs.testing", &file.jobs.testing),
    ];
    for (key, names) in jobs {
        if let Some(name) = names.first() {
            return Err(wrong(key, format!("write a section [agents.{name}]")));
        }
    }
    let mut agents: BTreeMap<_, _> = [(ProfileName::unnamed(), file.agent.coding())].into();
    let mut jobs = Profiles::default();
    if let Some(testing) = &file.agent.testing {
        if testing.program().trim().is_empty() {
            return Err(Wrong {
                next: "set it, or delete the section",
                ..wrong("agent.testing.program", "not set")
            });
        }
        let name = ProfileName::from(OLD_TESTING);
        agents.insert(name.clone(), testing.clone());
        jobs.testing = vec![name];
    }
    Ok((agents, jobs))
}
