//! Passes a run's events on to whoever is told when nobody watches.

use std::time::Duration;

use super::ended::Ended;
use super::watcher::Watcher;
use crate::cli::config::Config;
use crate::cli::error::Error;
use crate::cli::project::Project;
use crate::cli::store::now;
use crate::model::event::Recorded;
use crate::model::ids::Sequence;
use crate::model::state::State;
use crate::model::views::{Notice, NoticeFold};
use crate::notify::{End, Notifier, Origin};
use crate::protocol::Live;
use crate::queue::EventLog;
use crate::scheduler::Observer;
use crate::worker;

/// Time at the end of a run in which notices are delivered. What is left is delivered by the next.
const FINISH_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of events that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Whoever is told, if the config names somebody.
pub(super) struct Notices(Option<Notifying>);

struct Notifying {
    notifier: std::sync::Arc<Notifier>,
    /// The fold of what happens from now on.
    fold: NoticeFold,
}

impl Notices {
    /// Starts to deliver: first what an earlier scheduler did not deliver.
    pub(super) fn start(
        project: &Project,
        config: &Config,
        log: &dyn EventLog,
        state: &State,
    ) -> Result<Self, Error> {
        let targets = config.notify(|name| std::env::var(name).ok())?;
        // Without an agent, nothing but the forms of keys can be masked.
        let worker = config.worker(project);
        let mask = worker.map(|it| worker::secrets(&it, |name| std::env::var(name).ok()));
        let mask = mask.unwrap_or_default();
        let name = project.root.file_name().unwrap_or_default();
        let origin = Origin {
            project_id: project.id().unwrap_or_default(),
            project: name.to_string_lossy().into_owned(),
            root: project.root.clone(),
            mask: std::sync::Arc::new(move |text| mask.text(text)),
        };
        let idle = targets.command.is_none() && targets.webhook.is_none();
        let notifier = Notifier::start(targets, origin, &project.data, state.sequence);
        let notifier = notifier.map_err(|error| {
            Error::internal(
                "cannot start a thread for notices",
                error,
                "free some memory",
            )
        })?;
        if idle {
            return Ok(Self(None));
        }
        let fold = NoticeFold::after(state);
        deliver_earlier(&notifier, log, &fold, state.sequence);
        let notifier = std::sync::Arc::new(notifier);
        Ok(Self(Some(Notifying { notifier, fold })))
    }

    /// An observer that also passes everything to `watcher`.
    pub(super) fn observer(&mut self, watcher: Watcher) -> Box<dyn Observer> {
        let notifying = self.0.as_mut();
        let notifying = notifying.map(|it| (it.notifier.clone(), std::mem::take(&mut it.fold)));
        Box::new(Both { watcher, notifying })
    }

    /// Tells how the run ended, and waits until everybody was told, but not for long. The observer
    /// must be gone.
    pub(super) fn finish(self, ended: Result<&Ended, (&Error, Sequence)>) {
        let notifier = self
            .0
            .and_then(|it| std::sync::Arc::into_inner(it.notifier));
        let Some(notifier) = notifier else {
            return;
        };
        match ended {
            Ok(ended) => {
                let report = &ended.report;
                let reason = match ended.reason() {
                    "" => "it was interrupted",
                    reason => reason,
                };
                let notice = Notice::end(ended.state.sequence, ended.state.at, reason);
                let end = End {
                    exit_code: ended.code().code(),
                    features: report.features,
                    passing: report.passing,
                    passed: report.passed.len() as u32,
                    needs: report.needs.len() as u32,
                    wall_ms: report.wall_ms,
                    tokens: report.spent.total.tokens(),
                    cost_usd: report.spent.total.cost_microusd as f64 / 1e6,
                };
                notifier.finish(Some((&notice, end)), ended.state.sequence, FINISH_LIMIT);
            }
            Err((error, last)) => {
                let notice = Notice::end(last, now(), &error.to_string());
                let end = End {
                    exit_code: error.code.code(),
                    ..End::default()
                };
                notifier.finish(Some((&notice, end)), last, FINISH_LIMIT);
            }
        }
    }
}

/// Hands over what happened since the last notice that was delivered.
fn deliver_earlier(notifier: &Notifier, log: &dyn EventLog, fold: &NoticeFold, last: Sequence) {
    // Its names are of a later state, which reads better than an outdated one.
    let mut fold = fold.without_outage();
    let mut next = notifier.first().unwrap_or(last.next());
    while next <= last {
        let chunk = log.read(next, CHUNK_BYTES);
        let events = chunk.and_then(|chunk| {
            next = chunk.next();
            chunk.events(log.contents())
        });
        match events {
            Ok(events) if events.is_empty() => return,
            Ok(events) => {
                let notices = events.iter().filter_map(|event| fold.event(event));
                notices.for_each(|notice| notifier.send(&notice, now()));
            }
            Err(error) => return tracing::warn!(%error, "cannot read earlier events for notices"),
        }
    }
}

struct Both {
    watcher: Watcher,
    notifying: Option<(std::sync::Arc<Notifier>, NoticeFold)>,
}

impl Observer for Both {
    fn committed(&mut self, events: &[Recorded]) {
        self.watcher.committed(events);
        if let Some((notifier, fold)) = &mut self.notifying {
            let notices = events.iter().filter_map(|event| fold.event(event));
            notices.for_each(|notice| notifier.send(&notice, now()));
        }
    }

    fn live(&mut self, live: &Live) {
        self.watcher.live(live);
    }
}
