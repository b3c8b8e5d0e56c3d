//! Keeps the beginning and the end of an output of any length.

use std::collections::VecDeque;

/// A bounded copy of an output: the first quarter of the limit and the last three, with a note of
/// what was cut in between. The end says what went wrong, the beginning what was run.
#[derive(Clone, Debug)]
pub struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_max: usize,
    tail_max: usize,
    cut: u64,
}

impl Output {
    /// Keeps at most `limit_bytes` (and the note).
    pub fn new(limit_bytes: usize) -> Self {
        let head_max = limit_bytes / 4;
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            head_max,
            tail_max: limit_bytes - head_max,
            cut: 0,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.head_max.saturating_sub(self.head.len());
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(self.tail_max);
        self.tail.drain(..over);
        self.cut += over as u64;
    }

    /// Bytes that were cut so far.
    pub fn cut_bytes(&self) -> u64 {
        self.cut
    }

    /// What is kept, as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.cut == 0 {
            let all = [self.head.as_slice(), tail.as_slice()].concat();
            return String::from_utf8_lossy(&all).into_owned();
        }
        format!(
            "{}\n[... {} bytes cut ...]\n{}",
            String::from_utf8_lossy(&self.head),
            self.cut,
            String::from_utf8_lossy(&tail)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_outputs_are_kept_whole() {
        let mut output = Output::new(16);
        output.push(b"0123456789");
        output.push(b"abcdef");
        assert_eq!(output.text(), "0123456789abcdef");
        assert_eq!(output.cut_bytes(), 0);
    }

    #[test]
    fn long_outputs_keep_both_ends_and_say_what_is_missing() {
        for piece in [1, 3, 1000] {
            let mut output = Output::new(16);
            let all: Vec<u8> = (b'a'..=b'z').collect();
            all.chunks(piece).for_each(|bytes| output.push(bytes));
            assert_eq!(output.text(), "abcd\n[... 10 bytes cut ...]\nopqrstuvwxyz");
        }
    }
}
