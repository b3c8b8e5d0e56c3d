//! Cutting a fuzzer's bytes into parts.

/// Hands out parts of the input from the front; zeros when it has ended.
pub struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// The next two, as a number.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next `count` bytes, or as many as there are.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// As many of the next bytes as the two bytes before them say.
    pub fn sized(&mut self) -> &'a [u8] {
        let count = usize::from(self.short());
        self.bytes(count)
    }
}
