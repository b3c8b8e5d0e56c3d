//! Counts with sets of bits, one block of columns at a time.

use std::ops::Range;

use super::blocks::{Bits, Block, WORDS, pack, touched};
use super::columns::Columns;

/// Number of others that each feature reaches, by place.
pub(super) fn count(columns: &Columns) -> Vec<u32> {
    let blocks = pack(columns);
    let mut sweep = Sweep {
        wholes: Wholes::new(columns),
        marked: vec![0; columns.rows().div_ceil(64)],
        handles: vec![NONE; columns.rows()],
        totals: touched(columns, &blocks),
        sets: Vec::new(),
        weighed: Vec::new(),
        largest: NONE,
    };
    for block in &blocks {
        sweep.block(block);
    }
    let mut counts = columns.in_tree.clone();
    for (count, &row) in counts.iter_mut().zip(&columns.row_of) {
        *count += sweep.totals.get(row as usize).copied().unwrap_or(0);
    }
    for column in &columns.columns {
        counts[column.place as usize] -= column.weight;
    }
    counts
}

/// The other direction of [`Columns::parts`].
struct Wholes {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Wholes {
    fn new(columns: &Columns) -> Self {
        let mut starts = vec![0u32; columns.rows() + 1];
        for row in 0..columns.rows() {
            for &part in columns.parts(row) {
                starts[part as usize] += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // Filled from the end, so that each start ends in its place.
        let mut rows = vec![0u32; sum as usize];
        for row in (0..columns.rows()).rev() {
            for &part in columns.parts(row) {
                let start = &mut starts[part as usize];
                *start -= 1;
                rows[*start as usize] = row as u32;
            }
        }
        Self { starts, rows }
    }

    /// Positions in `rows` of the rows that `row` is part of; all are greater.
    fn of(&self, row: usize) -> Range<usize> {
        self.starts[row] as usize..self.starts[row + 1] as usize
    }
}

/// A row that was not reached in the present block.
const NONE: u32 = 0;
/// A row that has all columns of the block.
const FULL: u32 = 1;
/// Set in the handle of a row whose set is its own and may still grow; others are shared.
const OWN: u32 = 1 << 31;

/// Walks over the rows for one block after the other, from parts to wholes.
///
/// A row passes its set on to the rows that it is part of. Rows that get only one share it; rows
/// that get several build their own. Far from the block's columns nearly every row has all of them,
/// or none. Such rows are skipped: `totals` begins with all columns of every block in which the row
/// has any, and the walk subtracts what is missing. It ends when only full rows are left.
struct Sweep {
    wholes: Wholes,
    /// Rows that must still be visited, one bit each.
    marked: Vec<u64>,
    /// By row: its set. [`NONE`] for all rows between two blocks.
    handles: Vec<u32>,
    /// By row: the number of features that its columns stand for.
    totals: Vec<u32>,
    /// The sets of the present block.
    sets: Vec<Bits>,
    /// What is known of each set.
    weighed: Vec<Weighed>,
    /// The set with the greatest weight. Rows that have every possible column share it.
    largest: u32,
}

struct Weighed {
    /// Number of features that it stands for, once it is complete.
    count: u32,
    /// The heaviest of the sets that it was built from. If it weighs the same, it is the same.
    heaviest: u32,
}

impl Sweep {
    fn block(&mut self, block: &Block) {
        self.sets.clear();
        self.weighed.clear();
        self.largest = NONE;
        self.add([0; WORDS], NONE);
        self.add([0; WORDS], NONE);
        self.weighed[FULL as usize].count = block.total;
        // Rows that are marked and not full.
        let mut mixed = 0usize;
        for &(row, bit) in &block.bits {
            if self.handles[row as usize] == NONE {
                self.handles[row as usize] = OWN | self.add([0; WORDS], NONE);
                self.mark(row);
                mixed += 1;
            }
            let set = self.handles[row as usize] & !OWN;
            self.sets[set as usize][bit as usize / 64] |= 1 << (bit % 64);
        }
        let mut word = block.bits.first().map_or(0, |(row, _)| *row as usize / 64);
        while mixed > 0 {
            let Some(row) = self.unmark(&mut word) else {
                break;
            };
            let mut handle = std::mem::replace(&mut self.handles[row], NONE);
            if handle != FULL {
                mixed -= 1;
                if handle & OWN != 0 {
                    handle = self.settle(handle & !OWN, block);
                }
                self.totals[row] -= block.total - self.weighed[handle as usize].count;
            }
            for at in self.wholes.of(row) {
                mixed = mixed.wrapping_add_signed(self.hand_on(handle, self.wholes.rows[at]));
            }
        }
        // What is still marked is full, and so is everything behind it.
        while let Some(row) = self.unmark(&mut word) {
            self.handles[row] = NONE;
        }
    }

    fn add(&mut self, bits: Bits, heaviest: u32) -> u32 {
        self.sets.push(bits);
        self.weighed.push(Weighed { count: 0, heaviest });
        self.sets.len() as u32 - 1
    }

    fn mark(&mut self, row: u32) {
        self.marked[row as usize / 64] |= 1 << (row % 64);
    }

    /// Takes the first marked row from `word` on.
    #[inline(always)]
    fn unmark(&mut self, word: &mut usize) -> Option<usize> {
        loop {
            let marked = self.marked.get_mut(*word)?;
            if *marked != 0 {
                let row = *word * 64 + marked.trailing_zeros() as usize;
                *marked &= *marked - 1;
                return Some(row);
            }
            *word += 1;
        }
    }

    /// Adds the settled set `handle` to the row `whole`. Returns the change in the number of rows
    /// that are marked and not full.
    #[inline(always)]
    fn hand_on(&mut self, handle: u32, whole: u32) -> isize {
        let held = self.handles[whole as usize];
        if held == handle || held == FULL {
            0
        } else if held == NONE {
            self.handles[whole as usize] = handle;
            self.mark(whole);
            isize::from(handle != FULL)
        } else if handle == FULL {
            self.handles[whole as usize] = FULL;
            -1
        } else if held & OWN == 0 {
            let (a, b) = (&self.sets[held as usize], &self.sets[handle as usize]);
            let both = std::array::from_fn(|word| a[word] | b[word]);
            let heavier = self.weighed[held as usize].count > self.weighed[handle as usize].count;
            let own = self.add(both, if heavier { held } else { handle });
            self.handles[whole as usize] = OWN | own;
            0
        } else {
            let own = (held & !OWN) as usize;
            if let Ok([own, part]) = self.sets.get_disjoint_mut([own, handle as usize]) {
                for (word, part) in own.iter_mut().zip(part) {
                    *word |= *part;
                }
            }
            let heaviest = self.weighed[own].heaviest;
            if self.weighed[handle as usize].count > self.weighed[heaviest as usize].count {
                self.weighed[own].heaviest = handle;
            }
            0
        }
    }

    /// Weighs a set that has all its parts, and returns an equal one that others share, if there is
    /// one.
    #[inline(always)]
    fn settle(&mut self, own: u32, block: &Block) -> u32 {
        let set = &self.sets[own as usize];
        let count = block.weigh(set);
        if count == block.total {
            return FULL;
        }
        let heaviest = self.weighed[own as usize].heaviest;
        if count == self.weighed[heaviest as usize].count {
            return heaviest;
        }
        let most = self.weighed[self.largest as usize].count;
        if count == most && *set == self.sets[self.largest as usize] {
            return self.largest;
        }
        if count > most {
            self.largest = own;
        }
        self.weighed[own as usize].count = count;
        own
    }
}
