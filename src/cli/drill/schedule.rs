//! Decides which processes a strike hits, from seeded random numbers alone.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use super::targets::{Kind, Target};

/// How many of a hundred strikes hit which processes. Schedulers and workers are hit more often,
/// because they hold reservations and must recover; only its worker must notice an agent's death.
const SHAPES: [(u32, Shape); 6] = [
    (25, Shape::One(Kind::Scheduler)),
    (27, Shape::One(Kind::Worker)),
    (25, Shape::One(Kind::Agent)),
    (10, Shape::Pair(Kind::Scheduler, Kind::Worker)),
    (8, Shape::Pair(Kind::Worker, Kind::Worker)),
    (5, Shape::All),
];

/// Of ten killed schedulers, this many have a successor that is killed while it starts.
const AGAIN_OF_TEN: u32 = 3;
/// Longest delay of that kill; a scheduler is ready after some tens of milliseconds.
const AGAIN_MS_MAX: u64 = 60;

#[derive(Clone, Copy, Debug)]
enum Shape {
    One(Kind),
    Pair(Kind, Kind),
    All,
}

/// Draws the targets of a strike. If no process of the drawn kind is alive, any process is hit; if
/// none is alive at all, the result is empty.
pub fn draw(alive: &[Target], random: &mut StdRng) -> Vec<Target> {
    let mut at = random.random_range(0..SHAPES.iter().map(|(share, _)| share).sum());
    let shape = SHAPES.iter().find_map(|(share, shape)| {
        let hit = at < *share;
        at = at.saturating_sub(*share);
        hit.then_some(*shape)
    });
    let mut hit = match shape {
        Some(Shape::One(kind)) => one(alive, kind, &[], random),
        Some(Shape::Pair(first, second)) => {
            let mut hit = one(alive, first, &[], random);
            let more = one(alive, second, &hit, random);
            hit.extend(more);
            hit
        }
        Some(Shape::All) => alive.to_vec(),
        None => Vec::new(),
    };
    if hit.is_empty() {
        hit.extend(pick(&alive.iter().collect::<Vec<_>>(), random).cloned());
    }
    hit
}

fn one(alive: &[Target], kind: Kind, but: &[Target], random: &mut StdRng) -> Vec<Target> {
    let fit: Vec<&Target> = alive
        .iter()
        .filter(|target| target.kind == kind && !but.contains(target))
        .collect();
    pick(&fit, random).cloned().into_iter().collect()
}

fn pick<'a>(from: &[&'a Target], random: &mut StdRng) -> Option<&'a Target> {
    let at = random.next_u64() % u64::try_from(from.len()).unwrap_or(0).max(1);
    from.get(usize::try_from(at).unwrap_or(0)).copied()
}

/// Milliseconds until the next strike; the mean is `every_ms`.
pub fn pause_ms(every_ms: u64, random: &mut StdRng) -> u64 {
    random.random_range(every_ms / 2..=every_ms + every_ms / 2)
}

/// If the successor of a killed scheduler is to be killed too, after how many milliseconds.
pub fn again_ms(random: &mut StdRng) -> Option<u64> {
    let again = random.random_range(0..10) < AGAIN_OF_TEN;
    let after = random.random_range(0..=AGAIN_MS_MAX);
    again.then_some(after)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    fn crew() -> Vec<Target> {
        let kinds = [
            Kind::Scheduler,
            Kind::Worker,
            Kind::Worker,
            Kind::Agent,
            Kind::Agent,
        ];
        let target = |(pid, kind)| Target {
            pid,
            kind,
            attempt: None,
        };
        (1..).zip(kinds).map(target).collect()
    }

    #[test]
    fn everybody_is_hit_alone_and_with_others_and_the_seed_decides() {
        let mut random = StdRng::seed_from_u64(1);
        let drawn: Vec<Vec<u32>> = (0..400)
            .map(|_| draw(&crew(), &mut random).iter().map(|it| it.pid).collect())
            .collect();
        let shapes: BTreeSet<Vec<u32>> = drawn.iter().cloned().collect();
        for pid in 1..=5 {
            assert!(shapes.contains(&vec![pid]), "{pid} alone");
        }
        assert!(shapes.contains(&vec![1, 2, 3, 4, 5]), "all at once");
        assert!(shapes.contains(&vec![1, 3]) && shapes.contains(&vec![2, 3]));
        let mut random = StdRng::seed_from_u64(1);
        let again: Vec<u32> = draw(&crew(), &mut random).iter().map(|it| it.pid).collect();
        assert_eq!(Some(&again), drawn.first());
    }

    #[test]
    fn a_strike_hits_whoever_is_there() {
        let mut random = StdRng::seed_from_u64(2);
        let only: Vec<Target> = crew().into_iter().skip(4).collect();
        assert!((0..100).all(|_| draw(&only, &mut random) == only));
        assert!(draw(&[], &mut random).is_empty());
    }

    #[test]
    fn pauses_are_as_long_as_asked_on_average() {
        let mut random = StdRng::seed_from_u64(3);
        let sum: u64 = (0..1_000).map(|_| pause_ms(500, &mut random)).sum();
        assert!((450_000..550_000).contains(&sum), "{sum}");
        assert_eq!(pause_ms(0, &mut random), 0);
        let again = (0..1_000).filter_map(|_| again_ms(&mut random)).count();
        assert!((200..400).contains(&again), "{again}");
    }
}
