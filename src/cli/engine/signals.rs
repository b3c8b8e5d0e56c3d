//! Ends a run on signals, and lets it outlive its terminal.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use tokio::sync::oneshot;

use super::run_log::RunLog;
use crate::cli::globals::{Format, Global};
use crate::cli::progress::Screen;
use crate::protocol::StopMode;
use crate::scheduler::Handle;
use crate::worker::{Hangup, Signals, hangups};

/// What a run in the background writes to its starter when it listens.
pub const LISTENS: &[u8] = b"listens\n";

/// Ends the run on signals: the first lets open attempts finish, the second ends them. Tells
/// `starter` when the scheduler listens.
pub(super) async fn end_on_signals(
    handle: oneshot::Receiver<Handle>,
    screen: Screen,
    global: Global,
    starter: Option<UnixStream>,
) {
    let Ok(mut signals) = Signals::new(Hangup::Ignored) else {
        tracing::error!("cannot handle signals; end the run with `scheduler stop`");
        return;
    };
    let Ok(handle) = handle.await else {
        return;
    };
    if let Some(mut starter) = starter {
        // Whoever started it may have been interrupted; the run continues.
        let _ = starter.write_all(LISTENS);
    }
    let mut mode = StopMode::Drain;
    loop {
        signals.next().await;
        let text = match mode {
            StopMode::Drain => {
                "ending: open attempts may finish, no new ones start; Ctrl-C again ends them now"
            }
            StopMode::Now => "ending now: open attempts are given up",
        };
        match (global.log_format, global.quiet) {
            (Format::Json, _) => tracing::warn!("{text}"),
            // An answer to a key press needs no time and no level.
            (Format::Text, false) => screen.note(text),
            (Format::Text, true) => {}
        }
        handle.stop(mode).await;
        mode = StopMode::Now;
    }
}

/// When the terminal closes, continues without it: from then on, what the run prints goes to a file
/// in the data directory.
pub(super) async fn detach_on_hangup(screen: Screen, data: PathBuf) {
    let Ok(Some(mut hangup)) = hangups() else {
        return;
    };
    if hangup.recv().await.is_none() {
        return;
    }
    let log = RunLog::create(&data);
    let log = log.inspect_err(|error| tracing::warn!(%error, "cannot create the run's log file"));
    let told = log.as_ref().map(|log| log.path.display().to_string());
    if let Ok(path) = &told {
        // The terminal may still be there, if somebody sent the signal by hand.
        screen.note(&format!(
            "the terminal has closed: the run continues in the background, and writes to {path}; `scheduler attach` shows it"
        ));
    }
    screen.leave_terminal(log.ok().map(|log| log.file));
    tracing::warn!("the terminal has closed; the run continues in the background");
}
