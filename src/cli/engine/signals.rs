//! Ending a run by signals.

use tokio::sync::oneshot;

use crate::cli::globals::{Format, Global};
use crate::cli::progress::Screen;
use crate::protocol::StopMode;
use crate::scheduler::Handle;
use crate::worker::{Asked, Signals};

/// Ends the run when the process is asked to: gently first, then at once.
pub(super) async fn end_on_signals(
    handle: oneshot::Receiver<Handle>,
    screen: Screen,
    global: Global,
) {
    let Ok(mut signals) = Signals::new() else {
        tracing::error!("cannot listen to signals; `scheduler stop` ends the run");
        return;
    };
    let Ok(handle) = handle.await else {
        return;
    };
    let mut mode = StopMode::Drain;
    loop {
        if signals.next().await == Asked::Hangup {
            // Nobody can see it work, or ask again.
            mode = StopMode::Now;
        }
        let text = match mode {
            StopMode::Drain => {
                "ending: open attempts may finish, nothing new starts; once more ends them now"
            }
            StopMode::Now => "ending now: open attempts are given back",
        };
        match (global.log_format, global.quiet) {
            (Format::Json, _) => tracing::warn!("{text}"),
            // Who pressed the key is told so, and wants no time and no level with it.
            (Format::Text, false) => screen.note(text),
            (Format::Text, true) => {}
        }
        handle.stop(mode).await;
        mode = StopMode::Now;
    }
}
