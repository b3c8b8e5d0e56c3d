//! Reads the system's process table, and ends chosen processes with certainty.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal};
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::MARKER;

/// Pause between two reads of the process table: short for a waiting person, long against the cost
/// of a read (about 10 µs per process).
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// One process, as far as trees are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    parent: u32,
    session: u32,
    /// Seconds since 1970; with the pid it identifies a process well enough to notice a reused pid.
    started_s: u64,
    zombie: bool,
}

/// The process table at one moment.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<u32, Entry>,
    marked: BTreeSet<u32>,
}

/// Which processes of a table are chosen.
#[derive(Clone, Debug)]
pub(super) enum Choice<'a> {
    /// All descendants of this process.
    DescendantsOf(u32),
    /// Children of this process in another session, with their descendants: the orphans of a guard
    /// that died. A worker's own children (guards, git) share its session, and no process can
    /// return to a session that it has left.
    AdoptedBy(u32),
    /// Processes whose environment contains the marker with exactly this token.
    Marked(&'a str),
    /// Processes whose environment contains the marker with a token of this prefix.
    MarkedPrefix(&'a str),
    /// The same, without the descendants of these processes.
    Strays {
        /// Prefix of their tokens.
        prefix: &'a str,
        /// Processes whose descendants are not left-overs.
        owners: &'a BTreeSet<u32>,
    },
}

impl Table {
    /// Reads all processes, and their environments only if `choice` needs them.
    pub(super) fn look(choice: &Choice<'_>) -> Self {
        let environ = !matches!(choice, Choice::DescendantsOf(_) | Choice::AdoptedBy(_));
        let mut kind = ProcessRefreshKind::nothing().without_tasks();
        if environ {
            kind = kind.with_environ(UpdateKind::Always);
        }
        let Ok(mut system) = System::new() else {
            return Self::default();
        };
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        let mut table = Self::default();
        for (pid, process) in system.processes() {
            let pid = pid.as_u32();
            let entry = Entry {
                parent: process.parent().map_or(0, sysinfo::Pid::as_u32),
                session: process.session_id().map_or(0, sysinfo::Pid::as_u32),
                started_s: process.start_time(),
                zombie: process.status() == ProcessStatus::Zombie,
            };
            table.entries.insert(pid, entry);
            let marked = process.environ().iter().any(|text| match choice {
                Choice::Marked(token) => token_of(text) == Some(token.as_bytes()),
                Choice::MarkedPrefix(prefix) | Choice::Strays { prefix, .. } => {
                    token_of(text).is_some_and(|token| token.starts_with(prefix.as_bytes()))
                }
                _ => false,
            });
            if marked {
                table.marked.insert(pid);
            }
        }
        table
    }

    /// The chosen living processes, without zombies and without this process.
    pub(super) fn choose(&self, choice: &Choice<'_>) -> Vec<u32> {
        let chosen: BTreeSet<u32> = match choice {
            Choice::Marked(_) | Choice::MarkedPrefix(_) => self.marked.clone(),
            Choice::Strays { owners, .. } => {
                let owned = self.below(owners);
                self.marked.difference(&owned).copied().collect()
            }
            Choice::DescendantsOf(root) => self.below(&[*root].into()),
            Choice::AdoptedBy(root) => {
                let roots = self.adopted(*root);
                let mut all = self.below(&roots);
                all.extend(roots);
                all
            }
        };
        let own = std::process::id();
        let lives = |pid: &u32| self.entries.get(pid).is_some_and(|entry| !entry.zombie);
        chosen
            .into_iter()
            .filter(|pid| *pid != own && lives(pid))
            .collect()
    }

    /// Children of `root` outside its session, zombies included.
    fn adopted(&self, root: u32) -> BTreeSet<u32> {
        let session = self.entries.get(&root).map(|entry| entry.session);
        let outside = |entry: &Entry| entry.parent == root && Some(entry.session) != session;
        self.entries
            .iter()
            .filter(|(_, entry)| outside(entry))
            .map(|(pid, _)| *pid)
            .collect()
    }

    /// Every descendant of `roots`, without them.
    fn below(&self, roots: &BTreeSet<u32>) -> BTreeSet<u32> {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (pid, entry) in &self.entries {
            children.entry(entry.parent).or_default().push(*pid);
        }
        let mut found = BTreeSet::new();
        let mut open: Vec<u32> = roots.iter().copied().collect();
        while let Some(pid) = open.pop() {
            for child in children.get(&pid).into_iter().flatten() {
                if found.insert(*child) {
                    open.push(*child);
                }
            }
        }
        found
    }
}

/// The token in one entry of an environment, if it is the marker's.
fn token_of(entry: &OsStr) -> Option<&[u8]> {
    entry
        .as_bytes()
        .strip_prefix(MARKER.as_bytes())?
        .strip_prefix(b"=")
}

/// The chosen processes that live now.
pub(super) fn living(choice: &Choice<'_>) -> Vec<u32> {
    Table::look(choice).choose(choice)
}

/// All visible processes except one; for an init, those of its namespace.
pub(super) fn others(own: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (pid != own).then_some(pid)
    });
    pids.collect()
}

/// Ends the chosen processes with SIGKILL, repeatedly until none is left or `limit` is over,
/// because a process may fork during the search. Returns those that were killed, and how many still
/// live.
#[expect(
    clippy::disallowed_methods,
    reason = "nobody tells when a process that is not our child is gone, and this runs in a stage or a blocking thread"
)]
pub(super) fn end(choice: &Choice<'_>, limit: Duration) -> (BTreeSet<u32>, usize) {
    let deadline = Instant::now() + limit;
    let mut killed = BTreeSet::new();
    loop {
        let table = Table::look(choice);
        reap(&table, choice);
        let alive = table.choose(choice);
        if alive.is_empty() {
            return (killed, 0);
        }
        for pid in &alive {
            if kill(*pid, &table) {
                killed.insert(*pid);
            }
        }
        if Instant::now() >= deadline {
            return (killed, alive.len());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Kills one process, unless its pid belongs to another process by now.
fn kill(pid: u32, seen: &Table) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    let Ok(handle) = pidfd_open(raw, PidfdFlags::empty()) else {
        return false;
    };
    // The handle belongs to the present owner of the pid; the signal is sent only if that is still
    // the process that was seen.
    let pid = sysinfo::Pid::from_u32(pid);
    let kind = ProcessRefreshKind::nothing().without_tasks();
    let Ok(mut system) = System::new() else {
        return false;
    };
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    let now = system.process(pid).map(sysinfo::Process::start_time);
    let then = seen.entries.get(&pid.as_u32()).map(|entry| entry.started_s);
    now.is_some() && now == then && pidfd_send_signal(&handle, Signal::KILL).is_ok()
}

/// Reaps the zombies that this process has adopted.
fn reap(table: &Table, choice: &Choice<'_>) {
    match choice {
        // A guard and an init have no children except the tree's.
        Choice::DescendantsOf(_) => {
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        }
        // A worker has children that others wait for; only the adopted ones are reaped here.
        Choice::AdoptedBy(root) => {
            for pid in table.adopted(*root) {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
                }
            }
        }
        Choice::Marked(_) | Choice::MarkedPrefix(_) | Choice::Strays { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(u32, u32, u32)]) -> Table {
        let entries = rows.iter().map(|(pid, parent, session)| {
            let entry = Entry {
                parent: *parent,
                session: *session,
                started_s: 0,
                zombie: false,
            };
            (*pid, entry)
        });
        Table {
            entries: entries.collect(),
            marked: BTreeSet::new(),
        }
    }

    #[test]
    fn descendants_are_found_through_every_generation() {
        let table = table(&[
            (1, 0, 1),
            (10, 1, 1),
            (20, 10, 20),
            (30, 20, 30),
            (40, 1, 1),
        ]);
        let found = table.choose(&Choice::DescendantsOf(10));
        assert_eq!(found, [20, 30]);
    }

    #[test]
    fn only_children_from_another_session_are_adopted() {
        // 11 is git, in the worker's session; 12 was orphaned by a guard and has a child.
        let table = table(&[
            (10, 1, 10),
            (11, 10, 10),
            (12, 10, 12),
            (13, 12, 12),
            (14, 11, 10),
        ]);
        assert_eq!(table.choose(&Choice::AdoptedBy(10)), [12, 13]);
    }

    #[test]
    fn the_marker_is_matched_exactly() {
        let token = |text: &str| token_of(OsStr::new(text)).map(<[u8]>::to_vec);
        assert_eq!(token("CREWLOG_TREE=p-a1"), Some(b"p-a1".to_vec()));
        assert_eq!(token("CREWLOG_TREES=p-a1"), None);
        assert_eq!(token("XCREWLOG_TREE=p-a1"), None);
        assert_eq!(token("PATH=CREWLOG_TREE=p-a1"), None);
    }
}
