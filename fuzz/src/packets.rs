//! Packet lines of git: what is read is written the same again.

/// Reads the bytes. The fetch worker's parsers are its own, and so are the checks.
pub fn check(bytes: &[u8]) {
    fetch_worker::inputs::packets(bytes);
}
