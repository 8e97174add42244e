//! Where something stands in the text of a call.

/// A range of bytes in the text of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The range from `start` up to `end`; the limit on the text's length keeps both small.
    pub(super) fn new(start: usize, end: usize) -> Self {
        let small = |at| u32::try_from(at).expect("a call is shorter than 4 GiB");
        Self { start: small(start), end: small(end) }
    }

    /// The first byte's offset.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// The offset after the last byte.
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// The bytes themselves, out of the text of the call.
    pub fn of(self, text: &str) -> &str {
        &text[self.start()..self.end()]
    }
}
