//! Packs in their side band, as a host answers a fetch.

/// Reads the bytes. The fetch worker's parsers are its own, and so are the checks.
pub fn check(bytes: &[u8]) {
    fetch_worker::inputs::packs(bytes);
}
