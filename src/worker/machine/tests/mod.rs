//! Given a worker at some point of its life, when something happens, then these effects.

mod attempts;
mod endings;
mod life;
mod progress;

use crate::model::event::ProcessIdentity;
use crate::model::evidence::{CheckRun, Failure, FailureKind, SessionEnd, Usage};
use crate::model::feature::FeatureSpec;
use crate::model::ids::{
    AttemptId, CommandId, CommitId, ContentHash, Epoch, FeatureId, JobId, Sequence, Timestamp,
    WorkerId,
};
use crate::model::report::{AttemptReport, JobFeature, Report};
use crate::model::settings::{Settings, WorkerKind};
use crate::protocol::{JobOffer, SchedulerMessage, Verdict, WorkerMessage};
use crate::worker::outcome::{FeatureChecks, RebasedCommit, Seen, SessionResult};
use crate::worker::verdict::Reading;

use super::attempt::Stage;
use super::{Activity, Done, Effect, Finished, Input, Leftover, Machine, Rules, Step, StepKind};

const ATTEMPT: AttemptId = AttemptId(7);
const ORPHAN_LIMIT_MS: u64 = 60_000;

/// A machine, its clock, and its dice.
struct Rig {
    machine: Machine,
    now: Timestamp,
    random: u128,
    kind: WorkerKind,
}

/// The points of an undisturbed coding attempt, in order.
const POINTS: [&str; 11] = [
    "make",
    "hook AfterCreate",
    "hook BeforeRun",
    "session #5",
    "hook AfterRun",
    "commit",
    "rebase 1",
    "check #5",
    "spool c mergeable",
    "waiting",
    "clean",
];

fn commit(digit: u8) -> CommitId {
    digit.to_string().repeat(40).parse().expect("a commit")
}

fn feature(id: u32, checks: &[&str]) -> JobFeature {
    JobFeature {
        id: FeatureId(id),
        spec: FeatureSpec {
            name: format!("feature {id}"),
            checks: checks.iter().map(ToString::to_string).collect(),
            ..FeatureSpec::default()
        },
        regressed: false,
        regression: None,
        previous_failures: Vec::new(),
        answers: Vec::new(),
    }
}

fn offer(kind: WorkerKind, features: Vec<JobFeature>) -> JobOffer {
    JobOffer {
        job: JobId(6),
        attempt: ATTEMPT,
        kind,
        profile: Some("claude".into()),
        attempt_number: 1,
        base: commit(1),
        branch: "crewlog/main".to_owned(),
        features,
        settings: Settings {
            time_limit_ms: 50_000,
            ..Settings::default()
        },
        acknowledged: Sequence(7),
    }
}

fn rebased(onto: u8, at: u8) -> RebasedCommit {
    RebasedCommit {
        onto: commit(onto),
        commit: commit(at),
        tree: commit(9),
        touched: vec!["a".to_owned()],
        touched_total: 1,
    }
}

fn session(end: SessionEnd) -> SessionResult {
    SessionResult {
        end,
        failure: None,
        detail: String::new(),
        limited_until: None,
        usage: Usage {
            input_tokens: 10,
            ..Usage::default()
        },
        verdict: Reading::default(),
        seen: WORKED,
    }
}

/// What is seen of an agent that does its work.
const WORKED: Seen = Seen {
    started: true,
    steps: 3,
    said: true,
    busy: false,
    worked: true,
};

fn activity(line: String) -> Activity {
    Activity { line, steps: 0 }
}

fn checks(feature: u32, exit_codes: &[i32]) -> FeatureChecks {
    let run = |exit_code: &i32| CheckRun {
        command: "make test".to_owned(),
        end: (*exit_code).into(),
        duration_ms: 1,
        output: ContentHash::default(),
    };
    FeatureChecks {
        feature: FeatureId(feature),
        runs: exit_codes.iter().map(run).collect(),
        tail: "last words".to_owned(),
        removed: Vec::new(),
        killed: false,
    }
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "because")
}

impl Rig {
    fn new(kind: WorkerKind) -> Self {
        Self::with_leftovers(kind, Vec::new())
    }

    fn with_leftovers(kind: WorkerKind, leftovers: Vec<Leftover>) -> Self {
        let now = Timestamp(1_000_000);
        let rules = Rules {
            kind,
            process: ProcessIdentity::default(),
            orphan_limit_ms: ORPHAN_LIMIT_MS,
            config: String::new(),
            crew: false,
        };
        Self {
            machine: Machine::new(rules, now, leftovers),
            now,
            random: 0,
            kind,
        }
    }

    /// Feeds an input; the effects in words, without what is only told to people.
    fn give(&mut self, input: Input) -> Vec<String> {
        words(&self.raw(input))
    }

    fn raw(&mut self, input: Input) -> Vec<Effect> {
        self.random += 1;
        self.machine.step(self.now, self.random, input)
    }

    fn hear(&mut self, message: SchedulerMessage) -> Vec<String> {
        self.give(Input::Message(message))
    }

    fn done(&mut self, finished: Finished) -> Vec<String> {
        self.result(Ok(finished))
    }

    fn result(&mut self, result: Result<Finished, Failure>) -> Vec<String> {
        words(&self.settled(result))
    }

    /// Ends the running step, and waits while a failure settles.
    fn settled(&mut self, result: Result<Finished, Failure>) -> Vec<Effect> {
        let done = Done {
            attempt: ATTEMPT,
            result,
        };
        let effects = self.raw(Input::Done(done));
        let attempt = self.machine.attempt.as_ref();
        match attempt.map(|one| one.stage.clone()) {
            Some(Stage::Settling { until, .. }) => {
                assert!(words(&effects).is_empty(), "nothing is done meanwhile");
                self.now = until;
                self.raw(Input::Tick)
            }
            _ => effects,
        }
    }

    fn unsettled(&mut self, result: Result<Finished, Failure>) -> Vec<String> {
        self.give(Input::Done(Done {
            attempt: ATTEMPT,
            result,
        }))
    }

    fn welcome(&mut self, holding_accepted: bool) -> Vec<String> {
        self.hear(SchedulerMessage::Welcome {
            worker: WorkerId(3),
            name: "worker-1".to_owned(),
            epoch: Epoch(1),
            holding_accepted,
        })
    }

    fn lose_link(&mut self) -> Vec<String> {
        let reason = "reset".to_owned();
        self.give(Input::Disconnected { reason })
    }

    /// Lets time pass until the machine wants to be woken, and wakes it.
    fn wake(&mut self) -> Vec<String> {
        let at = self.machine.wake_at().expect("something to wait for");
        self.now = at.max(self.now);
        self.give(Input::Tick)
    }

    /// Connects and is welcomed; what the welcome brings.
    fn reconnect(&mut self, holding_accepted: bool) -> Vec<String> {
        let mut effects = self.wake();
        while !effects.contains(&"connect".to_owned()) {
            effects = self.wake();
        }
        self.give(Input::Connected);
        self.welcome(holding_accepted)
    }

    fn ready(kind: WorkerKind) -> Self {
        let mut rig = Self::new(kind);
        assert_eq!(rig.give(Input::Start), ["connect"]);
        assert_eq!(rig.give(Input::Connected), ["hello -"]);
        assert_eq!(rig.welcome(true), ["ready"]);
        rig
    }

    fn job(&mut self, features: Vec<JobFeature>) -> Vec<String> {
        let offer = Box::new(offer(self.kind, features));
        self.hear(SchedulerMessage::Job(offer))
    }

    fn reported(&mut self, verdict: Verdict) -> Vec<String> {
        self.hear(SchedulerMessage::Reported {
            command: CommandId(1),
            attempt: ATTEMPT,
            verdict,
            acknowledged: Sequence(9),
        })
    }

    /// The answer to the last report: the head has moved.
    fn rebase(&mut self, onto: u8) -> Vec<String> {
        let attempt = self.machine.attempt.as_ref();
        let command = attempt.and_then(|one| Some(one.report()?.command));
        self.hear(SchedulerMessage::Rebase {
            command: command.expect("a report"),
            attempt: ATTEMPT,
            onto: commit(onto),
        })
    }

    fn cancel(&mut self) -> Vec<String> {
        self.hear(SchedulerMessage::Cancel {
            attempt: ATTEMPT,
            reason: "skipped".into(),
        })
    }

    /// A coding worker whose undisturbed attempt has come to this point.
    fn at(point: &str) -> Self {
        let mut rig = Self::ready(WorkerKind::Coding);
        let mut seen = rig.job(vec![feature(5, &["make test"])]);
        for step in POINTS {
            let expected = if step == "waiting" {
                "report c mergeable"
            } else {
                step
            };
            assert_eq!(seen, [expected], "on the way to {point}");
            if step == point {
                return rig;
            }
            seen = rig.go_on(step);
        }
        panic!("no such point: {point}");
    }

    /// Ends the step of this point as it should end.
    fn go_on(&mut self, point: &str) -> Vec<String> {
        match point {
            "make" => self.done(Finished::Made(RebasedCommit::default())),
            "session #5" => self.done(Finished::Session(Box::new(session(SessionEnd::Completed)))),
            "commit" => self.done(Finished::Committed),
            "rebase 1" => self.done(Finished::Rebased(rebased(1, 2))),
            "check #5" => self.done(Finished::Checked(vec![checks(5, &[0])])),
            "waiting" => self.reported(Verdict::Passed),
            "clean" => self.done(Finished::Cleaned),
            "preserve" => self.done(Finished::Preserved(Some("refs/x".to_owned()))),
            hook if hook.starts_with("hook") => self.done(Finished::Hooked),
            spool if spool.starts_with("spool") => self.done(Finished::Spooled),
            other => panic!("no way on from {other}"),
        }
    }

    /// Goes on with whatever the effects begin until nothing is begun any more; all effects.
    fn run_on(&mut self, mut effects: Vec<String>) -> Vec<String> {
        let mut all = effects.clone();
        while let Some(step) = effects.last().cloned() {
            let is_step =
                ["preserve", "clean"].contains(&step.as_str()) || step.starts_with("spool");
            if !is_step {
                break;
            }
            effects = self.go_on(&step);
            all.extend(effects.clone());
        }
        all
    }
}

/// Effects in words. Reports and spools show the command's place among the reports: `c`, so that
/// tests compare the ids themselves where they matter.
fn words(effects: &[Effect]) -> Vec<String> {
    effects.iter().filter_map(word).collect()
}

fn word(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Connect => "connect".to_owned(),
        Effect::Disconnect => "disconnect".to_owned(),
        Effect::Interrupt => "interrupt".to_owned(),
        Effect::Say(_) => return None,
        Effect::Exit(exit) => format!("exit {exit:?}"),
        Effect::Send(message) => match message {
            WorkerMessage::Hello { holding, .. } => match holding {
                Some(holding) => format!("hello {}", holding.attempt),
                None => "hello -".to_owned(),
            },
            WorkerMessage::Ready => "ready".to_owned(),
            WorkerMessage::Progress { .. } | WorkerMessage::Heartbeat => return None,
            WorkerMessage::Report(report) => format!("report c {}", report.report.as_str()),
            WorkerMessage::Leaving { .. } => "leaving".to_owned(),
        },
        Effect::Begin(Step { kind, .. }) => match kind {
            StepKind::Make(_) => "make".to_owned(),
            StepKind::Hook(point) => format!("hook {point:?}"),
            StepKind::Session(features) => format!("session {}", list(features)),
            StepKind::Commit => "commit".to_owned(),
            StepKind::Rebase(onto) => format!("rebase {}", onto.as_str().get(..1).unwrap_or("?")),
            StepKind::Check { features, .. } => format!("check {}", list(features)),
            StepKind::Preserve => "preserve".to_owned(),
            StepKind::Spool(report) => format!("spool c {}", report.report.as_str()),
            StepKind::Clean => "clean".to_owned(),
        },
    })
}

fn list(features: &[FeatureId]) -> String {
    let words: Vec<String> = features.iter().map(ToString::to_string).collect();
    words.join(" ")
}

/// The report that is sent among these effects.
fn report_in(effects: &[Effect]) -> Option<AttemptReport> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(WorkerMessage::Report(report)) => Some(report.clone()),
        _ => None,
    })
}

/// The result that is spooled among these effects.
fn spooled_in(effects: &[Effect]) -> Option<AttemptReport> {
    effects.iter().find_map(|effect| match effect {
        Effect::Begin(Step {
            kind: StepKind::Spool(spooled),
            ..
        }) => Some((**spooled).clone()),
        _ => None,
    })
}
