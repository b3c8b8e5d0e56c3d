//! What the cage's lists consist of.

/// A path and why it is on its list.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Absolute, or below the home directory.
    pub path: &'static str,
    /// The variable that moves it, where the tool has one.
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

/// A cache that a tool keeps in the attempt, where the person has none.
#[derive(Clone, Copy, Debug)]
pub struct PrivateCache {
    /// Where the tool would make it, below the home directory.
    pub path: &'static str,
    /// The variable that moves it.
    pub variable: &'static str,
    /// Empty: the variable holds the directory alone. Otherwise this stands before the directory,
    /// and both are added to what the variable holds.
    pub option: &'static str,
    /// Whose cache it is.
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

/// Where one agent keeps what it must write for real: its login, which it renews, and its sessions.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The names of its program.
    pub programs: &'static [&'static str],
    /// Directories that the agent makes at its first start and does not run without. Inside the
    /// cage it cannot make them, so they are made for it where they are missing.
    pub made: &'static [&'static str],
    /// What else it uses where it is there.
    pub used: &'static [&'static str],
    /// Whose it is and what it holds.
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
