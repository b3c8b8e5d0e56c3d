//! Ends a tree that uses too much.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Exceeded, Limits};

/// Interval of checks: a tree that takes a gigabyte a second is noticed within two.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches a tree from its init until it is dropped.
pub(in crate::agent) struct Watchdog {
    over: Arc<AtomicBool>,
    exceeded: Arc<Mutex<Option<Exceeded>>>,
    limits: Limits,
    members: Members,
}

type Members = Arc<dyn Fn() -> Vec<u32> + Send + Sync>;

impl Watchdog {
    /// Starts watching. `members` names the tree's processes, `end` ends them all.
    #[expect(
        clippy::disallowed_methods,
        reason = "memory and processes have no signal; this is a thread of its own in the tree's init"
    )]
    pub(in crate::agent) fn start(
        limits: Limits,
        members: impl Fn() -> Vec<u32> + Send + Sync + 'static,
        end: impl Fn() + Send + 'static,
    ) -> Self {
        let watchdog = Self {
            over: Arc::default(),
            exceeded: Arc::default(),
            limits,
            members: Arc::new(members),
        };
        let members = watchdog.members.clone();
        if limits.memory_bytes == 0 && limits.processes == 0 {
            return watchdog;
        }
        let (over, exceeded) = (watchdog.over.clone(), watchdog.exceeded.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK_EVERY);
                let found = look(limits, &members());
                if found.is_some() {
                    if let Ok(mut exceeded) = exceeded.lock() {
                        *exceeded = found;
                    }
                    end();
                    return;
                }
            }
        });
        watchdog
    }

    /// Why the watchdog ended the tree; or which limit its program hit before the next check,
    /// because the kernel refuses one process too many at once.
    pub(in crate::agent) fn exceeded(&self) -> Option<Exceeded> {
        let seen = self.exceeded.lock().ok().and_then(|exceeded| *exceeded);
        seen.or_else(|| look(self.limits, &(self.members)()))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Whether these processes use too much right now.
fn look(limits: Limits, members: &[u32]) -> Option<Exceeded> {
    if limits.processes > 0 {
        let threads: u64 = members.iter().map(|pid| number(*pid, "Threads:")).sum();
        // The kernel's own limit is the same, so a tree that reaches it gets no further.
        if threads >= u64::from(limits.processes) {
            return Some(Exceeded::Processes(limits.processes.into()));
        }
    }
    if limits.memory_bytes > 0 {
        // Cheap, and too high if processes share memory since a fork.
        let kib: u64 = members.iter().map(|pid| number(*pid, "RssAnon:")).sum();
        if kib * 1024 <= limits.memory_bytes {
            return None;
        }
        // Slow, and exact.
        let kib: u64 = members.iter().map(|pid| proportional(*pid)).sum();
        if kib * 1024 > limits.memory_bytes {
            return Some(Exceeded::Memory(limits.memory_bytes));
        }
    }
    None
}

fn number(pid: u32, field: &str) -> u64 {
    field_of(&format!("/proc/{pid}/status"), field).unwrap_or(0)
}

/// Private memory and a fair part of what is shared, in KiB.
fn proportional(pid: u32) -> u64 {
    let exact = field_of(&format!("/proc/{pid}/smaps_rollup"), "Pss_Anon:");
    exact.unwrap_or_else(|| number(pid, "RssAnon:"))
}

/// The number behind `field` in a file of `/proc`; `None` if the process has ended.
fn field_of(path: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_measured_by_its_threads_and_its_memory() {
        let own = [std::process::id()];
        let limits = |memory_bytes, processes| Limits {
            memory_bytes,
            processes,
            open_files: 0,
        };
        assert_eq!(look(limits(1 << 50, 1 << 20), &own), None);
        assert_eq!(look(limits(0, 0), &own), None);
        assert_eq!(look(limits(1, 0), &own), Some(Exceeded::Memory(1)));
        assert_eq!(look(limits(0, 1), &own), Some(Exceeded::Processes(1)));
        assert_eq!(look(limits(1, 1), &[u32::MAX]), None, "gone");
    }
}
