//! What a program's process gives up before it becomes the program.

use std::io;

use landlock::{RulesetCreated, RulesetStatus};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::{Cage, Limits, mounts, rules};

/// What root keeps: what ordinary builds and package managers do with files and users.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// The kernel ends agents first when the machine runs out of memory.
const OOM_SCORE: &str = "500";

/// The first pids of a namespace are used only once; a limit below them would have no effect.
const PIDS_RESERVED: u32 = 301;

/// Everything that is prepared before the program's process exists.
pub(in crate::agent) struct Confinement {
    rules: Option<RulesetCreated>,
    limits: Limits,
    root: bool,
    namespace: bool,
}

impl Confinement {
    /// Creates the mounts if the tree has a mount namespace, and the rules. The caller has one
    /// thread, and still the right to mount.
    ///
    /// # Errors
    /// What could not be created, as text.
    pub(in crate::agent) fn prepare(cage: &Cage, namespace: bool) -> Result<Self, String> {
        let mut places = cage.resolve();
        if namespace {
            // Before the mounts, which close it.
            limit_pids(cage.limits.processes);
            mounts::build(cage, &mut places)?;
        }
        Ok(Self {
            rules: Some(rules::build(cage, &places, namespace)?),
            limits: cage.limits,
            root: rustix::process::geteuid().is_root(),
            namespace,
        })
    }

    /// Confines the calling process for good. Called between fork and exec, in a process whose
    /// parent had one thread.
    ///
    /// # Errors
    /// The kernel refuses; the program must not run then.
    pub(in crate::agent) fn enter(&mut self) -> io::Result<()> {
        // Helps the kernel to choose, and protects nothing from the program, so it may fail.
        let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
        limit(Resource::Nofile, self.limits.open_files)?;
        if self.namespace && !self.root {
            // In a user namespace of its own, this counts only the tree's processes.
            limit(Resource::Nproc, u64::from(self.limits.processes))?;
        }
        if self.root {
            drop_capabilities()?;
        }
        let Some(rules) = self.rules.take() else {
            return Err(io::Error::other("confined already"));
        };
        let status = rules.restrict_self().map_err(io::Error::other)?;
        if status.ruleset == RulesetStatus::NotEnforced {
            return Err(io::Error::other(
                "the kernel does not enforce Landlock rules",
            ));
        }
        Ok(())
    }
}

/// Since Linux 6.14 a pid namespace has its own limit; before, the watchdog counts.
fn limit_pids(processes: u32) {
    if processes > 0 {
        let most = processes.saturating_add(PIDS_RESERVED).to_string();
        let own = rustix_release() >= (6, 14);
        if own {
            let _ = std::fs::write("/proc/sys/kernel/pid_max", most);
        }
    }
}

/// The kernel's version; on an older one, the file contains the whole machine's limit.
fn rustix_release() -> (u32, u32) {
    let system = rustix::system::uname();
    super::probe::version(&system.release().to_string_lossy())
}

/// Lowers a limit to `most`; 0 changes nothing, and a lower one stays.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    if most == 0 {
        return Ok(());
    }
    let now = getrlimit(resource);
    let lower = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    let limits = Rlimit {
        current: lower(now.current),
        maximum: lower(now.maximum),
    };
    Ok(setrlimit(resource, limits)?)
}

fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    for capability in CapabilitySet::all().iter() {
        if !KEPT.contains(capability) {
            // A kernel that does not know the limit cannot exceed it.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    let sets = CapabilitySets {
        effective: KEPT,
        permitted: KEPT,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}
