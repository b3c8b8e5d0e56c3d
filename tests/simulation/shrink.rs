//! From a history that fails to the smallest one that still does: things are taken out as long as
//! the same promise is broken.

use super::scenario::{Scenario, Trouble};

/// Histories that are tried; a larger remainder is read just as well.
const TRIES_MAX: u32 = 600;

struct Shrinking<F> {
    fails: F,
    tries: u32,
}

/// The smallest scenario found for which `fails` still holds.
pub fn shrink(scenario: Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    let mut shrinking = Shrinking { fails, tries: 0 };
    let mut smallest = scenario;
    loop {
        let before = shrinking.tries;
        let mut smaller = shrinking.planned(smallest.clone());
        smaller = shrinking.agents(smaller);
        smaller = shrinking.backlog(smaller);
        smaller = shrinking.rest(smaller);
        let done = size(&smaller) == size(&smallest) || shrinking.tries >= TRIES_MAX;
        smallest = smaller;
        if done || before == shrinking.tries {
            return smallest;
        }
    }
}

fn size(scenario: &Scenario) -> (usize, usize, usize, u32, u64) {
    let troubles = each(&scenario.trouble).into_iter().filter(|it| *it > 0);
    let workers = scenario.coding + scenario.testing + scenario.runs;
    (
        scenario.planned.len(),
        scenario.backlog.len(),
        troubles.count(),
        workers,
        scenario.fair_ms,
    )
}

fn each(trouble: &Trouble) -> [u64; 10] {
    let it = *trouble;
    [
        it.fails,
        it.lies,
        it.asks,
        it.crashes,
        it.hangs,
        it.limits,
        it.breaks,
        it.conflicts,
        it.flaky,
        it.stuck,
    ]
}

fn of(each: [u64; 10]) -> Trouble {
    let [
        fails,
        lies,
        asks,
        crashes,
        hangs,
        limits,
        breaks,
        conflicts,
        flaky,
        stuck,
    ] = each;
    Trouble {
        fails,
        lies,
        asks,
        crashes,
        hangs,
        limits,
        breaks,
        conflicts,
        flaky,
        stuck,
    }
}

impl<F: Fn(&Scenario) -> bool> Shrinking<F> {
    /// The change if it still fails, otherwise what was.
    fn attempt(&mut self, was: Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
        if self.tries >= TRIES_MAX {
            return was;
        }
        self.tries += 1;
        let mut candidate = was.clone();
        change(&mut candidate);
        match (self.fails)(&candidate) {
            true => candidate,
            false => was,
        }
    }

    /// Faults and whims: halves first, then quarters, down to single ones.
    fn planned(&mut self, mut scenario: Scenario) -> Scenario {
        let mut chunk = scenario.planned.len();
        while chunk > 0 {
            let mut start = 0;
            while start < scenario.planned.len() {
                let before = scenario.planned.len();
                let end = (start + chunk).min(before);
                scenario = self.attempt(scenario, |it| drop(it.planned.drain(start..end)));
                if scenario.planned.len() == before {
                    start = end;
                }
            }
            chunk /= 2;
        }
        scenario
    }

    fn agents(&mut self, mut scenario: Scenario) -> Scenario {
        for at in 0..each(&scenario.trouble).len() {
            let mut calm = each(&scenario.trouble);
            if std::mem::take(&mut calm[at]) > 0 {
                scenario = self.attempt(scenario, |it| it.trouble = of(calm));
            }
        }
        scenario
    }

    fn backlog(&mut self, mut scenario: Scenario) -> Scenario {
        let numbers: Vec<_> = scenario.backlog.iter().map(|(id, _)| *id).collect();
        for number in numbers.into_iter().rev() {
            if scenario.backlog.len() > 1 {
                scenario = self.attempt(scenario, |it| {
                    it.backlog.retain(|(id, _)| *id != number);
                    for (_, spec) in &mut it.backlog {
                        spec.depends_on.retain(|id| *id != number);
                    }
                });
            }
        }
        scenario
    }

    fn rest(&mut self, mut scenario: Scenario) -> Scenario {
        if scenario.runs > 1 {
            scenario = self.attempt(scenario, |it| it.runs = 1);
        }
        while scenario.coding > 1 {
            let before = scenario.coding;
            scenario = self.attempt(scenario, |it| it.coding -= 1);
            if scenario.coding == before {
                break;
            }
        }
        if scenario.testing > 1 {
            scenario = self.attempt(scenario, |it| it.testing = 1);
        }
        if scenario.settings.batch_size > 1 {
            scenario = self.attempt(scenario, |it| it.settings.batch_size = 1);
        }
        if scenario.cut_at.is_some() {
            scenario = self.attempt(scenario, |it| it.cut_at = None);
        }
        if scenario.fair_ms > 1_000 {
            scenario = self.attempt(scenario, |it| it.fair_ms /= 2);
        }
        scenario
    }
}
