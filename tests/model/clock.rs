//! Durations leave out what the clock has jumped by, and nobody believes an attempt of 400 days.

use crewlog::model::command::Command;
use crewlog::model::event::Event;
use crewlog::model::settings::Settings;
use crewlog::model::views::{self, Timeline};

use crate::given::{CODING, Story as Given, TESTING, names};

const HOUR: u64 = 3_600_000;
const DAYS: u64 = 400 * 24 * HOUR;

fn jump(given: &mut Given, by_ms: u64) {
    given.wait(by_ms);
    let events = given.ok(Command::NoteJump { by_ms });
    assert_eq!(names(&events), ["ClockJumped"]);
}

#[test]
fn durations_leave_jumps_out_wherever_they_are_told() {
    for by_ms in [HOUR, DAYS] {
        let mut story = Given::of(&[(1, &[])]);
        let attempt = story.hire(CODING);
        story.wait(20_000);
        jump(&mut story, by_ms);
        story.wait(10_000);
        let view = views::status(&story.state, story.now);
        assert_eq!(view.attempts[0].ran_ms, 30_000);
        assert_eq!(view.run.as_ref().map(|run| run.ran_ms), Some(30_000));
        let mut told = Timeline::after(&story.state);
        let begin = story.log.len();
        story.pass(attempt);
        let lines = story.log[begin..].iter().map(|event| told.describe(event));
        let elapsed: Vec<_> = lines.filter_map(|line| line.elapsed_ms).collect();
        assert!(
            !elapsed.is_empty() && elapsed.iter().all(|&ms| ms == 30_000),
            "{elapsed:?}"
        );
        // The same when it is told from the beginning.
        let mut told = Timeline::default();
        let lines = story.log.iter().map(|event| told.describe(event));
        let passed = lines.filter(|line| line.label == views::Label::Pass).last();
        assert_eq!(passed.and_then(|line| line.elapsed_ms), Some(30_000));
        let estimate = story.state.estimates().ms("core");
        assert!(
            estimate < 600_000,
            "it learns from half a minute: {estimate}"
        );
        let state = &story.state;
        let run = state.run.as_ref().expect("a run");
        let ran_ms = state.ran_ms(run.started_at, run.jumped_ms, state.at);
        assert_eq!(ran_ms, 30_000);
    }
}

#[test]
fn an_attempt_during_which_nobody_measured_teaches_nothing_absurd() {
    let settings = Settings {
        time_limit_ms: HOUR,
        ..Settings::default()
    };
    let mut story = Given::with(settings, &[(1, &[])]);
    let attempt = story.hire(CODING);
    // The clock was set while no scheduler ran: nothing tells of the jump.
    story.wait(DAYS);
    story.pass(attempt);
    let estimate = story.state.estimates().ms("core");
    assert!(estimate <= 2 * HOUR, "{estimate}");
}

#[test]
fn a_clock_that_is_set_back_shows_no_negative_times() {
    let mut story = Given::of(&[(1, &[])]);
    story.hire(CODING);
    story.wait(5_000);
    story.join(TESTING);
    // Whoever looks has an earlier time than the last event's.
    let earlier = crewlog::model::ids::Timestamp(5);
    let view = views::status(&story.state, earlier);
    assert_eq!(view.attempts[0].ran_ms, 5_000);
}

#[test]
fn a_jump_is_noted_only_while_a_run_is_open() {
    let mut story = Given::empty();
    assert!(story.ok(Command::NoteJump { by_ms: 5 }).is_empty());
    story.start(Settings::default());
    assert!(story.ok(Command::NoteJump { by_ms: 0 }).is_empty());
    let events = story.ok(Command::NoteJump { by_ms: 5 });
    assert!(matches!(events.as_slice(), [Event::ClockJumped(it)] if it.by_ms == 5));
}
