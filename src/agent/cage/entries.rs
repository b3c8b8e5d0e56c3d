//! The types of the cage's lists.

/// A path and why it is on its list.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Absolute, or below the home directory.
    pub path: &'static str,
    /// The variable that moves it, if the tool has one.
    pub variable: &'static str,
    /// What needs the path, and why.
    pub why: &'static str,
}

pub(super) const fn known(path: &'static str, why: &'static str) -> Known {
    Known {
        path,
        variable: "",
        why,
    }
}

pub(super) const fn moved(path: &'static str, variable: &'static str, why: &'static str) -> Known {
    Known {
        path,
        variable,
        why,
    }
}

/// A cache that a tool keeps in the attempt if the person has none.
#[derive(Clone, Copy, Debug)]
pub struct PrivateCache {
    /// Where the tool would create it, below the home directory.
    pub path: &'static str,
    /// The variable that moves it.
    pub variable: &'static str,
    /// Empty: the variable contains only the directory. Otherwise this precedes the directory, and
    /// both are appended to the variable.
    pub option: &'static str,
    /// The tool that uses the cache.
    pub why: &'static str,
}

pub(super) const fn private(
    path: &'static str,
    variable: &'static str,
    why: &'static str,
) -> PrivateCache {
    PrivateCache {
        path,
        variable,
        option: "",
        why,
    }
}

/// Where one agent keeps what it must really write: its login, which it renews, and its sessions.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The names of its program.
    pub programs: &'static [&'static str],
    /// Directories that the agent creates at its first start and does not run without. Inside the
    /// cage it cannot create them, so missing ones are created for it.
    pub made: &'static [&'static str],
    /// What else it uses if it exists.
    pub used: &'static [&'static str],
    /// The agent, and what these paths contain.
    pub why: &'static str,
}

impl Profile {
    /// All its paths, below the home directory.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.made.iter().chain(self.used).copied()
    }
}

pub(super) const fn profile(
    programs: &'static [&'static str],
    made: &'static [&'static str],
    used: &'static [&'static str],
    why: &'static str,
) -> Profile {
    Profile {
        programs,
        made,
        used,
        why,
    }
}
