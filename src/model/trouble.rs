//! Problems of the machine: what keeps an attempt from its end and says nothing about its feature.

use std::io;

use serde::{Deserialize, Serialize};

use super::feature::FeatureSpec;

/// The kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// The disk is full, read-only, or fails.
    Disk,
    /// Memory, processes or open files have run out.
    Memory,
    /// A program is missing or cannot be started.
    Program,
    /// The system denies access to something that is not the attempt's own.
    Permission,
    /// A hook fails before the agent has touched anything.
    Hook,
    /// git itself fails: its configuration, its objects, or the program.
    Git,
    /// The agent's program is missing, or it starts and no session can be set up: its mode, its login,
    /// its own setup.
    Agent,
    /// Something else that is no feature's fault.
    Other,
    /// The agent or its provider fails although nothing limits it: no answer, an empty one, or one
    /// that is cut off; or the agent ends before it has done anything.
    Provider,
}

impl TroubleKind {
    /// Every kind, in order.
    pub const ALL: [Self; 9] = [
        Self::Disk,
        Self::Memory,
        Self::Program,
        Self::Permission,
        Self::Hook,
        Self::Git,
        Self::Agent,
        Self::Other,
        Self::Provider,
    ];

    /// The kind in a word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Program => "program",
            Self::Permission => "permission",
            Self::Hook => "hook",
            Self::Git => "git",
            Self::Agent => "agent",
            Self::Other => "other",
            Self::Provider => "provider",
        }
    }

    /// So many times in a row, a feature meets it alone before it counts as the feature's own.
    pub fn own_after(self) -> u32 {
        match self {
            // An outage that comes and goes meets every feature a few times.
            Self::Provider => 2 * OWN_MAX,
            _ => OWN_MAX,
        }
    }

    /// Whether it keeps back one profile only: another agent may work.
    pub fn is_of_profile(self) -> bool {
        matches!(self, Self::Provider | Self::Agent)
    }

    /// Whose problem it is, as the subject of a sentence.
    pub fn whose(self) -> &'static str {
        match self {
            Self::Provider => "a problem of the agent or its provider",
            _ => "a problem of the machine",
        }
    }

    /// What a person can do about it, in a few words.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Disk => "free disk space, or move the attempts to another disk",
            Self::Memory => "free memory, or run fewer workers (`--workers coding=1`)",
            Self::Program => "install the program, or put it in PATH",
            Self::Permission => "fix the permissions",
            Self::Hook => "fix the hook in .crewlog/config.toml, or install what it needs",
            Self::Git => "fix what git reports",
            Self::Agent => {
                "start the agent by hand to see what it needs, or correct its section in .crewlog/config.toml"
            }
            Self::Other => "fix what the message says",
            Self::Provider => {
                "look at the provider's status page, or start the agent by hand to see what it says"
            }
        }
    }

    /// True for problems that a feature can cause in its own attempts. A full disk or a failing git
    /// never counts against a feature, however often it meets them.
    pub fn may_be_own(self) -> bool {
        match self {
            Self::Hook | Self::Agent | Self::Memory | Self::Other | Self::Provider => true,
            Self::Disk | Self::Program | Self::Permission | Self::Git => false,
        }
    }
}

/// What programs print when the machine fails them, in lower case. If the system's own error is
/// available, [`TroubleKind::of_io`] is used instead.
const WORDS: [(TroubleKind, &[&str]); 4] = [
    (
        TroubleKind::Disk,
        &[
            "no space left on device",
            "disk quota exceeded",
            "read-only file system",
            "input/output error",
        ],
    ),
    (
        TroubleKind::Memory,
        &[
            "cannot allocate memory",
            "out of memory",
            "resource temporarily unavailable",
            "too many open files",
            "unable to create thread",
        ],
    ),
    (
        TroubleKind::Git,
        &[
            "bad config ",
            "bad numeric config value",
            "bad boolean config value",
            "unable to parse config",
            "unable to read config",
            "error in config",
            "object file is empty",
            "loose object is corrupt",
            "is corrupt",
            "unable to normalize alternate object path",
        ],
    ),
    (TroubleKind::Permission, &["permission denied"]),
];

impl TroubleKind {
    /// The kind of problem in a program's message (git's, a shell's), by the words of the C locale.
    pub fn in_words(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let told = |(_, words): &&(Self, &[&str])| words.iter().any(|word| text.contains(word));
        WORDS.iter().find(told).map(|(kind, _)| *kind)
    }

    /// The kind of problem in a system error, even if another error wraps it.
    pub fn of_io(error: &io::Error) -> Option<Self> {
        let by_kind = match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem => Some(Self::Disk),
            io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => Some(Self::Memory),
            io::ErrorKind::PermissionDenied => Some(Self::Permission),
            _ => None,
        };
        // Linux: EIO; ENFILE, EMFILE.
        let by_number = || match error.raw_os_error()? {
            5 => Some(Self::Disk),
            23 | 24 => Some(Self::Memory),
            _ => None,
        };
        by_kind.or_else(by_number).or_else(|| {
            let mut inner: &dyn std::error::Error = error.get_ref()?;
            loop {
                if let Some(error) = inner.downcast_ref::<io::Error>() {
                    return Self::of_io(error);
                }
                inner = inner.source()?;
            }
        })
    }
}

/// The stage at which an attempt meets a problem. An attempt that gets further shows that the
/// problem is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The working tree, the hooks before the session, and the start of the agent.
    Prepare,
    /// The agent works.
    Session,
    /// The work is committed and rebased.
    Rebase,
    /// The checks run.
    Check,
    /// Writing the result.
    Report,
}

/// A problem that an attempt has met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What the machine lacks.
    pub kind: TroubleKind,
    /// How far the attempt got.
    pub stage: Stage,
    /// What failed and why; at most
    /// [`REASON_BYTES_MAX`](super::evidence::Failure::REASON_BYTES_MAX) bytes.
    pub reason: String,
}

/// The first wait before the next try, in milliseconds: a short problem is over by then.
const BACKOFF_MS: u64 = 2_000;
/// The longest wait: a person who has fixed the machine does not want to wait longer.
const BACKOFF_MS_MAX: u64 = 60_000;

/// Milliseconds to the next try after `streak` troubles in a row: doubling from 2 s to 60 s, and
/// between half of that and all of it, as `jitter` says. An agent or its provider is left alone for longer.
pub fn backoff_ms(kind: TroubleKind, streak: u32, jitter: u64) -> u64 {
    if kind.is_of_profile() {
        return provider_backoff_ms(streak, jitter);
    }
    let whole = (BACKOFF_MS << streak.min(16)).min(BACKOFF_MS_MAX);
    let half = whole / 2;
    half + jitter % (whole - half + 1)
}

/// A provider that fails is asked again after this many milliseconds, then after twice as long.
const PROVIDER_BACKOFF_MS: u64 = 10_000;
/// The longest wait for a provider: each try costs a session, and an outage of an hour is to cost at
/// most twelve. These waits make it nine or ten.
const PROVIDER_BACKOFF_MS_MAX: u64 = 900_000;

/// Milliseconds until a provider is asked again after `streak` refusals in a row: doubling from 10 s
/// to 15 min. `jitter` takes off up to a tenth, so that several crews do not ask in step.
pub fn provider_backoff_ms(streak: u32, jitter: u64) -> u64 {
    let whole = (PROVIDER_BACKOFF_MS << streak.min(16)).min(PROVIDER_BACKOFF_MS_MAX);
    whole - jitter % (whole / 10 + 1)
}

/// Features that are remembered as having met the open trouble; more say nothing more.
pub const MET_MAX: usize = FeatureSpec::ITEMS_MAX;

/// Consecutive problems that a feature meets alone, each while others get further. From then on a
/// problem that [may be its own](TroubleKind::may_be_own) counts as its failure, so that it does
/// not continue forever.
pub const OWN_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let longest = |streak| {
            backoff_ms(
                TroubleKind::Disk,
                streak,
                (BACKOFF_MS << streak.min(16)) / 2,
            )
        };
        assert_eq!(longest(0), 2_000);
        assert_eq!(longest(1), 4_000);
        assert_eq!(longest(4), 32_000);
        for streak in [5, 6, 40, u32::MAX] {
            assert_eq!(backoff_ms(TroubleKind::Disk, streak, 30_000), 60_000);
            assert_eq!(backoff_ms(TroubleKind::Disk, streak, 0), 30_000);
        }
        for jitter in [0, 1, 77, u64::MAX] {
            assert!((1_000..=2_000).contains(&backoff_ms(TroubleKind::Disk, 0, jitter)));
        }
    }

    #[test]
    fn an_hour_without_a_provider_costs_at_most_twelve_sessions() {
        for jitter in [0, 1, 999, 90_000, u64::MAX] {
            let (mut at_ms, mut sessions) = (0, 0);
            while at_ms < 3_600_000 {
                let wait_ms = backoff_ms(TroubleKind::Provider, sessions, jitter);
                assert!((9_000..=900_000).contains(&wait_ms), "{wait_ms}");
                at_ms += wait_ms;
                sessions += 1;
            }
            assert!((8..=12).contains(&sessions), "{sessions}");
        }
    }

    #[test]
    fn what_programs_say_is_understood() {
        use TroubleKind::*;
        let table = [
            (
                "fatal: cannot create directory at 'a': No space left on device",
                Some(Disk),
            ),
            ("error: file write error: Disk quota exceeded", Some(Disk)),
            (
                "fatal: Unable to create 'x.lock': Read-only file system",
                Some(Disk),
            ),
            (
                "error: cannot fork() for filter: Cannot allocate memory",
                Some(Memory),
            ),
            (
                "sh: 1: Cannot fork: Resource temporarily unavailable",
                Some(Memory),
            ),
            ("fatal: bad config line 3 in file /r/.git/config", Some(Git)),
            (
                "fatal: bad boolean config value 'x' for 'core.bare'",
                Some(Git),
            ),
            (
                "error: object file .git/objects/12/34 is empty\nfatal: loose object 1234 (stored in .git/objects/12/34) is corrupt",
                Some(Git),
            ),
            (
                "fatal: could not open 'x': Permission denied",
                Some(Permission),
            ),
            ("CONFLICT (content): Merge conflict in a", None),
            ("error: invalid path '.git/hooks/x'", None),
            ("", None),
        ];
        for (text, kind) in table {
            assert_eq!(TroubleKind::in_words(text), kind, "{text}");
        }
    }

    #[test]
    fn what_the_system_says_is_understood_also_when_it_is_wrapped() {
        use TroubleKind::*;
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let table = [
            (28, Some(Disk)),
            (122, Some(Disk)),
            (30, Some(Disk)),
            (5, Some(Disk)),
            (12, Some(Memory)),
            (11, Some(Memory)),
            (24, Some(Memory)),
            (23, Some(Memory)),
            (13, Some(Permission)),
            (2, None),
        ];
        for (number, kind) in table {
            let error = || io::Error::from_raw_os_error(number);
            assert_eq!(TroubleKind::of_io(&error()), kind, "{number}");
            assert_eq!(
                TroubleKind::of_io(&io::Error::other(error())),
                kind,
                "{number}"
            );
            let wrapped = io::Error::other(Outer(error()));
            assert_eq!(TroubleKind::of_io(&wrapped), kind, "{number}");
        }
        assert_eq!(TroubleKind::of_io(&io::Error::other("words")), None);
    }

    #[test]
    fn each_kind_has_a_word_of_its_own_and_advice() {
        let words: std::collections::BTreeSet<_> = TroubleKind::ALL.map(TroubleKind::as_str).into();
        assert_eq!(words.len(), TroubleKind::ALL.len());
        for kind in TroubleKind::ALL {
            assert!(!kind.advice().is_empty());
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, serde_json::json!(kind.as_str()));
        }
    }
}
