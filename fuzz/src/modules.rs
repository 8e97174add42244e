//! Answers of module proxies and pages: versions, go.mod files, go-import tags, messages.

/// Reads the bytes. The fetch worker's parsers are its own, and so are the checks.
pub fn check(bytes: &[u8]) {
    fetch_worker::inputs::modules(bytes);
}
