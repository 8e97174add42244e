//! HTTP for the fetch worker: one blocking client with short timeouts and counted bodies.
//!
//! Invariants: every byte received is charged to the job's budget; `http://` is used for loopback
//! addresses only; a redirect never leads from https to http nor from elsewhere to loopback; hosts
//! that the operator has not named are reached at public addresses alone ([`super::reach`]), and
//! all their failures read the same; credentials in a mirror's URL go to that URL's host and into
//! no message, and a redirect brings none; an unreachable host is not tried twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::time::Duration;

use base64::Engine;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;

use super::budget::{Budget, Metered, OverBudget};
use super::reach::{NamedHosts, PublicResolver, is_loopback};

const CONNECT: Duration = Duration::from_secs(5);
/// How long a host may take to answer a question.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a host may take to send a pack, which the host has to build first.
const PACKING: Duration = Duration::from_secs(30);
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(15);
const REDIRECTS: usize = 5;

/// Why a host that the operator has not named cannot be reached: the same for every cause.
const STRANGE: &str = "no connection to it was possible; a host of a private network must be in sources.private_hosts";

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("{0} is no URL of a web server")]
    Url(String),
    #[error("{0} uses http: only https is fetched")]
    Insecure(String),
    #[error(
        "{from} redirects to {to}: a redirect from https to http, or to another kind of host, is not followed"
    )]
    Redirect { from: String, to: String },
    #[error("{0} redirects more than {REDIRECTS} times")]
    Redirects(String),
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error(transparent)]
    Budget(#[from] OverBudget),
}

/// What to send.
pub(super) struct HttpRequest<'a> {
    pub(super) url: &'a str,
    /// A body makes the request a POST; redirects are then not followed.
    pub(super) body: Option<&'a [u8]>,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// A response of any status.
pub(super) struct HttpResponse {
    pub(super) status: u16,
    /// Where the answer came from, after redirects.
    pub(super) url: String,
    pub(super) content_type: String,
    pub(super) body: Metered<Box<dyn Read>>,
}

/// The client.
pub(super) struct Http {
    agent: ureq::Agent,
    /// Without the environment's proxy, which cannot reach this host's loopback addresses.
    direct: ureq::Agent,
    named: NamedHosts,
    budget: Budget,
    dead: RefCell<HashMap<String, String>>,
}

impl Http {
    /// A client that may also connect to the hosts that the operator has named.
    pub(super) fn new(budget: Budget, named: NamedHosts) -> Self {
        let config = || {
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(concat!("git/sky-island-", env!("CARGO_PKG_VERSION")))
                // The host's certificates, so that a site's own authority counts as for the go
                // command.
                .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
                .timeout_resolve(Some(CONNECT))
                .timeout_connect(Some(CONNECT))
                .timeout_send_request(Some(SILENCE))
                .timeout_recv_response(Some(ANSWER))
                .timeout_per_read(Some(SILENCE))
                .timeout_per_write(Some(SILENCE))
        };
        let agent = |config| {
            let resolver = PublicResolver::new(named.clone());
            ureq::Agent::with_parts(config, DefaultConnector::default(), resolver)
        };
        Self {
            agent: agent(config().build()),
            direct: agent(config().proxy(None).build()),
            named,
            budget,
            dead: RefCell::new(HashMap::new()),
        }
    }

    /// Sends a request; follows redirects of a GET.
    pub(super) fn send(&self, ask: &HttpRequest<'_>) -> Result<HttpResponse, HttpError> {
        let first = RequestTarget::parse(ask.url)?;
        let loopback = first.loopback;
        let mut at = first;
        for _ in 0..=REDIRECTS {
            let reply = self.once(&at, ask)?;
            let (status, location) = (reply.status().as_u16(), header(&reply, "location"));
            if !matches!(status, 301 | 302 | 303 | 307 | 308)
                || location.is_empty()
                || ask.body.is_some()
            {
                let content_type = header(&reply, "content-type").to_owned();
                let body: Box<dyn Read> = Box::new(reply.into_body().into_reader());
                let body = self.budget.meter(body);
                return Ok(HttpResponse { status, url: at.with_credentials(), content_type, body });
            }
            let refused = || HttpError::Redirect {
                from: at.shown.clone(),
                to: super::text::scrub(&clip(location), &[]),
            };
            let next = RequestTarget::parse(&join(&at.url, location)).map_err(|_| refused())?;
            if next.loopback != loopback || (at.https && !next.https) {
                return Err(refused());
            }
            // The page that redirects must not choose what is sent as a password.
            let credentials = if next.host == at.host { at.credentials } else { None };
            at = RequestTarget { credentials, ..next };
        }
        Err(HttpError::Redirects(at.shown))
    }

    fn once(
        &self,
        at: &RequestTarget,
        ask: &HttpRequest<'_>,
    ) -> Result<ureq::http::Response<ureq::Body>, HttpError> {
        if let Some(reason) = self.dead.borrow().get(&at.host) {
            return Err(HttpError::Unreachable { host: at.host.clone(), reason: reason.clone() });
        }
        let agent = if at.loopback { &self.direct } else { &self.agent };
        let authorization = at
            .credentials
            .as_ref()
            .map(|c| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(c)));
        let send = || {
            let headers = ask
                .headers
                .iter()
                .copied()
                .chain(authorization.as_deref().map(|value| ("authorization", value)));
            match ask.body {
                None => headers.fold(agent.get(&at.url), |r, (k, v)| r.header(k, v)).call(),
                Some(body) => headers
                    .fold(agent.post(&at.url), |r, (k, v)| r.header(k, v))
                    .config()
                    .timeout_recv_response(Some(PACKING))
                    .timeout_per_read(Some(PACKING))
                    .build()
                    .send(body),
            }
        };
        // A host may have closed a kept connection. Every request can be repeated.
        let result = match send() {
            Err(ureq::Error::Io(e)) if is_stale(&e) => send(),
            other => other,
        };
        result.map_err(|error| {
            let reason = match at.url.parse().is_ok_and(|uri| self.named.has(&uri)) {
                true => reason(&error),
                // Which ports are open, which names there are and who they belong to does not
                // concern the caller; the log has the error.
                false => {
                    eprintln!("{}: {error}", at.host);
                    STRANGE.to_owned()
                }
            };
            self.dead.borrow_mut().insert(at.host.clone(), reason.clone());
            HttpError::Unreachable { host: at.host.clone(), reason }
        })
    }
}

fn is_stale(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

fn header<'a>(reply: &'a ureq::http::Response<ureq::Body>, name: &str) -> &'a str {
    reply.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the host name cannot be resolved".into(),
        ureq::Error::ConnectionFailed => "the connection failed".into(),
        ureq::Error::Io(e) if e.to_string().contains("failed to lookup address") => {
            "the host name cannot be resolved".into()
        }
        ureq::Error::Timeout(_) => "the host did not answer in time".into(),
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            "the connection was refused".into()
        }
        other => clip(&other.to_string()),
    }
}

/// A URL taken apart, with its credentials out of the way.
struct RequestTarget {
    /// Without credentials.
    url: String,
    /// The URL for messages: without credentials and query.
    shown: String,
    host: String,
    https: bool,
    loopback: bool,
    credentials: Option<Vec<u8>>,
}

impl RequestTarget {
    fn parse(url: &str) -> Result<Self, HttpError> {
        let shown = super::text::scrub(url.split('?').next().unwrap_or_default(), &[]);
        let bad = || HttpError::Url(clip(&shown));
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let path = path.split('#').next().unwrap_or_default();
        let bare = format!("{scheme}://{host}{path}");
        let uri: Uri = bare.parse().map_err(|_| bad())?;
        let name = uri.host().filter(|h| !h.is_empty()).ok_or_else(bad)?.to_owned();
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(bad()),
        };
        let loopback = is_loopback(&name);
        if !https && !loopback {
            return Err(HttpError::Insecure(clip(&shown)));
        }
        let credentials = user.map(|user| {
            let user = percent_decode(user);
            if user.contains(&b':') { user } else { [user, b":".to_vec()].concat() }
        });
        Ok(Self { url: bare, shown, host: host.to_owned(), https, loopback, credentials })
    }

    /// The URL for a further request to the same place.
    fn with_credentials(&self) -> String {
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
fn join(base: &str, location: &str) -> String {
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
