//! Advertisements and lists of references, in both versions of git's protocol.

/// Reads the bytes. The fetch worker's parsers are its own, and so are the checks.
pub fn check(bytes: &[u8]) {
    fetch_worker::inputs::references(bytes);
}
