//! All that is random in a simulation comes from one seed, in many streams: what is drawn for one
//! thing does not change when another thing is taken out, so that a failing history can be shrunk.

use crate::model::plan::Entropy;

/// splitmix64: small, and the same everywhere and for ever.
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// What a stream of numbers is for.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    Scenario,
    Fault,
    Wire,
    Disk,
    Plan,
    Machine,
    Step,
    Agent,
    Process,
    Person,
}

impl Dice {
    pub fn new(seed: u64, stream: Stream, which: u64) -> Self {
        let mut dice = Self(seed);
        for number in [stream as u64, which] {
            dice.0 = dice.roll() ^ number.wrapping_mul(0xd134_2543_de82_ef95);
        }
        dice
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn wide(&mut self) -> u128 {
        (u128::from(self.roll()) << 64) | u128::from(self.roll())
    }

    /// A number from `from` to `to`, both possible.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.roll() % (to - from + 1)
    }

    /// A number up to `most`, often small and now and then large.
    pub fn skewed(&mut self, most: u64) -> u64 {
        let limit = most >> self.between(0, 6);
        self.between(0, limit)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.roll() % 100 < chance
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() {
            return None;
        }
        of.get((self.roll() % of.len() as u64) as usize).cloned()
    }
}

impl Entropy for Dice {
    fn next(&mut self) -> u64 {
        self.roll()
    }
}
