//! Watches and ends workers' processes on this machine.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ports::{Answer, Processes};
use crate::model::event::ProcessIdentity;
use crate::model::ids::AttemptId;
use crate::protocol::identity;

/// Interval of looking at a process for which the kernel gives no handle.
const LOOK_MS: u64 = 500;

/// Ends what a dead worker's attempt has left behind.
pub type CleanUpAttempt =
    Arc<dyn Fn(AttemptId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Processes of this machine, watched by pidfd: no timer decides whether one lives.
pub struct LocalProcesses {
    /// Ends what an attempt has left behind.
    pub reap: CleanUpAttempt,
    /// Whether a recorded process belongs to this project, and not to the project that this one was
    /// copied from. If not, it counts as ended and is not touched.
    pub is_own: Arc<dyn Fn(&ProcessIdentity) -> bool + Send + Sync>,
}

/// A handle of the process, if it is still the same one.
fn handle(process: &ProcessIdentity) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // The number may belong to another process by now, so it is checked after the handle is open.
    alive(process).then_some(handle)
}

fn readable(handle: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always returns the same descriptor and keeps it open until it is
    // dropped, which `AsyncFd` does only after it has deregistered it.
    let registered = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
    registered.map_err(std::io::Error::from)
}

/// Whether this very process lives. A zombie does not.
fn alive(process: &ProcessIdentity) -> bool {
    identity::is_alive(process)
}

impl Processes for LocalProcesses {
    fn gone(&self, process: ProcessIdentity) -> Answer<'static, ()> {
        let own = (self.is_own)(&process);
        Box::pin(async move {
            if !own {
                return;
            }
            if let Some(handle) = handle(&process)
                && let Ok(handle) = readable(handle)
                && handle.readable().await.is_ok()
            {
                return;
            }
            while alive(&process) {
                tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
            }
        })
    }

    fn kill(&self, process: &ProcessIdentity) {
        if (self.is_own)(process)
            && let Some(handle) = handle(process)
            && let Err(error) = pidfd_send_signal(&handle, Signal::KILL)
        {
            tracing::warn!(pid = process.pid, %error, "cannot kill a worker");
        }
    }

    fn reap(&self, attempt: AttemptId) -> Answer<'static, ()> {
        (self.reap)(attempt)
    }
}
