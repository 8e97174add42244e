//! A URL of a request, with its credentials out of the way.

use fetch_job::Place;

use super::text::scrub;

/// A URL taken apart.
pub(super) struct RequestTarget {
    /// Without credentials.
    pub(super) url: String,
    /// The URL for messages: without credentials and query.
    pub(super) shown: String,
    /// The host and the port, as they are written.
    pub(super) host: String,
    pub(super) place: Place,
    pub(super) https: bool,
    /// The URL names this machine.
    pub(super) loopback: bool,
    pub(super) credentials: Option<Vec<u8>>,
}

/// Why a URL is not asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("{0} is no URL of a web server")]
    Url(String),
    #[error("{0} uses http: only https is fetched")]
    Insecure(String),
}

impl RequestTarget {
    pub(super) fn parse(url: &str) -> Result<Self, TargetError> {
        let shown = scrub(url.split('?').next().unwrap_or_default(), &[]);
        let bad = || TargetError::Url(clip(&shown));
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let path = path.split('#').next().unwrap_or_default();
        let bare = format!("{scheme}://{host}{path}");
        let _: ureq::http::Uri = bare.parse().map_err(|_| bad())?;
        let place = Place::of_url(&bare).ok_or_else(bad)?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(bad()),
        };
        let loopback = place.host.is_this_machine();
        if !https && !loopback {
            return Err(TargetError::Insecure(clip(&shown)));
        }
        let credentials = user.map(|user| {
            let user = percent_decode(user);
            if user.contains(&b':') { user } else { [user, b":".to_vec()].concat() }
        });
        Ok(Self { url: bare, shown, host: host.to_owned(), place, https, loopback, credentials })
    }

    /// The URL for a further request to the same place.
    pub(super) fn with_credentials(&self) -> String {
        match (&self.credentials, self.url.split_once("://")) {
            (Some(credentials), Some((scheme, rest))) => {
                let mut user = String::new();
                for &byte in credentials {
                    if byte.is_ascii_alphanumeric() || byte == b':' {
                        user.push(char::from(byte));
                    } else {
                        user.push_str(&format!("%{byte:02X}"));
                    }
                }
                format!("{scheme}://{user}@{rest}")
            }
            _ => self.url.clone(),
        }
    }
}

/// The first characters of a text.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let decoded = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match decoded {
            Some(value) => {
                out.push(value);
                rest = &tail[2..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

/// A redirect's target, which may be relative to where it came from.
pub(super) fn join(base: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
    if let Some(other) = location.strip_prefix("//") {
        return format!("{scheme}://{other}");
    }
    let rest = rest.split('?').next().unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if location.starts_with('/') {
        return format!("{scheme}://{host}{location}");
    }
    let folder = &path[..path.rfind('/').map_or(0, |at| at)];
    format!("{scheme}://{host}{folder}/{location}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_be_relative() {
        let base = "https://a.b/c/d?x=1";
        for (location, want) in [
            ("https://e/f", "https://e/f"),
            ("//e/f", "https://e/f"),
            ("/f?y", "https://a.b/f?y"),
            ("f", "https://a.b/c/f"),
        ] {
            assert_eq!(join(base, location), want);
        }
        assert_eq!(join("https://a.b", "f"), "https://a.b/f");
    }

    #[test]
    fn plain_http_is_for_loopback_and_credentials_are_never_shown() {
        for (url, ok) in [
            ("https://a.b/c", true),
            ("http://127.0.0.1:1/c", true),
            ("http://[::1]:1/c", true),
            ("http://localhost/c", true),
            ("http://127.0.0.1.evil.com/c", false),
            ("http://a.b/c", false),
            ("http://127.0.0.1@a.b/c", false),
            ("file:///etc", false),
            ("https:///etc", false),
            ("nothing", false),
        ] {
            assert_eq!(RequestTarget::parse(url).is_ok(), ok, "{url}");
        }
        let target = RequestTarget::parse("https://me:s%40cret@a.b/c?q").ok().unwrap();
        assert_eq!(target.url, "https://a.b/c?q");
        assert_eq!(target.credentials.as_deref(), Some(&b"me:s@cret"[..]));
        assert!(!target.shown.contains("cret"));
        assert_eq!(target.with_credentials(), "https://me:s%40cret@a.b/c?q");
        let refused = RequestTarget::parse("http://me:secret@a.b/c").err().unwrap().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }
}
