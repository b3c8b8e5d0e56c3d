//! Ends a run on signals.

use tokio::sync::oneshot;

use crate::cli::globals::{Format, Global};
use crate::cli::progress::Screen;
use crate::protocol::StopMode;
use crate::scheduler::Handle;
use crate::worker::{Asked, Signals};

/// Ends the run on signals: the first lets open attempts finish, the second ends them.
pub(super) async fn end_on_signals(
    handle: oneshot::Receiver<Handle>,
    screen: Screen,
    global: Global,
) {
    let Ok(mut signals) = Signals::new() else {
        tracing::error!("cannot handle signals; end the run with `scheduler stop`");
        return;
    };
    let Ok(handle) = handle.await else {
        return;
    };
    let mut mode = StopMode::Drain;
    loop {
        if signals.next().await == Asked::Hangup {
            // The terminal is closed, so nobody could press Ctrl-C again.
            mode = StopMode::Now;
        }
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
