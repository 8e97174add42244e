//! Import paths: an accepted path is a path of files and of URLs as it stands.

use server::source::ImportPath;

/// Parses the bytes as the path of a call and of a further import.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = ImportPath::parse(text) {
        is_safe(path.as_str());
        assert!(path.has_host());
        assert!(text.contains(path.as_str()));
        // A second `.git` is dropped when the path is read once more, so only other paths stay.
        if !path.as_str().ends_with(".git") {
            assert_eq!(ImportPath::parse(&path.to_string()).as_ref(), Ok(&path));
        }
        assert_eq!(ImportPath::parse_import(path.as_str()).as_ref(), Ok(&path));
    }
    if let Ok(path) = ImportPath::parse_import(text) {
        is_safe(path.as_str());
        assert_eq!(path.as_str(), text);
    }
    // The fetch worker decides once more, by rules of its own.
    fetch_worker::inputs::path(text);
}

fn is_safe(path: &str) {
    assert!(!path.is_empty() && path.len() <= 400, "{path:?}");
    for element in path.split('/') {
        assert!(!element.is_empty() && !element.starts_with(['.', '-']), "{path:?}");
        assert!(!element.ends_with('.'), "{path:?}");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    assert!(path.bytes().all(plain), "{path:?}");
}
