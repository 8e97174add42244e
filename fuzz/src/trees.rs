//! Trees of a hostile repository, written to a folder: nothing leaves it.

/// Reads the bytes. The fetch worker's parsers are its own, and so are the checks.
pub fn check(bytes: &[u8]) {
    fetch_worker::inputs::trees(bytes);
}
