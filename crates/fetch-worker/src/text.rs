//! Text that a caller may read: without credentials, without folders of this host, and not too
//! long.

use std::path::Path;

/// The longest text of another program in a message, in bytes.
const LIMIT: usize = 2_000;

/// Takes out of a message: credentials in URLs, the names in certificates, and the given folders
/// (each with the word that stands for it).
pub(super) fn scrub(text: &str, folders: &[(&Path, &str)]) -> String {
    let text = hide_names(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''))
            .unwrap_or(tail.len());
        let authority = &tail[..end];
        out.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
        rest = &tail[end..];
    }
    out.push_str(rest);
    for (folder, word) in folders {
        if let Some(folder) = folder.to_str().filter(|f| f.len() > 1) {
            out = out.replace(&format!("{folder}/"), &if_some(word)).replace(folder, word);
        }
    }
    out
}

/// Takes out the names that a certificate is for, which may be hosts of a private network. Go
/// writes `certificate is valid for a.b, c.d, not e.f`.
fn hide_names(text: &str) -> String {
    const VALID: &str = "certificate is valid for ";
    const NOT: &str = ", not ";
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let named = line.split_once(VALID).and_then(|(before, names)| {
            let (_, host) = names.rsplit_once(NOT)?;
            Some(format!("{before}certificate is not valid for {host}"))
        });
        lines.push(named.unwrap_or_else(|| line.to_owned()));
    }
    lines.join("\n")
}

/// Shortens the remaining absolute paths, which belong to this host, to their last element.
pub(super) fn hide_paths(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = rest
            .find(|c: char| c.is_whitespace() || ":,;\"'`()<>".contains(c))
            .unwrap_or(rest.len());
        let path = &rest[..len];
        let starts = before.is_whitespace() || "\"'`(<=".contains(before);
        if c == '/' && starts && path[1..].contains('/') {
            out.push('…');
            out.push_str(&path[path.rfind('/').unwrap_or(0)..]);
            rest = &rest[len..];
            before = 'x';
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            before = c;
        }
    }
    out
}

fn if_some(word: &str) -> String {
    if word.is_empty() { String::new() } else { format!("{word}/") }
}

/// Cuts a text to the length that a message may have, at the end of a character. Characters that
/// would steer a terminal are left out.
pub(super) fn bounded(text: &str) -> String {
    let plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = text.chars().filter(plain).collect();
    let text = text.trim();
    if text.len() <= LIMIT {
        return text.to_owned();
    }
    let end = (0..=LIMIT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{} …", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_folders_do_not_get_out() {
        let folders = [(Path::new("/x/job"), ""), (Path::new("/opt/go"), "GOROOT")];
        for (text, want) in [
            ("get https://me:pw@h.i/j: no", "get https://h.i/j: no"),
            ("https://a@b@c/d and http://e:f@g", "https://c/d and http://g"),
            ("mail me@h.i", "mail me@h.i"),
            (
                "go: x509: certificate is valid for a.internal, *.b.internal, not c.d\nmore",
                "go: x509: certificate is not valid for c.d\nmore",
            ),
            ("/x/job/src/go.mod:3: bad", "src/go.mod:3: bad"),
            ("in /x/job.", "in ."),
            ("(/opt/go/src/x)", "(GOROOT/src/x)"),
        ] {
            assert_eq!(scrub(text, &folders), want);
        }
    }

    #[test]
    fn other_paths_of_the_host_are_shortened() {
        for (text, want) in [
            ("open /tmp/x/go.mod: no such file", "open …/go.mod: no such file"),
            ("(\"/a/b\")", "(\"…/b\")"),
            (
                "https://h.i/j/k and a/b/c and /v2 and ../../x",
                "https://h.i/j/k and a/b/c and /v2 and ../../x",
            ),
            ("/a/b", "…/b"),
            ("x=>/ä/b é", "x=>/ä/b é"),
        ] {
            assert_eq!(hide_paths(text), want);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let cut = bounded(&"ä".repeat(3_000));
        assert!(cut.len() <= LIMIT + 4 && cut.ends_with(" …"));
    }
}
