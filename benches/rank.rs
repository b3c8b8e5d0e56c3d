//! How long ranks and counts of 100,000 features take, for backlogs of several shapes.
//!
//! `cargo bench --bench rank`, or with part of a shape's name behind `--` for that one only.

use std::time::Instant;

use crewlog::model::graph::Graph;
use crewlog::model::rank::Ranks;

const FEATURES: u32 = 100_000;
const ROUNDS: usize = 11;

/// A small generator of our own (xorshift64*), so that the shapes never change.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        ((high * u64::from(limit)) >> 32) as u32
    }
}

fn build(mut dependencies: impl FnMut(u32, &mut Draw) -> Vec<u32>) -> Graph {
    let mut draw = Draw(0x9E37_79B9_7F4A_7C15);
    let mut graph = Graph::default();
    for _ in 0..FEATURES {
        let slot = graph.add();
        graph.set_dependencies(slot, dependencies(slot, &mut draw));
    }
    graph
}

/// The same features, their slots in any order.
fn shuffled(graph: &Graph) -> Graph {
    let mut draw = Draw(7);
    let mut slots: Vec<u32> = (0..FEATURES).collect();
    for at in (1..FEATURES).rev() {
        slots.swap(at as usize, draw.below(at + 1) as usize);
    }
    let mut other = build(|_, _| Vec::new());
    for slot in 0..FEATURES {
        let on = graph
            .dependencies(slot)
            .iter()
            .map(|&on| slots[on as usize]);
        other.set_dependencies(slots[slot as usize], on.collect());
    }
    other
}

/// 100 layers of 1,000: 1 to 4 dependencies, four fifths on the layer before, the others up to
/// five layers back; at most `reach` places to the left or right within the layer.
fn layered(slot: u32, draw: &mut Draw, reach: u32) -> Vec<u32> {
    let (layer, place) = (slot / 1_000, slot % 1_000);
    if layer == 0 {
        return Vec::new();
    }
    let count = 1 + draw.below(4);
    (0..count)
        .map(|_| {
            let back = if draw.below(5) > 0 {
                1
            } else {
                1 + draw.below(5)
            };
            let place = place + 1_000 + draw.below(2 * reach + 1) - reach;
            (layer - back.min(layer)) * 1_000 + place % 1_000
        })
        .collect()
}

fn random(slot: u32, draw: &mut Draw, least: u32, most: u32) -> Vec<u32> {
    let count = if slot == 0 {
        0
    } else {
        least + draw.below(most - least + 1)
    };
    (0..count).map(|_| draw.below(slot)).collect()
}

type Shape = (&'static str, Graph);

fn shapes() -> impl Iterator<Item = Shape> {
    let parts = [layers(), scattered(), odd(), neighbours()];
    parts.into_iter().flatten()
}

fn back(slot: u32, by: u32) -> Vec<u32> {
    slot.checked_sub(by).map(|on| vec![on]).unwrap_or_default()
}

fn layers() -> Vec<Shape> {
    vec![
        (
            "layered, anywhere in the layer",
            build(|slot, draw| layered(slot, draw, 500)),
        ),
        (
            "layered, within 20 places",
            build(|slot, draw| layered(slot, draw, 20)),
        ),
        (
            "layered, within 100 places",
            build(|slot, draw| layered(slot, draw, 100)),
        ),
        (
            "layered, every tenth without any",
            build(|slot, draw| {
                if draw.below(10) == 0 {
                    Vec::new()
                } else {
                    layered(slot, draw, 500)
                }
            }),
        ),
        (
            "layered, added in any order",
            shuffled(&build(|slot, draw| layered(slot, draw, 500))),
        ),
    ]
}

fn scattered() -> Vec<Shape> {
    vec![
        ("chain", build(|slot, _| back(slot, 1))),
        (
            "5,000 components of 20",
            build(|slot, draw| {
                random(slot % 20, draw, 1, 3)
                    .into_iter()
                    .map(|on| slot / 20 * 20 + on)
                    .collect()
            }),
        ),
        (
            "random, 1 to 3 each",
            build(|slot, draw| random(slot, draw, 1, 3)),
        ),
        (
            "random, 0 to 3 each",
            build(|slot, draw| random(slot, draw, 0, 3)),
        ),
    ]
}

fn odd() -> Vec<Shape> {
    vec![
        ("star", build(|slot, _| back(slot, slot.max(1)))),
        (
            "star over a random graph",
            build(|slot, draw| {
                let mut on = random(slot, draw, 1, 3);
                on.extend(back(slot, slot.max(1)));
                on
            }),
        ),
        (
            "ten roots under everything, layered",
            build(|slot, draw| {
                if slot < 10 {
                    Vec::new()
                } else {
                    layered(slot, draw, 500).into_iter().chain(0..10).collect()
                }
            }),
        ),
        (
            "ladder of diamonds",
            build(|slot, _| {
                if slot < 2 {
                    Vec::new()
                } else {
                    vec![slot / 2 * 2 - 2, slot / 2 * 2 - 1]
                }
            }),
        ),
        (
            "ten milestones that wait for all before",
            build(|slot, draw| match slot % 10_000 {
                9_999 => (slot - 9_999..slot).collect(),
                place => {
                    let mut on: Vec<u32> = random(place, draw, 0, 3)
                        .into_iter()
                        .map(|on| slot - place + on)
                        .collect();
                    on.extend((slot - place).checked_sub(1));
                    on
                }
            }),
        ),
    ]
}

fn neighbours() -> Vec<Shape> {
    let near = |reach: u32| {
        build(move |slot, draw| {
            let on = random(slot.min(reach), draw, 1, 3);
            on.into_iter().map(|on| slot - 1 - on).collect()
        })
    };
    vec![
        ("near: 1 to 3 of the last 50", near(50)),
        ("near: 1 to 3 of the last 1,000", near(1_000)),
        ("near: 1 to 3 of the last 10,000", near(10_000)),
    ]
}

fn main() {
    let only: Option<String> = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let cost_ms: Vec<u64> = (0..u64::from(FEATURES))
        .map(|slot| 60_000 + slot % 977)
        .collect();
    println!(
        "{:<42} {:>8} {:>10} {:>10} {:>14}",
        "shape", "edges", "median ms", "worst ms", "sum of counts"
    );
    for (name, graph) in shapes() {
        if only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        let edges: usize = (0..FEATURES)
            .map(|slot| graph.dependencies(slot).len())
            .sum();
        let mut times_ms = Vec::new();
        let mut sum = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let ranks = Ranks::compute(&graph, &cost_ms);
            times_ms.push(start.elapsed().as_secs_f64() * 1e3);
            sum = ranks
                .unblocks
                .iter()
                .map(|&count| u64::from(count))
                .sum::<u64>();
        }
        times_ms.sort_by(f64::total_cmp);
        let (median, worst) = (times_ms[ROUNDS / 2], times_ms[ROUNDS - 1]);
        println!("{name:<42} {edges:>8} {median:>10.1} {worst:>10.1} {sum:>14}");
    }
}
