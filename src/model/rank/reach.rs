//! Counts by sets of bits, a block of columns at a time.

use super::columns::Columns;

/// Words of one row of a block.
const WORDS: usize = 8;

type Bits = [u64; WORDS];

/// No column of the block.
const EMPTY: u32 = 0;
/// All columns of the block.
const FULL: u32 = 1;

/// How many others each feature reaches, by place.
pub(super) fn count(columns: &Columns) -> Vec<u32> {
    let blocks = blocks(columns);
    let mut sweep = Sweep {
        handles: vec![EMPTY; columns.rows()],
        totals: vec![0; columns.rows()],
        sets: Vec::new(),
        counts: Vec::new(),
    };
    // From the last block to the first, so that rows below the block at hand are still empty.
    for block in blocks.iter().rev() {
        sweep.block(columns, block);
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

/// A block of columns.
#[derive(Default)]
struct Block {
    /// Each column of word `w` stands for `1 << shifts[w]` features.
    shifts: [u32; WORDS],
    /// Which row has which bit of its own, ascending by row.
    bits: Vec<(u32, u32)>,
    /// What all columns together stand for.
    total: u32,
}

/// Packs the columns into words, each of columns that stand for the same power of two of
/// features, and those into blocks.
fn blocks(columns: &Columns) -> Vec<Block> {
    // For each power the word that is being filled, and how full it is.
    let mut open = [(0usize, 64u32); 32];
    let mut words = 0;
    let mut blocks: Vec<Block> = Vec::new();
    for column in &columns.columns {
        for shift in (0..32).filter(|shift| column.weight >> shift & 1 == 1) {
            let (word, fill) = &mut open[shift];
            if *fill == 64 {
                (*word, *fill) = (words, 0);
                if words % WORDS == 0 {
                    blocks.push(Block::default());
                }
                blocks[words / WORDS].shifts[words % WORDS] = shift as u32;
                words += 1;
            }
            let block = &mut blocks[*word / WORDS];
            block
                .bits
                .push((column.row, (*word % WORDS) as u32 * 64 + *fill));
            block.total += 1 << shift;
            *fill += 1;
        }
    }
    blocks
}

struct Sweep {
    /// By row: which set it has in the block at hand.
    handles: Vec<u32>,
    /// By row: how many features it reached so far.
    totals: Vec<u32>,
    /// The sets of the block at hand; rows share them.
    sets: Vec<Bits>,
    /// By set: for how many features it stands.
    counts: Vec<u32>,
}

impl Sweep {
    fn block(&mut self, columns: &Columns, block: &Block) {
        let (Some(&(lo, _)), Some(&(hi, _))) = (block.bits.first(), block.bits.last()) else {
            return;
        };
        let end = columns.component_end[hi as usize] as usize;
        self.sets.clear();
        self.counts.clear();
        self.sets.extend([[0; WORDS], [0; WORDS]]);
        self.counts.extend([0, block.total]);
        let mut bits = block.bits.iter().peekable();
        let mut largest = EMPTY;
        for row in lo as usize..end {
            let mut own: Bits = [0; WORDS];
            let mut fresh = false;
            while let Some((_, bit)) = bits.next_if(|(at, _)| *at as usize == row) {
                own[*bit as usize / 64] |= 1 << (bit % 64);
                fresh = true;
            }
            let mut first = EMPTY;
            let mut last = EMPTY;
            for &part in columns.parts(row) {
                let handle = self.handles[part as usize];
                if handle == EMPTY || handle == first {
                    continue;
                }
                if handle == FULL {
                    first = FULL;
                    fresh = false;
                    break;
                }
                if first == EMPTY && !fresh {
                    first = handle;
                    continue;
                }
                if !fresh {
                    own = self.sets[first as usize];
                    fresh = true;
                }
                last = handle;
                for (word, part) in own.iter_mut().zip(&self.sets[handle as usize]) {
                    *word |= part;
                }
            }
            if fresh {
                let count = weigh(&own, &block.shifts);
                first = if count == block.total {
                    FULL
                } else if count == self.counts[first as usize] {
                    first
                } else if count == self.counts[last as usize] {
                    last
                } else if count == self.counts[largest as usize]
                    && own == self.sets[largest as usize]
                {
                    largest
                } else {
                    let handle = self.sets.len() as u32;
                    self.sets.push(own);
                    self.counts.push(count);
                    if count > self.counts[largest as usize] {
                        largest = handle;
                    }
                    handle
                };
            }
            self.handles[row] = first;
            self.totals[row] += self.counts[first as usize];
        }
    }
}

fn weigh(bits: &Bits, shifts: &[u32; WORDS]) -> u32 {
    bits.iter()
        .zip(shifts)
        .map(|(word, shift)| word.count_ones() << shift)
        .sum()
}
