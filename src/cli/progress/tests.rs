use super::render::{Load, lines, news, totals};
use super::screen::DisplayMode;
use super::view::{Counts, View};
use crate::cli::globals::ProgressMode;
use crate::cli::render::{RenderStyle, permanent};
use crate::cli::text::{Palette, width};
use crate::model::event::*;
use crate::model::evidence::{Basis, Evidence, Failure, FailureKind, Usage};
use crate::model::feature::FeatureSpec;
use crate::model::ids::*;
use crate::model::settings::WorkerKind;
use crate::model::views::EventLine;
use crate::protocol::{Live, LiveAttempt, MissingWorkers, Phase};

/// A view that gets events, a second apart.
#[derive(Default)]
struct Run {
    view: View,
    head: u64,
}

impl Run {
    fn record(&mut self, event: impl Into<Event>) -> EventLine {
        self.head += 1;
        self.view.event(&Recorded {
            sequence: Sequence(self.head),
            epoch: Epoch(1),
            at: Timestamp(self.head * 1_000),
            cause: CommandId(0),
            actor: crate::model::actor::Actor::Scheduler,
            event: event.into(),
        })
    }

    fn add(&mut self, number: u32, name: &str) {
        let spec = FeatureSpec {
            name: name.to_owned(),
            ..FeatureSpec::default()
        };
        self.record(FeatureAdded {
            feature: FeatureId(number),
            spec,
        });
    }

    fn join(&mut self, kind: WorkerKind, name: &str) -> WorkerId {
        let (name, process) = (name.to_owned(), ProcessIdentity::default());
        self.record(WorkerJoined {
            kind,
            name,
            process,
        });
        WorkerId(self.head)
    }

    fn start(&mut self, worker: WorkerId, features: &[u32]) -> AttemptId {
        let features: Vec<FeatureId> = features.iter().copied().map(FeatureId).collect();
        self.record(FeatureAssigned {
            worker,
            features,
            attempt_number: 1,
            base: CommitId::default(),
            terms: RankTerms::default(),
            runners_up: Vec::new(),
            ready: 1,
        });
        let job = JobId(self.head);
        self.record(AttemptStarted {
            job,
            worker,
            profile: None,
        });
        AttemptId(self.head)
    }

    fn pass(&mut self, feature: u32, attempt: AttemptId) -> EventLine {
        let evidence = Evidence {
            basis: Basis::Checks,
            commit: CommitId::default(),
            tree: CommitId::default(),
            checks: Vec::new(),
        };
        self.record(FeaturePassed {
            feature: FeatureId(feature),
            attempt,
            evidence,
        })
    }

    fn fail(&mut self, feature: u32, attempt: AttemptId, reason: &str) -> EventLine {
        self.record(FeatureFailed {
            feature: FeatureId(feature),
            attempt,
            failure: Failure::new(FailureKind::CheckFailed, reason),
            not_before: Timestamp(0),
        })
    }

    fn style(&self, width: Option<usize>) -> RenderStyle {
        let palette = Palette { color: false };
        RenderStyle {
            palette,
            width,
            name_columns: self.view.name_columns,
        }
    }
}

fn busy() -> (Run, AttemptId, AttemptId) {
    let mut run = Run::default();
    run.add(1, "Greet by name");
    run.add(118, "Explain the greeting \u{1b}[2J at some length");
    run.add(3, "日本語で挨拶する");
    let first = run.join(WorkerKind::Coding, "worker-1");
    let second = run.join(WorkerKind::Coding, "worker-2");
    let one = run.start(first, &[1]);
    let two = run.start(second, &[118, 3]);
    (run, one, two)
}

fn live(
    attempt: AttemptId,
    phase: Phase,
    activity: &str,
    active_at: u64,
    connected: bool,
) -> LiveAttempt {
    LiveAttempt {
        attempt,
        feature: FeatureId(1),
        worker: String::new(),
        phase: Some(phase),
        activity: activity.to_owned(),
        active_at: Timestamp(active_at),
        connected,
    }
}

#[test]
fn outcomes_are_aligned_lines() {
    let (mut run, one, two) = busy();
    let style = run.style(None);
    let texts = [
        permanent(&run.pass(1, one), style),
        permanent(&run.fail(118, two, "`sh t`\nexited with 1"), style),
        permanent(&run.pass(3, two), style),
        permanent(
            &run.record(RunPaused {
                reason: "lunch\u{7}".to_owned(),
            }),
            style,
        ),
        permanent(
            &run.record(FeatureParked {
                feature: FeatureId(118),
                failures: 3,
            }),
            style,
        ),
    ];
    let expected = [
        "   PASS   3.0s    #1 Greet by name                            worker-1",
        "   FAIL   2.0s  #118 Explain the greeting ^[[2J at some length worker-2  check_failed: `sh t`",
        "   PASS   3.0s    #3 日本語で挨拶する                         worker-2",
        "  PAUSE        lunch^G",
        "   PARK         #118 Explain the greeting ^[[2J at some length           after 3 failures; `scheduler retry 118` tries again",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn open_attempts_have_a_line_each_and_the_run_one() {
    let (mut run, one, two) = busy();
    run.view.live(&Live {
        attempts: vec![
            live(one, Phase::Session, "running: sh\ttests", 10_500, true),
            live(two, Phase::Checking, "rebased", 2_000, false),
            live(AttemptId(999), Phase::Checking, "unknown", 0, true),
        ],
        draining: true,
        missing_workers: Vec::new(),
        ..Live::default()
    });
    let load = Load {
        one_minute: 1.25,
        processors: 2,
    };
    let shown = lines(
        &run.view,
        Timestamp(12_000),
        Some(load),
        10,
        run.style(Some(130)),
    );
    let expected = [
        "worker-1      #1 Greet by name                            coding      5.0s running: sh tests",
        "worker-2    #118 Explain the greeting ^[[2J at some leng… checking    3.0s not connected; rebased (10s ago)",
        "──────────────────── 0/3 passing, 2 running, ending, 11s, load 1.2/2",
    ];
    assert_eq!(shown, expected);
    run.view.missing_workers = vec![MissingWorkers {
        kind: WorkerKind::Testing,
        ends_in_ms: Some(119_000),
    }];
    let totals = totals(&run.view, Timestamp(12_000), None, run.style(None)).join("\n");
    let told = "2 running, ending, no testing worker (run ends in 1m59s), 11s";
    assert!(totals.ends_with(told), "{totals}");
    run.view.missing_workers.clear();
    let few = lines(&run.view, Timestamp(12_000), None, 1, run.style(Some(60)));
    assert_eq!(few, ["  and 2 more", "0/3 passing, 2 running, ending, 11s"]);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let (mut run, one, two) = busy();
    let long = "x".repeat(500) + &"語".repeat(500);
    run.view.live(&Live {
        attempts: vec![live(one, Phase::Session, &long, 10_500, true)],
        ..Live::default()
    });
    run.view.spent = Usage {
        input_tokens: 5_000_000,
        output_tokens: 1,
        cost_microusd: 7_000_000,
    };
    let line = run.fail(118, two, &long);
    // A longer word has a line of its own.
    let words = run.fail(118, two, &"xxxxxx ".repeat(500));
    for columns in 20..200 {
        let style = RenderStyle {
            palette: Palette { color: false },
            ..run.style(Some(columns))
        };
        let load = Some(Load {
            one_minute: 100.0,
            processors: 64,
        });
        let mut shown = lines(&run.view, Timestamp(99_000), load, 10, style);
        shown.push(permanent(&line, style));
        shown.extend(news(words.clone(), style).lines().map(str::to_owned));
        for text in shown {
            assert!(width(&text) <= columns, "{columns}: {text}");
        }
    }
}

#[test]
fn counts_follow_the_events() {
    let (mut run, one, two) = busy();
    run.pass(1, one);
    run.fail(118, two, "no");
    run.record(FeatureParked {
        feature: FeatureId(118),
        failures: 1,
    });
    let counts = run.view.counts();
    let expected = Counts {
        total: 3,
        passing: 1,
        running: 1,
        failed: 1,
        parked: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    run.record(RetryRequested {
        feature: FeatureId(118),
    });
    run.record(RetryRequested {
        feature: FeatureId(1),
    });
    run.record(FeatureSkipped {
        feature: FeatureId(3),
        reason: String::new(),
    });
    run.record(RegressionFound {
        feature: FeatureId(1),
        attempt: AttemptId(0),
        failure: Failure::new(FailureKind::CheckFailed, ""),
        suspects: Vec::new(),
    });
    run.record(AttemptLost {
        attempt: two,
        reason: "".into(),
    });
    let expected = Counts {
        total: 2,
        regressed: 1,
        failed: 1,
        ..Counts::default()
    };
    assert_eq!(run.view.counts(), expected);
    let text = totals(&run.view, Timestamp(1_000), None, run.style(None)).join("\n");
    assert_eq!(
        text,
        "──────────────────── 0/2 passing, 1 failed, 1 regressed, 0.0s"
    );
}

#[test]
fn colours_change_no_column() {
    let (mut run, one, _) = busy();
    let line = run.pass(1, one);
    let plain = run.style(Some(80));
    let coloured = RenderStyle {
        palette: Palette { color: true },
        ..plain
    };
    let text = permanent(&line, coloured);
    assert!(text.contains("\u{1b}[32m"), "{text:?}");
    let mut stripped = String::new();
    for (index, piece) in text.split('\u{1b}').enumerate() {
        let piece = if index == 0 {
            piece
        } else {
            piece.split_once('m').expect("an end").1
        };
        stripped.push_str(piece);
    }
    assert_eq!(stripped.trim_end(), permanent(&line, plain));
}

#[test]
fn bars_need_a_terminal() {
    use ProgressMode as Mode;
    let table = [
        (Mode::Auto, false, true, DisplayMode::Bars),
        (Mode::Auto, false, false, DisplayMode::Plain),
        (Mode::Bar, false, true, DisplayMode::Bars),
        (Mode::Bar, false, false, DisplayMode::Plain),
        (Mode::Counter, false, true, DisplayMode::Counter),
        (Mode::Counter, false, false, DisplayMode::Plain),
        (Mode::None, false, true, DisplayMode::Silent),
        (Mode::None, false, false, DisplayMode::Silent),
        (Mode::Bar, true, true, DisplayMode::Silent),
    ];
    for (mode, quiet, terminal, expected) in table {
        assert_eq!(
            DisplayMode::choose(mode, quiet, terminal),
            expected,
            "{mode:?} {quiet} {terminal}"
        );
    }
}
