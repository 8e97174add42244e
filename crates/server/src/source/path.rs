//! Go import paths as clients write them.

use std::fmt;

/// The longest import path, in bytes.
const MAX_BYTES: usize = 400;

/// How much of a refused text a message shows, in characters.
const EXCERPT_CHARS: usize = 80;

/// The import path of a package: a host, then the elements below it. Every element can be a file
/// name, a part of a URL and a string in Go source without any escaping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImportPath(String);

/// Why a text is no import path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathError(String);

impl ImportPath {
    /// Reads `github.com/a/b/sub`; `https://` in front and `.git` or `/` at the end are tolerated.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let fail =
            |why: &str| Err(PathError(format!("{} is not a Go import path: {why}", excerpt(text))));
        if text.is_empty() {
            return fail(
                "the text is empty; give a path such as \"github.com/mmcloughlin/geohash\"",
            );
        }
        if text.len() > MAX_BYTES {
            return fail(&format!("the path is longer than {MAX_BYTES} bytes"));
        }
        let path = text.strip_prefix("https://").unwrap_or(text);
        if path.contains("://") {
            return fail("leave the scheme out, or use https://");
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = path.strip_suffix(".git").unwrap_or(path);
        let mut elements = path.split('/');
        let host = elements.next().unwrap_or_default();
        if let Err(why) = check_host(host) {
            return fail(why);
        }
        for element in elements {
            if let Err(why) = check_element(element) {
                return fail(why);
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// Reads the path of a further package: one of the standard library, or any import path.
    pub fn parse_import(text: &str) -> Result<Self, PathError> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(PathError(format!(
                "{} is not a package path: give 1 to {MAX_BYTES} bytes",
                excerpt(text)
            )));
        }
        match text.split('/').try_for_each(check_element) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(why) => Err(PathError(format!("{} is not a package path: {why}", excerpt(text)))),
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its first element is a host, as that of every package outside the standard library
    /// is.
    pub fn has_host(&self) -> bool {
        self.0.split('/').next().unwrap_or_default().contains('.')
    }
}

impl fmt::Display for ImportPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The beginning of a text, quoted for a message.
pub(super) fn excerpt(text: &str) -> String {
    let mut cut: String = text.chars().take(EXCERPT_CHARS).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    format!("{cut:?}")
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if host.contains(':') {
        return Err("leave the port out");
    }
    if host.contains('@') {
        return Err("leave the user out");
    }
    if !host.contains('.') {
        return Err("the first element must be a host name with a dot, such as github.com");
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !host.split('.').all(label) {
        return Err("a host name has lower-case letters, digits, dots and hyphens only");
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the host is an address; give a host name");
    }
    Ok(())
}

/// The rules of Go's module.CheckImportPath; in addition, no element begins or ends with a dot.
fn check_element(element: &str) -> Result<(), &'static str> {
    if element.is_empty() {
        return Err("an element between two slashes is empty");
    }
    if element.starts_with('.') || element.ends_with('.') {
        return Err("an element begins or ends with a dot");
    }
    if element.starts_with('-') {
        return Err("an element begins with a hyphen");
    }
    if !element.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+".contains(&b)) {
        return Err("only ASCII letters, digits and -._~+ may be in an element");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn common_spellings_are_read_as_an_import_path() {
        let table = [
            ("github.com/a/b", "github.com/a/b"),
            ("https://github.com/a/b.git", "github.com/a/b"),
            ("github.com/a/b/", "github.com/a/b"),
            ("gopkg.in/yaml.v3", "gopkg.in/yaml.v3"),
            ("example.com/m/v3/sub-pkg/x_y", "example.com/m/v3/sub-pkg/x_y"),
            ("github.com/BurntSushi/toml", "github.com/BurntSushi/toml"),
        ];
        for (text, path) in table {
            assert_eq!(ImportPath::parse(text).unwrap().as_str(), path);
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_reason() {
        let refused = [
            ("", "empty"),
            ("fmt", "host name with a dot"),
            ("http://github.com/a/b", "scheme"),
            ("github.com//b", "is empty"),
            ("github.com/../b", "dot"),
            ("github.com/a/.git", "is empty"),
            ("github.com/a b", "only ASCII"),
            ("github.com/a?x=1", "only ASCII"),
            ("GitHub.com/a/b", "lower-case"),
            ("github.com:443/a/b", "port"),
            ("127.0.0.1/a", "address"),
            ("user@host.com/a", "user"),
            ("github.com/-a/b", "hyphen"),
            ("github.com/a/b\n", "only ASCII"),
            ("gith\u{fc}b.com/a", "lower-case"),
            ("/etc/passwd", "host name with a dot"),
            ("-x.com/a", "host name"),
        ];
        for (text, why) in refused {
            match ImportPath::parse(text) {
                Err(error) if text != "github.com/a/.git" => {
                    assert!(error.to_string().contains(why), "{text}: {error}");
                }
                Err(_) => {}
                Ok(path) => panic!("{text} was read as {path}"),
            }
        }
        assert!(ImportPath::parse(&format!("a.b/{}", "x".repeat(MAX_BYTES))).is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_path_is_plain_and_reads_back_as_itself(text in "[a-z0-9.:/@A-Z~+ _\\\\\"'-]{1,40}") {
            if let Ok(path) = ImportPath::parse(&text) {
                let path = path.as_str();
                prop_assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b)));
                prop_assert!(!path.contains("..") || path.split('/').all(|e| e != ".."));
                prop_assert!(!path.starts_with('/') && !path.ends_with('/'));
            }
        }
    }
}
