//! A worker's own life as a state machine without I/O: what happened goes in, what to do comes
//! out. It knows nothing of processes, git, sockets or clocks; whoever drives it (the shell with
//! the real ones, a simulator with others) carries the effects out and says how they went.
//!
//! ```text
//! link:    down -> connecting -> greeting -> up -> down ...        (backoff with jitter)
//! attempt: make, hooks -> session -> hook -> commit -> rebase -> checks      (coding)
//!          make, hooks -> checks -> session -> hook                         (testing)
//!          -> preserve (unless it may merge) -> spool -> waiting -> clean
//!                       waiting -> rebase -> checks -> spool -> waiting     (the head moved)
//! ```
//!
//! Both continue side by side: an attempt works while the link is down, and waits for it only when
//! its result lies synced in the spool.

mod attempt;
mod ending;
mod link;
mod types;

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::clip::clip;
use crate::model::end_reason::EndReason;
use crate::model::event::ProcessIdentity;
use crate::model::ids::{CommandId, Timestamp, WorkerId};
use crate::model::settings::WorkerKind;
use crate::protocol::{HEARTBEAT_MS, SchedulerMessage, WorkerMessage};

use attempt::{Attempt, Stage, WorkStep};
use link::Link;
pub use types::{
    Activity, Done, Effect, Exit, Finished, HookPoint, Input, Leftover, Step, StepKind,
};

/// A second order to stop is carried out within this time, whatever a step or the scheduler does:
/// two seconds for an agent's polite end, a few for git and the answer.
/// A scheduler that stops, too, kills after ten seconds who is still there.
pub const STOP_LIMIT_MS: u64 = 8_000;

/// Progress is said at most so often: four times a second is as fast as people read.
const PROGRESS_INTERVAL_MS: u64 = 250;

/// Activities are a line in a terminal.
const ACTIVITY_BYTES_MAX: usize = 200;

/// How long one of a crew does without a scheduler when it has nothing at hand: a restart takes
/// seconds, and whoever ends a run should not find its workers there an hour later.
const CREW_IDLE_MS: u64 = 30_000;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The jobs it takes.
    pub kind: WorkerKind,
    /// Which process it is.
    pub process: ProcessIdentity,
    /// How long it does without a scheduler, in milliseconds.
    pub orphan_limit_ms: u64,
    /// A scheduler has started it, which starts another one when it needs one.
    pub crew: bool,
    /// What it is told, as text.
    pub config: String,
}

/// The worker's state machine: connection, attempt and steps.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    link: Link,
    /// The number that a scheduler gave us.
    worker: Option<WorkerId>,
    /// The attempt at hand.
    attempt: Option<Attempt>,
    /// What dead workers of this project left behind, to be dealt with before the first job.
    orphans: VecDeque<Leftover>,
    /// Take no more jobs and end.
    draining: Option<EndReason>,
    /// End at once; the reason, and the time at which nothing is waited for any more.
    stopping: Option<Stopping>,
    /// How often the user asked us to end.
    signals: u32,
    exited: bool,
    progress: Progress,
    /// When silence has lasted long enough.
    beat_at: Timestamp,
    out: Vec<Effect>,
}

#[derive(Debug)]
struct Stopping {
    reason: EndReason,
    exit: Exit,
    until: Timestamp,
}

/// What people were told last, and what waits to be told.
#[derive(Debug, Default)]
struct Progress {
    activity: String,
    /// Steps of the session at hand.
    steps: u32,
    unsaid: bool,
    next_at: Timestamp,
}

impl Machine {
    /// A worker that has done nothing yet. `leftovers` is what dead workers left in the spool.
    pub fn new(rules: Rules, now: Timestamp, leftovers: Vec<Leftover>) -> Self {
        Self {
            rules,
            link: Link::new(now),
            worker: None,
            attempt: None,
            orphans: leftovers.into(),
            draining: None,
            stopping: None,
            signals: 0,
            exited: false,
            progress: Progress::default(),
            beat_at: now,
            out: Vec::new(),
        }
    }

    /// Takes in what happened at `now` and says what to do, in order. `random` is drawn anew for
    /// every call: jitter and new command ids are made of it.
    pub fn step(&mut self, now: Timestamp, random: u128, input: Input) -> Vec<Effect> {
        if self.exited {
            return Vec::new();
        }
        match input {
            Input::Start => {
                self.connect();
                self.next(now);
            }
            Input::Connected => self.connected(now),
            Input::Disconnected { reason } => self.disconnected(now, random, &reason),
            Input::Message(message) => self.message(now, random, message),
            Input::Done(done) => self.step_done(now, random, done),
            Input::Activity(activity) => self.activity(now, &activity),
            Input::Signal => self.signal(now),
            Input::Tick => {}
        }
        self.timers(now, random);
        if self
            .out
            .iter()
            .any(|effect| matches!(effect, Effect::Send(_)))
        {
            self.beat_at = now.plus_ms(HEARTBEAT_MS);
        }
        std::mem::take(&mut self.out)
    }

    /// When to call [`Machine::step`] with a [`Input::Tick`], unless something happens before.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let attempt = self.attempt.as_ref();
        let silent = planted!(IdleWorkerSilent) && attempt.is_none();
        let orphaned = self
            .link
            .lonely_since()
            .and_then(|since| Some(since.plus_ms(self.lonely_ms_max()?)));
        [
            self.link.wake_at(),
            orphaned,
            attempt.and_then(Attempt::deadline),
            self.stopping.as_ref().map(|stopping| stopping.until),
            (self.progress.unsaid && self.link.is_up()).then_some(self.progress.next_at),
            (self.link.is_up() && !silent).then_some(self.beat_at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn message(&mut self, now: Timestamp, random: u128, message: SchedulerMessage) {
        match message {
            SchedulerMessage::Welcome {
                worker,
                name,
                holding_accepted,
                ..
            } => self.welcomed(now, worker, &name, holding_accepted),
            SchedulerMessage::Refused(problem) => {
                self.log_line(format!("the scheduler refused this worker: {problem}"));
                self.stop(now, problem.to_string().into(), Exit::Refused(problem));
            }
            SchedulerMessage::Job(offer) => self.job(now, random, *offer),
            SchedulerMessage::Rebase {
                command,
                attempt,
                onto,
            } => self.rebase_ordered(now, random, command, attempt, onto),
            SchedulerMessage::Reported {
                attempt,
                verdict,
                acknowledged,
                ..
            } => self.reported(now, attempt, verdict, acknowledged),
            SchedulerMessage::Cancel { attempt, reason } => {
                self.cancelled(now, random, attempt, reason);
            }
            SchedulerMessage::Drain { reason } => self.drain(now, reason),
            SchedulerMessage::Stop { reason } => self.stop(now, reason, Exit::Stopped),
        }
    }

    /// Between two attempts: what comes next?
    fn next(&mut self, now: Timestamp) {
        if self.exited || self.attempt.is_some() {
            return;
        }
        if let Some(stopping) = &self.stopping {
            let (reason, exit) = (stopping.reason.clone(), stopping.exit.clone());
            return self.leave(reason, exit);
        }
        if let Some(reason) = self.draining.clone() {
            return self.leave(reason, Exit::Drained);
        }
        if let Some(leftover) = self.orphans.pop_front() {
            return self.take_up(now, leftover);
        }
        if self.link.is_up() {
            self.send(WorkerMessage::Ready);
        }
    }

    fn signal(&mut self, now: Timestamp) {
        self.signals += 1;
        match self.signals {
            1 => {
                if self.attempt.is_some() {
                    let end = "ending after the current attempt; Ctrl-C again stops it now";
                    self.log_line(end.to_owned());
                }
                self.drain(now, EndReason::WorkerEnding);
            }
            2 => self.stop(now, EndReason::WorkerStopped, Exit::Interrupted),
            _ => self.leave(EndReason::WorkerStopped, Exit::Interrupted),
        }
    }

    fn drain(&mut self, now: Timestamp, reason: EndReason) {
        self.draining.get_or_insert(reason);
        // Another worker's result is safe in the spool; only an attempt of our own is finished.
        if self.attempt.as_ref().is_some_and(Attempt::is_idle_orphan) {
            self.attempt = None;
        }
        self.next(now);
    }

    fn timers(&mut self, now: Timestamp, random: u128) {
        if self.exited {
            return;
        }
        self.link_timers(now, random);
        self.settled(now, random);
        self.time_limit(now);
        if self.progress.unsaid && now >= self.progress.next_at && self.link.is_up() {
            self.say_progress(now);
        }
        // Also without an attempt: a scheduler gives no job to a worker that says nothing.
        let silent = planted!(IdleWorkerSilent) && self.attempt.is_none();
        if now >= self.beat_at && self.link.is_up() && !silent {
            self.send(WorkerMessage::Heartbeat);
        }
        if let Some(stopping) = self.stopping.as_ref().filter(|one| now >= one.until) {
            let (reason, exit) = (stopping.reason.clone(), stopping.exit.clone());
            return self.leave(reason, exit);
        }
        let limit_ms = self.lonely_ms_max();
        let over = |limit_ms: &u64| {
            let since = self.link.lonely_since();
            since.is_some_and(|since| now >= since.plus_ms(*limit_ms))
        };
        if let Some(limit_ms) = limit_ms.filter(over) {
            let limit = Duration::from_millis(limit_ms);
            let limit = humantime::format_duration(limit);
            self.log_line(format!(
                "no scheduler for {limit}; start one with `scheduler run`, then this worker again"
            ));
            self.leave(EndReason::NoScheduler, Exit::NoScheduler);
        }
    }

    /// How long it does without a scheduler as things are; none while it works.
    fn lonely_ms_max(&self) -> Option<u64> {
        let all = self.rules.orphan_limit_ms;
        match &self.attempt {
            Some(attempt) if !attempt.is_waiting() => None,
            // Its own result is worth the wait; what it found in the spool is safe there.
            Some(attempt) if !attempt.is_idle_orphan() => Some(all),
            _ if self.rules.crew => Some(all.min(CREW_IDLE_MS)),
            _ => Some(all),
        }
    }

    fn activity(&mut self, now: Timestamp, activity: &Activity) {
        let Some(attempt) = self.attempt.as_mut() else {
            return;
        };
        let before = attempt.phase();
        if let Stage::Working { step, .. } = &mut attempt.stage
            && let WorkStep::Session { begun, .. } = step
        {
            *begun = true;
        }
        // The first one lets other agents go; it is not to wait for the next line.
        // Before its session, the last steps that were seen are of an earlier attempt.
        let steps = match attempt.has_session() {
            true => activity.steps,
            false => 0,
        };
        let answers = self.progress.steps == 0 && steps > 0;
        self.progress.steps = steps;
        let changed = attempt.phase() != before || answers;
        let line = activity.line.lines().next().unwrap_or_default();
        self.progress.activity = clip(line, ACTIVITY_BYTES_MAX).to_owned();
        self.progress.unsaid = true;
        if (changed || now >= self.progress.next_at) && self.link.is_up() {
            self.say_progress(now);
        }
    }

    fn say_progress(&mut self, now: Timestamp) {
        self.progress.unsaid = false;
        self.progress.next_at = now.plus_ms(PROGRESS_INTERVAL_MS);
        let Some((attempt, phase)) = self.attempt.as_ref().and_then(Attempt::phase) else {
            return;
        };
        let activity = self.progress.activity.clone();
        self.send(WorkerMessage::Progress {
            attempt,
            phase,
            activity,
            steps: self.progress.steps,
        });
    }

    fn leave(&mut self, reason: EndReason, exit: Exit) {
        if self.link.is_up() {
            self.send(WorkerMessage::Leaving { reason });
        }
        self.exited = true;
        self.out.push(Effect::Exit(exit));
    }

    fn send(&mut self, message: WorkerMessage) {
        self.out.push(Effect::Send(message));
    }

    fn log_line(&mut self, line: String) {
        self.out.push(Effect::Say(line));
    }
}

/// A new command id: like a ULID, its first 48 bits are the time and the others drawn.
fn command_id(now: Timestamp, random: u128) -> CommandId {
    CommandId(ulid::Ulid::from_parts(now.0, random).0)
}

#[cfg(test)]
mod tests;
