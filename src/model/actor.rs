//! The author of an event.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::clip::clip_clean;
use super::ids::{AttemptId, WorkerId};

/// Bytes of a terminal's name that are kept; `pts/1234` has eight. A longer name is cut.
pub const TERMINAL_BYTES_MAX: usize = 32;

/// The environment variable that identifies the processes of an attempt. Its value ends in
/// `-ATTEMPT.`, after a prefix for the project.
pub const TREE_MARKER: &str = "CREWLOG_TREE";

/// The first argument of the process that guards an attempt's program.
pub const GUARD_STAGE: &str = "__guard";

/// The first argument of the process that is the program's parent.
pub const INIT_STAGE: &str = "__init";

/// Generations that a process is traced back through. Ordinary ones have ten; a process with more
/// than this cannot be identified, and is refused.
pub const LINEAGE_MAX: usize = 256;

/// The author of an event. It is determined when a connection opens or a command starts, and is
/// part of every envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// Recorded by a build that kept no actors.
    #[default]
    Unknown,
    /// The scheduler itself: what the plan proposes, and what it finds at its start.
    Scheduler,
    /// A person's command.
    Person {
        /// Numeric user id.
        uid: u32,
        /// Process id of the command.
        pid: u32,
        /// Its controlling terminal below `/dev`, such as `pts/3`; empty if it has none. At most
        /// [`TERMINAL_BYTES_MAX`] bytes; see [`Actor::person`].
        tty: String,
    },
    /// A worker, on its own attempt.
    Worker(WorkerId),
    /// A process that descends from an attempt: an agent, a check, a hook.
    Agent {
        /// The attempt; `None` if the process has hidden it.
        attempt: Option<AttemptId>,
        /// The process, as the scheduler sees it.
        pid: u32,
    },
}

impl Actor {
    /// A person, the terminal's name cut to its limit and cleared of control characters.
    pub fn person(uid: u32, pid: u32, tty: &str) -> Self {
        let tty = clip_clean(tty, TERMINAL_BYTES_MAX);
        Self::Person { uid, pid, tty }
    }

    /// True for an actor that may control the run.
    pub fn is_person(&self) -> bool {
        matches!(self, Self::Person { .. })
    }

    /// A sentence signed by this actor: `by uid 1000 (pid 4711, pts/3): TEXT` for people and
    /// agents, only the text for others.
    pub fn signed(&self, text: &str) -> String {
        match (self.is_person() || self.is_agent(), text) {
            (false, _) => text.to_owned(),
            (true, "") => format!("by {self}"),
            (true, _) => format!("by {self}: {text}"),
        }
    }

    /// True for a process of an attempt, which may control nothing.
    pub fn is_agent(&self) -> bool {
        matches!(self, Self::Agent { .. })
    }
}

/// What the kernel says about a process that connects, seen from the listening process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Numeric user id.
    pub uid: u32,
    /// The process, in the listener's pid namespace.
    pub pid: u32,
    /// Its controlling terminal below `/dev`; empty if it has none.
    pub tty: String,
    /// The process, its parent and so on, up to but without the first ancestor of the listener.
    /// Empty if the listener speaks to itself. At most [`LINEAGE_MAX`].
    pub lineage: Vec<Kin>,
    /// It lives in a pid namespace below the listener's.
    pub nested: bool,
}

/// One process of a [`Caller::lineage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Process id, in the listener's pid namespace.
    pub pid: u32,
    /// When it started, in clock ticks since the boot.
    pub start_ticks: u64,
    /// Why it belongs to an attempt, if it does.
    pub origin: Option<Origin>,
}

/// The attempt that a process belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// One of this project.
    Attempt(AttemptId),
    /// One of another project, or one whose number the process has hidden.
    Unknown,
}

impl Caller {
    /// A person's own process, for tests.
    pub fn person(uid: u32, pid: u32, tty: &str) -> Self {
        let (tty, start_ticks) = (tty.to_owned(), 1);
        let lineage = vec![Kin {
            pid,
            start_ticks,
            origin: None,
        }];
        Self {
            uid,
            pid,
            tty,
            lineage,
            nested: false,
        }
    }

    /// Decides who it is. `works` tells whether a process is a worker: everything that a worker has
    /// started belongs to an attempt.
    pub fn actor(&self, works: impl Fn(&Kin) -> bool) -> Actor {
        let pid = self.pid;
        let origins = self.lineage.iter().filter_map(|kin| kin.origin);
        // The outermost one is the guard, whatever its agent claims about itself.
        let attempt = origins.clone().rev().find_map(|origin| match origin {
            Origin::Attempt(attempt) => Some(attempt),
            Origin::Unknown => None,
        });
        let mut parents = self.lineage.iter().skip(1);
        let marked = origins.count() > 0;
        if self.nested || marked || parents.any(works) {
            return Actor::Agent { attempt, pid };
        }
        Actor::person(self.uid, pid, &self.tty)
    }

    /// When the process itself started; `None` if the listener speaks to itself.
    pub fn start_ticks(&self) -> Option<u64> {
        self.lineage.first().map(|kin| kin.start_ticks)
    }
}

/// An attempt around the process that asks, which it finds by tracing itself back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surrounding {
    /// The attempt's marker; empty when it cannot be read.
    pub token: String,
    /// The attempt's own directories: its working tree and its temporary directory. Empty if the
    /// attempt's guard has ended.
    pub places: Vec<PathBuf>,
}

/// Whether a process with these attempts around it may use the project at `root`, an absolute
/// path without links, whose markers begin with `prefix`.
///
/// # Errors
/// The attempt that may not, and why: it belongs to this very project, or the project is outside of
/// the attempt's own directories. An agent that develops or tests Crewlog itself may do anything in
/// its own directories.
pub fn may_use(surroundings: &[Surrounding], root: &Path, prefix: &str) -> Result<(), String> {
    for around in surroundings {
        let name = match attempt_of(&around.token) {
            Some(attempt) => format!("attempt {attempt}"),
            None => "an attempt".to_owned(),
        };
        if !around.token.is_empty() && around.token.starts_with(prefix) {
            return Err(format!("this process belongs to {name} of this project"));
        }
        if !around.places.iter().any(|place| root.starts_with(place)) {
            return Err(format!(
                "this process belongs to {name}, and {} is outside its directories",
                root.display()
            ));
        }
    }
    Ok(())
}

/// The attempt's number in a marker, which ends in `-12.`.
pub fn attempt_of(token: &str) -> Option<AttemptId> {
    let (_, number) = token.strip_suffix('.')?.rsplit_once('-')?;
    number.parse().ok().map(AttemptId)
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("somebody"),
            Self::Scheduler => f.write_str("the scheduler"),
            Self::Person { uid, pid, tty } if tty.is_empty() => {
                write!(f, "uid {uid} (pid {pid})")
            }
            Self::Person { uid, pid, tty } => write!(f, "uid {uid} (pid {pid}, {tty})"),
            Self::Worker(worker) => write!(f, "worker {worker}"),
            Self::Agent {
                attempt: Some(attempt),
                pid,
            } => write!(f, "agent of {attempt} (pid {pid})"),
            Self::Agent { attempt: None, pid } => write!(f, "an agent (pid {pid})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_named() {
        let attempt = Some(AttemptId(12));
        let table = [
            (Actor::Unknown, "somebody"),
            (Actor::Scheduler, "the scheduler"),
            (
                Actor::person(1000, 4711, "pts/3"),
                "uid 1000 (pid 4711, pts/3)",
            ),
            (Actor::person(0, 7, ""), "uid 0 (pid 7)"),
            (Actor::Worker(WorkerId(4)), "worker w4"),
            (Actor::Agent { attempt, pid: 9 }, "agent of a12 (pid 9)"),
            (
                Actor::Agent {
                    attempt: None,
                    pid: 9,
                },
                "an agent (pid 9)",
            ),
        ];
        for (actor, words) in table {
            assert_eq!(actor.to_string(), words);
        }
    }

    #[test]
    fn what_belongs_to_an_attempt_is_an_agent() {
        let kin = |pid, origin| Kin {
            pid,
            start_ticks: 1,
            origin,
        };
        let twelve = Some(Origin::Attempt(AttemptId(12)));
        let person = Actor::person(1000, 7, "pts/3");
        let agent = |attempt: Option<u64>| Actor::Agent {
            attempt: attempt.map(AttemptId),
            pid: 7,
        };
        let table = [
            (
                "a person",
                vec![kin(7, None), kin(6, None)],
                false,
                person.clone(),
            ),
            ("the listener itself", vec![], false, person),
            ("its marker", vec![kin(7, twelve)], false, agent(Some(12))),
            (
                "a guard above",
                vec![kin(7, None), kin(5, twelve)],
                false,
                agent(Some(12)),
            ),
            (
                "without its number",
                vec![kin(7, Some(Origin::Unknown))],
                false,
                agent(None),
            ),
            (
                "a number further up",
                vec![kin(7, Some(Origin::Unknown)), kin(5, twelve)],
                false,
                agent(Some(12)),
            ),
            (
                "a forged marker below the guard",
                vec![kin(7, Some(Origin::Attempt(AttemptId(1)))), kin(5, twelve)],
                false,
                agent(Some(12)),
            ),
            ("another namespace", vec![kin(7, None)], true, agent(None)),
            (
                "a worker's orphan",
                vec![kin(7, None), kin(99, None)],
                false,
                agent(None),
            ),
        ];
        for (what, lineage, nested, expected) in table {
            let caller = Caller {
                lineage,
                nested,
                ..Caller::person(1000, 7, "pts/3")
            };
            assert_eq!(caller.actor(|kin| kin.pid == 99), expected, "{what}");
        }
        // A worker itself is not of an attempt.
        let worker = Caller::person(1000, 99, "");
        assert!(worker.actor(|kin| kin.pid == 99).is_person());
    }

    #[test]
    fn an_attempt_may_use_projects_of_its_own() {
        let around = |token: &str, places: &[&str]| Surrounding {
            token: token.to_owned(),
            places: places.iter().map(PathBuf::from).collect(),
        };
        let own = ["/s/a12/tree", "/s/a12/tmp"];
        let table = [
            ("no attempt", vec![], "/home/p", true),
            (
                "its own project",
                vec![around("aa-12.", &own)],
                "/home/p",
                false,
            ),
            (
                "its own project, inside",
                vec![around("aa-12.", &["/"])],
                "/home/p",
                false,
            ),
            (
                "another project",
                vec![around("bb-12.", &own)],
                "/home/p",
                false,
            ),
            (
                "one in its tree",
                vec![around("bb-12.", &own)],
                "/s/a12/tree/x",
                true,
            ),
            (
                "one in its tmp",
                vec![around("bb-12.", &own)],
                "/s/a12/tmp/x",
                true,
            ),
            (
                "a namesake",
                vec![around("bb-12.", &own)],
                "/s/a12/tree2",
                false,
            ),
            (
                "no guard is left",
                vec![around("bb-12.", &[])],
                "/s/a12/tree",
                false,
            ),
            (
                "no marker can be read",
                vec![around("", &own)],
                "/home/p",
                false,
            ),
            (
                "an attempt in an attempt",
                vec![around("aa-3.", &["/s/a12/tmp/x"]), around("bb-12.", &own)],
                "/s/a12/tmp/x",
                false,
            ),
        ];
        for (what, surroundings, root, allowed) in table {
            let answer = may_use(&surroundings, Path::new(root), "aa-");
            assert_eq!(answer.is_ok(), allowed, "{what}: {answer:?}");
        }
    }

    #[test]
    fn actors_sign() {
        let person = Actor::person(1000, 4711, "pts/3");
        assert_eq!(
            person.signed("no need"),
            "by uid 1000 (pid 4711, pts/3): no need"
        );
        assert_eq!(person.signed(""), "by uid 1000 (pid 4711, pts/3)");
        assert_eq!(Actor::Scheduler.signed("so"), "so");
    }

    #[test]
    fn attempts_are_read_from_markers() {
        let table = [
            ("00ff-12.", Some(12)),
            ("00ff-12", None),
            ("x", None),
            ("a-b.", None),
        ];
        for (token, number) in table {
            assert_eq!(attempt_of(token), number.map(AttemptId), "{token}");
        }
    }

    #[test]
    fn a_terminal_name_is_bounded_and_clean() {
        let Actor::Person { tty, .. } =
            Actor::person(1, 2, &format!("p\u{1b}ts/{}", "ü".repeat(40)))
        else {
            panic!("a person")
        };
        assert!(
            tty.len() <= TERMINAL_BYTES_MAX && tty.starts_with("pts/ü"),
            "{tty:?}"
        );
    }
}
