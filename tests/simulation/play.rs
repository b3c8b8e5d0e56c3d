//! Playing a scenario, and telling people of one that fails.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::scenario::Scenario;
use super::shrink::shrink;
use super::sight::Violation;
use super::world::{Stats, World};
use crate::model::clip::clip;

/// Lines of a trail that are shown; what led to the failure stands at its end.
const TRAIL_MAX: usize = 160;
const LINE_BYTES_MAX: usize = 260;

/// Plays a scenario to its end.
pub fn play(scenario: &Scenario) -> (Result<(), Violation>, Stats) {
    let mut world = World::new(scenario.clone());
    let result = run(&mut world);
    (result, world.stats)
}

/// A panic of the code under test is a failure like any other.
fn run(world: &mut World) -> Result<(), Violation> {
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Violation {
            checker: "nothing panics",
            what: words.unwrap_or("no words").to_owned(),
        })
    })
}

/// All that a person needs who is to mend it: the line that shows it again, and the smallest
/// history found that breaks the same promise.
pub fn explain(seed: u64, violation: &Violation) -> String {
    let breaks = |scenario: &Scenario| {
        let (result, _) = play(scenario);
        result.is_err_and(|it| it.checker == violation.checker)
    };
    let whole = Scenario::new(seed);
    let planned = whole.planned.len();
    let smallest = shrink(whole, breaks);
    let mut world = World::new(smallest.clone());
    world.trail = Some(Vec::new());
    let found = run(&mut world).err().unwrap_or_else(|| violation.clone());
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", clip(&words, LINE_BYTES_MAX));
    };
    line(format!(
        "seed {seed}: {}: {}",
        violation.checker, violation.what
    ));
    line(format!(
        "to see it again: SIMULATION_SEED={seed} cargo test --lib simulation::seeds -- --nocapture"
    ));
    line(format!(
        "the smallest history found: {} of {planned} faults, {} features, {} coding and {} testing workers, {:?}, {:?}",
        smallest.planned.len(),
        smallest.backlog.len(),
        smallest.coding,
        smallest.testing,
        smallest.trouble,
        smallest.settings,
    ));
    let trail = world.trail.unwrap_or_default();
    let hidden = trail.len().saturating_sub(TRAIL_MAX);
    if hidden > 0 {
        line(format!("  ... {hidden} lines before"));
    }
    trail.into_iter().skip(hidden).for_each(&mut line);
    line(format!("{}: {}", found.checker, found.what));
    text
}
