//! Who caused an event.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{AttemptId, WorkerId};

/// Bytes of a terminal's name that are kept; `pts/1234` has eight. A longer name is cut.
pub const TERMINAL_BYTES_MAX: usize = 32;

/// Who spoke. It is recognised when a connection opens or a command starts, and stands in the
/// envelope of every event.
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
        /// The user.
        uid: u32,
        /// The process.
        pid: u32,
        /// Its controlling terminal below `/dev`, such as `pts/3`; empty when it has none. At
        /// most [`TERMINAL_BYTES_MAX`] bytes; see [`Actor::person`].
        tty: String,
    },
    /// A worker, on its own attempt.
    Worker(WorkerId),
    /// A process that descends from an attempt: an agent, a check, a hook.
    Agent {
        /// Which attempt; none when the process has hidden it.
        attempt: Option<AttemptId>,
        /// The process, as the scheduler sees it.
        pid: u32,
    },
}

impl Actor {
    /// A person, the terminal's name cut to its limit and cleared of control characters.
    pub fn person(uid: u32, pid: u32, tty: &str) -> Self {
        let mut name = String::new();
        for letter in tty.chars().filter(|letter| !letter.is_control()) {
            if name.len() + letter.len_utf8() > TERMINAL_BYTES_MAX {
                break;
            }
            name.push(letter);
        }
        let tty = name;
        Self::Person { uid, pid, tty }
    }

    /// True for somebody who may steer the run.
    pub fn is_person(&self) -> bool {
        matches!(self, Self::Person { .. })
    }

    /// True for a process of an attempt, which may steer nothing.
    pub fn is_agent(&self) -> bool {
        matches!(self, Self::Agent { .. })
    }
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
            } => write!(f, "agent of a{attempt} (pid {pid})"),
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
            (Actor::Worker(WorkerId(4)), "worker 4"),
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
