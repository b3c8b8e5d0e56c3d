//! Columns packed into words, and words into blocks.

use super::columns::Columns;

/// Words of one set of a block: 2,048 columns. Fewer words mean more blocks to walk over, more mean
/// sets that are mostly empty or full; of 8, 16, 32 and 64 this was the fastest.
pub(super) const WORDS: usize = 32;

/// A set of columns of one block.
pub(super) type Bits = [u64; WORDS];

/// Up to 2,048 columns that are counted together.
pub(super) struct Block {
    /// Each column of word `w` stands for `weights[w]` features.
    weights: [u32; WORDS],
    /// The weight of all words, if it is the same.
    weight: Option<u32>,
    /// Which row has which bit of its own, ascending by row.
    pub(super) bits: Vec<(u32, u32)>,
    /// Number of features that all columns together stand for.
    pub(super) total: u32,
}

/// A word that is being filled.
#[derive(Clone, Copy)]
struct Open {
    block: usize,
    word: usize,
    fill: u32,
}

/// Packs the columns. The columns of a word all stand for the same power of two of features; one
/// that stands for five is in two words.
pub(super) fn pack(columns: &Columns) -> Vec<Block> {
    /// Weights 1 and 2 are the most frequent and have blocks of their own, which are weighed
    /// faster.
    const GROUPS: usize = 3;
    let mut blocks: Vec<Block> = Vec::new();
    // By group: its last block, and the number of its words in use.
    let mut last = [(0usize, WORDS); GROUPS];
    let mut open = [Open {
        block: 0,
        word: 0,
        fill: 64,
    }; u32::BITS as usize];
    for column in &columns.columns {
        let mut weight = column.weight;
        while weight != 0 {
            let power = weight.trailing_zeros() as usize;
            weight &= weight - 1;
            let group = power.min(GROUPS - 1);
            let open = &mut open[power];
            if open.fill == 64 {
                let (block, used) = &mut last[group];
                if *used == WORDS {
                    (*block, *used) = (blocks.len(), 0);
                    blocks.push(Block {
                        weights: [0; WORDS],
                        weight: (group < GROUPS - 1).then_some(1 << power),
                        bits: Vec::with_capacity(WORDS * 64),
                        total: 0,
                    });
                }
                *open = Open {
                    block: *block,
                    word: *used,
                    fill: 0,
                };
                blocks[open.block].weights[open.word] = 1 << power;
                *used += 1;
            }
            let block = &mut blocks[open.block];
            block
                .bits
                .push((column.row, open.word as u32 * 64 + open.fill));
            block.total += 1 << power;
            open.fill += 1;
        }
    }
    blocks
}

impl Block {
    /// Number of features that a set of this block's columns stands for.
    pub(super) fn weigh(&self, bits: &Bits) -> u32 {
        if let Some(weight) = self.weight {
            return ones(bits) * weight;
        }
        let words = bits.iter().zip(&self.weights);
        let weights = words.map(|(word, weight)| u64::from(word.count_ones()) * u64::from(*weight));
        weights.sum::<u64>() as u32
    }
}

/// Number of bits that are set. Most processors could count a word's in one step, but a program for
/// all of them cannot rely on it; adding up eight words bit by bit first (Harley and Seal's method)
/// halves the work, four times side by side.
fn ones(bits: &Bits) -> u32 {
    const LANES: usize = 4;
    let mut sums = [0u64; LANES];
    for eight in bits.as_chunks::<{ LANES * 8 }>().0 {
        for (lane, sum) in sums.iter_mut().enumerate() {
            let word = |at: usize| eight[at * LANES + lane];
            let (one, two_a) = add(word(0), word(1), word(2));
            let (one, two_b) = add(one, word(3), word(4));
            let (one, two_c) = add(one, word(5), word(6));
            let (one, two_d) = add(one, word(7), 0);
            let (two, four_a) = add(two_a, two_b, two_c);
            let (two, four_b) = add(two, two_d, 0);
            let (four, eight) = add(four_a, four_b, 0);
            // At most 64 in each byte.
            let bytes = by_byte(one) + 2 * by_byte(two) + 4 * by_byte(four) + 8 * by_byte(eight);
            const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
            *sum += (bytes & EVEN) + (bytes >> 8 & EVEN);
        }
    }
    let sum: u64 = sums.iter().sum();
    (sum.wrapping_mul(0x0001_0001_0001_0001) >> 48) as u32
}

/// Adds three bits at each of 64 places: the sums and the carries.
fn add(a: u64, b: u64, c: u64) -> (u64, u64) {
    let either = a ^ b;
    (either ^ c, a & b | either & c)
}

/// Number of bits that are set in each byte.
fn by_byte(word: u64) -> u64 {
    let pairs = word - (word >> 1 & 0x5555_5555_5555_5555);
    let fours = (pairs & 0x3333_3333_3333_3333) + (pairs >> 2 & 0x3333_3333_3333_3333);
    (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f
}

/// Number of features that the blocks stand for in which a row has any column, by row.
pub(super) fn touched(columns: &Columns, blocks: &[Block]) -> Vec<u32> {
    let mut totals = vec![0; columns.rows()];
    let mut any = vec![0u64; columns.rows()];
    // A word has a bit for each of 64 blocks.
    for blocks in blocks.chunks(64) {
        any.fill(0);
        for (number, block) in blocks.iter().enumerate() {
            for (row, _) in &block.bits {
                any[*row as usize] |= 1 << number;
            }
        }
        // Sums for every value of eight bits, so that eight blocks are added at once.
        let mut sums = [[0u32; 256]; 8];
        for (number, block) in blocks.iter().enumerate() {
            let (sums, bit) = (&mut sums[number / 8], 1 << (number % 8));
            for value in 0..bit {
                sums[value | bit] = sums[value] + block.total;
            }
        }
        for (row, total) in totals.iter_mut().enumerate() {
            let parts = columns.parts(row).iter();
            let blocks = parts.fold(any[row], |blocks, &part| blocks | any[part as usize]);
            any[row] = blocks;
            let bytes = blocks.to_le_bytes().into_iter().zip(&sums);
            *total += bytes
                .map(|(byte, sums)| sums[usize::from(byte)])
                .sum::<u32>();
        }
    }
    totals
}
