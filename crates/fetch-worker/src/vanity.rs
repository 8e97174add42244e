//! `?go-get=1`: which repository an import path lies in, by the `go-import` meta tags of a web
//! page. The page is untrusted: it is tokenized and never interpreted, only its head counts, and
//! only git repositories over https are accepted.

use html5gum::{Token, Tokenizer};

/// One `<meta name="go-import" content="prefix vcs repo-root">`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetaImport {
    pub(super) prefix: String,
    pub(super) vcs: String,
    pub(super) repo: String,
}

/// Why a page names no usable repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum VanityError {
    #[error("the page has no go-import tag for {0}")]
    NoTag(String),
    #[error("the page has several go-import tags for {0}")]
    Ambiguous(String),
    #[error("the go-import tag names a {0} repository; only git is supported")]
    Vcs(String),
    #[error("the go-import tag names a repository without https")]
    NotHttps,
    #[error("the go-import tag names a repository with a user name")]
    Credentials,
}

/// The go-import tags in a page's head, in their order.
pub(super) fn meta_imports(page: &[u8]) -> Vec<MetaImport> {
    let mut found = Vec::new();
    for token in Tokenizer::new(page) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) if tag.name.eq_ignore_ascii_case(b"body") => break,
            Token::EndTag(tag) if tag.name.eq_ignore_ascii_case(b"head") => break,
            Token::StartTag(tag) if tag.name.eq_ignore_ascii_case(b"meta") => {
                let attribute = |name: &str| {
                    let value = tag.attributes.get(name.as_bytes())?;
                    std::str::from_utf8(value).ok()
                };
                if attribute("name") != Some("go-import") {
                    continue;
                }
                let mut fields = attribute("content").unwrap_or_default().split_whitespace();
                if let (Some(prefix), Some(vcs), Some(repo)) =
                    (fields.next(), fields.next(), fields.next())
                {
                    let (prefix, vcs, repo) = (prefix.into(), vcs.into(), repo.into());
                    found.push(MetaImport { prefix, vcs, repo });
                }
            }
            _ => {}
        }
    }
    found
}

/// The one tag for `import_path`.
pub(super) fn matching(
    tags: Vec<MetaImport>,
    import_path: &str,
) -> Result<MetaImport, VanityError> {
    let mut matches = tags.into_iter().filter(|tag| {
        // `mod` points to a module proxy of its own, which is not a repository.
        tag.vcs != "mod" && below(import_path, &tag.prefix).is_some()
    });
    let first = matches.next().ok_or_else(|| VanityError::NoTag(import_path.to_owned()))?;
    if matches.any(|other| other != first) {
        return Err(VanityError::Ambiguous(import_path.to_owned()));
    }
    if first.vcs != "git" {
        return Err(VanityError::Vcs(first.vcs.chars().take(16).collect()));
    }
    let Some(rest) = first.repo.strip_prefix("https://") else {
        return Err(VanityError::NotHttps);
    };
    if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
        return Err(VanityError::Credentials);
    }
    Ok(first)
}

/// The rest of `path` after `prefix`, if the prefix ends at an element boundary.
pub(super) fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    if prefix.is_empty() || rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(prefix: &str, vcs: &str, repo: &str) -> MetaImport {
        MetaImport { prefix: prefix.into(), vcs: vcs.into(), repo: repo.into() }
    }

    #[test]
    fn tags_are_read_as_the_go_command_reads_them() {
        let yaml = tag("gopkg.in/yaml.v3", "git", "https://gopkg.in/yaml.v3");
        let cases: &[(&str, &[MetaImport])] = &[
            ("", &[]),
            (
                "<html><head><meta name=\"go-import\" content=\"gopkg.in/yaml.v3 git https://gopkg.in/yaml.v3\"></head>",
                std::slice::from_ref(&yaml),
            ),
            (
                "<!DOCTYPE html><META content='gopkg.in/yaml.v3   git\n https://gopkg.in/yaml.v3' NAME=go-import />",
                std::slice::from_ref(&yaml),
            ),
            (
                "<meta name=\"go-import\" content=\"a.b/c git https://a.b/?x&amp;y\">",
                &[tag("a.b/c", "git", "https://a.b/?x&y")],
            ),
            ("<!-- <meta name=\"go-import\" content=\"a git https://b\"> -->", &[]),
            ("<body><meta name=\"go-import\" content=\"a git https://b\">", &[]),
            ("<head></head><meta name=\"go-import\" content=\"a git https://b\">", &[]),
            ("<meta name=\"go-import\" content=\"a git\">", &[]),
            ("<meta name=\"go-source\" content=\"a git https://b\">", &[]),
            ("<meta name=\"go-import\" content=\"a git https://b", &[]),
        ];
        for (page, want) in cases {
            assert_eq!(meta_imports(page.as_bytes()), *want, "{page}");
        }
        assert_eq!(
            meta_imports(b"\xff\xfe<meta name=go-import content='a git https://b'>").len(),
            1
        );
    }

    #[test]
    fn the_one_tag_whose_prefix_ends_at_an_element_counts() {
        let git = |prefix: &str| tag(prefix, "git", "https://host/x");
        let path = "example.com/a/b";
        let cases = [
            (vec![git("example.com/a")], Ok(git("example.com/a"))),
            (vec![git("example.com/a/b")], Ok(git("example.com/a/b"))),
            (vec![git("example.com/c"), git("example.com/a")], Ok(git("example.com/a"))),
            (vec![git("example.com/a"), git("example.com/a")], Ok(git("example.com/a"))),
            (
                vec![tag("example.com/a", "mod", "https://p"), git("example.com/a")],
                Ok(git("example.com/a")),
            ),
            (vec![git("example.com/")], Err(VanityError::NoTag(path.into()))),
            (
                vec![git("example.com/a/bc"), git("xample.com")],
                Err(VanityError::NoTag(path.into())),
            ),
            (vec![], Err(VanityError::NoTag(path.into()))),
            (
                vec![git("example.com/a"), git("example.com")],
                Err(VanityError::Ambiguous(path.into())),
            ),
            (vec![tag("example.com", "hg", "https://h")], Err(VanityError::Vcs("hg".into()))),
            (vec![tag("example.com", "git", "http://h")], Err(VanityError::NotHttps)),
            (vec![tag("example.com", "git", "file:///etc")], Err(VanityError::NotHttps)),
            (vec![tag("example.com", "git", "https://a:b@h/x")], Err(VanityError::Credentials)),
            (vec![tag("example.com", "git", "--upload-pack=x")], Err(VanityError::NotHttps)),
        ];
        for (tags, want) in cases {
            assert_eq!(matching(tags.clone(), path), want, "{tags:?}");
        }
    }
}
