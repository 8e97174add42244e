//! Git's packet lines: four hex digits of length, then that many bytes less four.
//!
//! An untrusted length never causes an allocation of more than one packet's 65,520 bytes.

use std::io::{self, Read};

/// The largest packet there can be.
const MAX: usize = 65_520;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Bytes, with the newline that ends a text line still there.
    Data(Vec<u8>),
    /// `0000`: the end of a message or of a list.
    Flush,
    /// `0001`: the end of a section.
    Delim,
    /// `0002`: the end of a response.
    End,
}

impl Packet {
    /// The text of a data packet without its newline; `None` for the others and for what is not
    /// UTF-8.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Packet::Data(bytes) => {
                let text = std::str::from_utf8(bytes).ok()?;
                Some(text.strip_suffix('\n').unwrap_or(text))
            }
            _ => None,
        }
    }
}

/// Reads packets off a stream.
pub(super) struct PacketReader<R> {
    inner: R,
}

impl<R: Read> PacketReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner }
    }

    /// The next packet, or `None` where the stream ends between two.
    pub(super) fn next(&mut self) -> io::Result<Option<Packet>> {
        let mut head = [0u8; 4];
        let mut got = 0;
        while got < 4 {
            match self.inner.read(&mut head[got..]) {
                Ok(0) if got == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        match length(head) {
            Some(0) => Ok(Some(Packet::Flush)),
            Some(1) => Ok(Some(Packet::Delim)),
            Some(2) => Ok(Some(Packet::End)),
            Some(n @ 4..=MAX) => {
                let mut data = vec![0u8; n - 4];
                self.inner.read_exact(&mut data)?;
                Ok(Some(Packet::Data(data)))
            }
            _ => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a packet line has no valid length"))
            }
        }
    }

    /// The next packet where one must come.
    pub(super) fn expect(&mut self) -> io::Result<Packet> {
        self.next()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn length(head: [u8; 4]) -> Option<usize> {
    head.iter().try_fold(0, |n, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(n * 16 + value as usize)
    })
}

/// Appends one text packet.
pub(super) fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

/// Appends a flush packet.
pub(super) fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Appends a delimiter packet.
pub(super) fn delim(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> io::Result<Vec<Packet>> {
        let mut reader = PacketReader::new(bytes);
        let mut out = Vec::new();
        while let Some(pkt) = reader.next()? {
            out.push(pkt);
        }
        Ok(out)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        line(&mut out, "version 2");
        delim(&mut out);
        flush(&mut out);
        out.extend_from_slice(b"0002");
        let pkts = all(&out).unwrap();
        assert_eq!(
            pkts,
            [Packet::Data(b"version 2\n".to_vec()), Packet::Delim, Packet::Flush, Packet::End]
        );
        assert_eq!(pkts[0].text(), Some("version 2"));
        assert_eq!(pkts[1].text(), None);
    }

    #[test]
    fn a_broken_stream_is_an_error_and_not_a_panic() {
        for bytes in [&b"000"[..], b"0003", b"00zz", b"0009ab", b"ffff", b"fff1", b"+004", b"<htm"]
        {
            assert!(all(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
