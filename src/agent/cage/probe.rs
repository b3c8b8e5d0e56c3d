//! What the kernel offers for a cage.

use std::path::Path;
use std::process::{Command, Stdio};

/// First argument of the process that tries to enter namespaces.
pub(in crate::agent) const PROBE_ARGUMENT: &str = "__probe";

/// What the kernel offers for a cage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// The version of Landlock's interface; 0 without Landlock.
    pub landlock: u32,
    /// Why mount and pid namespaces are not available; `None` if they are.
    pub no_namespace: Option<String>,
    /// The kernel's release.
    pub kernel: String,
}

/// The first version of Landlock's interface that a cage can use: it restricts renames and
/// truncation, and its kernel (6.7) can change mounts without races.
pub const LANDLOCK_LEAST: u32 = 4;

/// The first version that keeps signals and abstract sockets inside.
pub const LANDLOCK_SCOPES: u32 = 6;

impl Support {
    /// Asks the kernel. Starts a short-lived process of `own_executable`; see
    /// [`TreeCommand::own_executable`](crate::agent::process::TreeCommand::own_executable).
    pub fn probe(own_executable: &Path) -> Self {
        Self {
            landlock: landlock_version(),
            no_namespace: namespaces(own_executable).err(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// Whether any cage is possible.
    pub fn cages(&self) -> bool {
        self.landlock >= LANDLOCK_LEAST
    }

    /// What is missing for the best cage, each with its remedy; empty if nothing is.
    pub fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        if self.landlock == 0 {
            lacks.push(format!(
                "the kernel {} has no Landlock: boot with lsm=landlock,... or use Linux 6.7 or later",
                self.kernel
            ));
        } else if !self.cages() {
            lacks.push(format!(
                "the kernel {} has Landlock ABI {}, but the cage needs {LANDLOCK_LEAST}: use Linux 6.7 or later",
                self.kernel, self.landlock
            ));
        } else if self.landlock < LANDLOCK_SCOPES {
            lacks.push(format!(
                "without a pid namespace, Landlock ABI {} does not confine signals and abstract sockets: use Linux 6.12 or later",
                self.landlock
            ));
        }
        if let Some(why) = &self.no_namespace {
            lacks.push(format!(
                "no mount and pid namespaces ({why}): allow unprivileged user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns), or in a container allow unshare and mount"
            ));
        }
        lacks
    }
}

/// Tries to enter namespaces, in a process that ends afterwards.
fn namespaces(own_executable: &Path) -> Result<(), String> {
    let output = Command::new(own_executable)
        .arg(PROBE_ARGUMENT)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", own_executable.display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
    }
}

/// `landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)`.
pub fn landlock_version() -> u32 {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the kernel reads no attributes and creates no descriptor.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// Major and minor of a release such as `6.18.44-fc`.
pub(super) fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
