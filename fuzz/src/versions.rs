//! Versions: an accepted version is the name of a reference, and no option of any command.

use server::source::{Revision, Version};

/// Parses the bytes as the version of a request.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    fetch_worker::inputs::version(text);
    let Ok(version) = Version::parse(text) else {
        assert!(Revision::parse(text).is_none());
        return;
    };
    assert_eq!(version.as_str(), text);
    assert_eq!(Version::parse(&version.to_string()).as_ref(), Ok(&version));
    assert_eq!(Revision::parse(text).expect("versions are revisions").as_str(), text);
    assert!(!text.contains("..") && !text.starts_with(['-', '.', '/']), "{text:?}");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    assert!(!text.contains(['@', ':', '~', '^', '\\', '*', '?', '[', '{']), "{text:?}");
    if version.is_exact() {
        assert!(text.bytes().any(|byte| byte.is_ascii_hexdigit()), "{text:?}");
    }
}
