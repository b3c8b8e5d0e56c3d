//! Cuts a stream of bytes into lines without holding more than one line's limit. Without I/O.

/// One line of an agent's output, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// At most the splitter's limit.
    pub bytes: Vec<u8>,
    /// Bytes beyond the limit, which were discarded.
    pub cut: u64,
}

/// Collects bytes into lines. A line that is longer than the limit is cut, and the rest is counted.
#[derive(Clone, Debug)]
pub struct LineSplitter {
    limit: usize,
    line: Vec<u8>,
    cut: u64,
}

impl LineSplitter {
    /// Lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            cut: 0,
        }
    }

    /// Takes bytes, and returns the lines that they complete.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.take(line);
            lines.push(self.complete());
            bytes = rest.get(1..).unwrap_or(&[]);
        }
        self.take(bytes);
        lines
    }

    /// The stream has ended. Returns the rest without a line's end.
    pub fn finish(&mut self) -> Option<Line> {
        (!self.line.is_empty() || self.cut > 0).then(|| self.complete())
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.line.len());
        let (kept, over) = bytes.split_at(room.min(bytes.len()));
        self.line.extend_from_slice(kept);
        self.cut += over.len() as u64;
    }

    fn complete(&mut self) -> Line {
        let mut bytes = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.cut);
        if cut == 0 && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Line { bytes, cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str, cut: u64) -> Line {
        Line {
            bytes: text.as_bytes().to_vec(),
            cut,
        }
    }

    #[test]
    fn lines_are_cut_at_the_limit_and_their_rest_is_counted() {
        let mut splitter = LineSplitter::new(4);
        assert_eq!(
            splitter.push(b"ab\r\n\nabcdef\nabcd\nxy"),
            [line("ab", 0), line("", 0), line("abcd", 2), line("abcd", 0)]
        );
        assert_eq!(splitter.finish(), Some(line("xy", 0)));
        assert_eq!(splitter.finish(), None);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[a\r\n]{0,60}", limit in 1_usize..9, piece in 1_usize..7) {
            let mut whole = LineSplitter::new(limit);
            let mut expected = whole.push(text.as_bytes());
            expected.extend(whole.finish());
            let mut pieces = LineSplitter::new(limit);
            let mut found: Vec<Line> = Vec::new();
            for bytes in text.as_bytes().chunks(piece) {
                found.extend(pieces.push(bytes));
                prop_assert!(pieces.line.len() <= limit);
            }
            found.extend(pieces.finish());
            prop_assert_eq!(found, expected);
        }
    }
}
