//! The sink of a call's output.

/// Receives the output of a call. The call service hands over each piece once, in order, and
/// nothing of a call that failed.
pub trait Sink: Send + 'static {
    /// A piece of the output: what the function printed, then its results as fmt.Print prints them.
    fn data(&mut self, piece: Vec<u8>);
}

/// Keeps the whole output.
#[derive(Debug, Default)]
pub struct Collected {
    data: Vec<u8>,
}

impl Collected {
    /// The whole output.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The whole output.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

impl Sink for Collected {
    fn data(&mut self, piece: Vec<u8>) {
        if self.data.is_empty() {
            // The usual output has one piece, which is not copied.
            self.data = piece;
        } else {
            self.data.extend_from_slice(&piece);
        }
    }
}

/// Discards the output.
impl Sink for () {
    fn data(&mut self, _: Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_kept_in_order() {
        let mut sink = Collected::default();
        for piece in ["one ", "", "two"] {
            Sink::data(&mut sink, piece.into());
        }
        assert_eq!(sink.into_data(), b"one two");
    }
}
