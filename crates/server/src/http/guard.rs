//! Requests that are not taken: requests to a host that the server is not, and requests that a
//! browser makes for a page of another origin.
//!
//! Every client that reaches the server may call functions. A page that the owner of the server
//! visits must not: neither by a request that a browser sends without asking the server first, nor
//! by a name of the page's own that suddenly stands for the server's address (DNS rebinding).
//!
//! Sources: RFC 9112 section 3.2 (Host), the Fetch standard (requests without a preflight), Fetch
//! Metadata (Sec-Fetch-Site).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::calls::{Code, Failure, Stage};
use crate::http::error::Refused;
use crate::http::peer::Peer;
use crate::listen::{Origin, ServedHost};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The content types with which a browser sends a page's request without a preflight.
const WITHOUT_PREFLIGHT: [&str; 3] =
    ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"];
/// The one of them that curl and other clients of 2017 send too.
const FORM: &str = "application/x-www-form-urlencoded";

/// The hosts and origins whose requests the server takes.
#[derive(Clone, Debug)]
pub struct Guard {
    hosts: Arc<[ServedHost]>,
    origins: Arc<[Origin]>,
}

impl Guard {
    /// A guard that takes requests to these hosts, and from pages of these origins (`hosts`,
    /// `cors_origins`).
    pub fn new(hosts: &[ServedHost], origins: &[Origin]) -> Self {
        Self { hosts: hosts.into(), origins: origins.into() }
    }

    /// Whether a request is taken.
    fn check(&self, request: &Parts, peer: Peer) -> Result<(), Failure> {
        let host = host(request)?;
        // No browser speaks over a unix socket, and clients write any name there.
        if let (Some(host), false) = (&host, matches!(peer, Peer::Unix(_)))
            && !self.serves(host.host())
        {
            let name = host.host();
            return Err(refuse(
                Code::Host,
                format!(
                    "this server does not answer as {name:.200}; use its address, or add the name to hosts"
                ),
            ));
        }
        if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            // Another origin's page cannot read the answer, and nothing changes.
            return Ok(());
        }
        self.check_page(&request.headers, host.as_ref())
    }

    /// Whether the server is this host: an address, localhost, or one of its names.
    fn serves(&self, name: &str) -> bool {
        let bare = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let address = name.parse::<Ipv4Addr>().is_ok()
            || name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).is_some_and(is_ipv6);
        address
            || bare == "localhost"
            || bare.ends_with(".localhost")
            || self.hosts.iter().any(|host| host.is_named(name))
    }

    /// Whether a request that changes something comes from a program, or from a page that may send
    /// it.
    fn check_page(&self, headers: &HeaderMap, host: Option<&Authority>) -> Result<(), Failure> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (origin, more) = (origins.next(), origins.next());
        let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
        match origin.map(|origin| origin.to_str().unwrap_or("null")) {
            Some(origin) if more.is_none() && self.allows(origin, host) => Ok(()),
            Some(origin) => Err(foreign(origin)),
            None if matches!(site, Some(b"cross-site" | b"same-site")) => {
                Err(foreign("another site (Sec-Fetch-Site)"))
            }
            None => check_type(headers, site.is_some()),
        }
    }

    /// Whether pages of an origin may call the server: `cors_origins` names the origin, or the
    /// origin is the server's own.
    fn allows(&self, origin: &str, host: Option<&Authority>) -> bool {
        let named = self.origins.iter().any(|allowed| match allowed {
            Origin::Any => true,
            Origin::One(allowed) => allowed == origin,
        });
        let own = || {
            let (scheme, rest) = origin.split_once("://")?;
            let (origin, host) = (rest.parse::<Authority>().ok()?, host?);
            let default = if scheme == "https" { 443 } else { 80 };
            let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
            let same = origin.host().eq_ignore_ascii_case(host.host());
            Some(same && port(&origin) == port(host))
        };
        named || own() == Some(true)
    }
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// The host that a request is addressed to; none for HTTP/1.0 without one.
fn host(request: &Parts) -> Result<Option<Authority>, Failure> {
    let bad = |detail: &str| refuse(Code::Malformed, detail.to_owned());
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host),
        (None, _) if request.version < Version::HTTP_11 => None,
        (None, _) => return Err(bad("the request has no Host header; send exactly one")),
        (Some(_), Some(_)) => {
            return Err(bad("the request has more than one Host header; send exactly one"));
        }
    };
    let parse = |value: &HeaderValue| value.to_str().ok()?.parse::<Authority>().ok();
    let named = host.map(|value| {
        let authority = parse(value).filter(|it| !it.as_str().contains('@') && has_good_port(it));
        authority.ok_or_else(|| bad("the Host header is neither a name nor an address"))
    });
    let named = named.transpose()?;
    // The host of an absolute URI takes precedence (RFC 9112 section 3.2.2).
    match request.uri.authority() {
        Some(authority) if !has_good_port(authority) => {
            Err(bad("the request's URI has a port that is no number from 0 to 65535"))
        }
        Some(authority) => Ok(Some(authority.clone())),
        None => Ok(named),
    }
}

/// Whether what follows the name is nothing, or a port; the parser takes other texts too.
fn has_good_port(authority: &Authority) -> bool {
    let text = authority.as_str();
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    match text.strip_prefix(authority.host()) {
        Some("" | ":") => true,
        Some(port) => {
            authority.port_u16().is_some() && port[1..].bytes().all(|b| b.is_ascii_digit())
        }
        None => false,
    }
}

/// Whether a page of another origin cannot have sent a request that names no origin: pages can send
/// a few content types without the server's consent, and old browsers do not say for whom.
fn check_type(headers: &HeaderMap, is_browser: bool) -> Result<(), Failure> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_browser = is_browser || headers.contains_key(header::REFERER);
    if !WITHOUT_PREFLIGHT.contains(&kind.as_str()) || kind == FORM && !is_browser {
        return Ok(());
    }
    Err(refuse(
        Code::MediaType,
        format!("a body of the type {kind} is not taken; send application/json"),
    ))
}

fn foreign(origin: &str) -> Failure {
    let detail = format!(
        "a page of {origin:.200} may not call this server; add its origin to cors_origins, or send the request from a program"
    );
    refuse(Code::Origin, detail)
}

fn refuse(code: Code, detail: String) -> Failure {
    Failure::new(code, Stage::Request, detail)
}

/// Refuses what the guard does not take, and keeps answers out of caches.
pub(super) async fn apply(
    State(guard): State<Guard>,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match guard.check(&parts, peer) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(failure) => Refused(failure).into_response(),
    };
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    response
}

/// Why a POST with these headers is refused.
#[cfg(test)]
pub(super) fn refusal(headers: &[(&str, &str)]) -> Failure {
    let request = headers.iter().fold(axum::http::Request::post("/"), |request, (name, value)| {
        request.header(*name, *value)
    });
    let (parts, ()) = request.body(()).unwrap().into_parts();
    Guard::new(&[], &[]).check(&parts, Peer::Unknown).unwrap_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap().into_parts().0
    }

    fn guard(hosts: &[&str], origins: &[&str]) -> Guard {
        let hosts: Vec<ServedHost> = hosts.iter().map(|text| text.parse().unwrap()).collect();
        let origins: Vec<Origin> = origins.iter().map(|text| text.parse().unwrap()).collect();
        Guard::new(&hosts, &origins)
    }

    fn client() -> Peer {
        Peer::Address(([203, 0, 113, 7], 4000).into())
    }

    /// The code with which a request is refused; none where it is taken.
    fn code(guard: &Guard, parts: &Parts) -> Option<&'static str> {
        guard.check(parts, client()).err().map(|failure| failure.code.as_str())
    }

    #[test]
    fn a_request_is_addressed_to_an_address_or_a_name_of_the_server() {
        let guard = guard(&["islands.example.org"], &[]);
        let table = [
            ("127.0.0.1:3281", None),
            ("203.0.113.9", None),
            ("[::1]:3281", None),
            ("[2001:db8::1]", None),
            ("localhost:3281", None),
            ("LOCALHOST", None),
            ("localhost.", None),
            ("app.localhost:80", None),
            ("islands.example.org", None),
            ("Islands.Example.org.:443", None),
            ("attacker.example", Some("host")),
            ("localhost.attacker.example", Some("host")),
            ("127.0.0.1.attacker.example", Some("host")),
            ("x.islands.example.org", Some("host")),
            ("0x7f.1", Some("host")),
            ("2130706433", Some("host")),
            ("localhost:", None),
            ("[::1", Some("malformed")),
            ("[::1]:80G", Some("malformed")),
            ("[::1]x", Some("malformed")),
            ("localhost:80G", Some("malformed")),
            ("localhost:99999", Some("malformed")),
            ("localhost:-1", Some("malformed")),
            ("a@localhost", Some("malformed")),
            ("a b", Some("malformed")),
            ("", Some("malformed")),
            ("localhost/x", Some("malformed")),
        ];
        for (host, expected) in table {
            for method in ["GET", "POST"] {
                let parts = parts(method, "/metrics", &[("host", host)]);
                assert_eq!(code(&guard, &parts), expected, "{method} {host}");
            }
        }
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        let guard = guard(&[], &[]);
        assert_eq!(code(&guard, &parts("GET", "/", &[])), Some("malformed"));
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(code(&guard, &parts("GET", "/", &two)), Some("malformed"));
        let mut old = parts("GET", "/", &[]);
        old.version = Version::HTTP_10;
        assert_eq!(code(&guard, &old), None);
        // The host of an absolute URI is the one that counts.
        let absolute = parts("GET", "http://attacker.example/", &[("host", "localhost")]);
        assert_eq!(code(&guard, &absolute), Some("host"));
        let odd = parts("GET", "http://localhost:80G/", &[("host", "localhost")]);
        assert_eq!(code(&guard, &odd), Some("malformed"));
    }

    #[test]
    fn a_client_of_a_unix_socket_may_write_any_host() {
        let guard = guard(&[], &[]);
        let parts = parts("POST", "/", &[("host", "sky-island")]);
        assert!(guard.check(&parts, Peer::Unix(Some(0))).is_ok());
    }

    #[test]
    fn pages_of_other_origins_do_not_get_in() {
        let guard = guard(&["islands.example.org"], &["https://status.example"]);
        let json = ("content-type", "application/json");
        let table: [(&[(&str, &str)], Option<&str>); 21] = [
            (&[], None),
            (&[json], None),
            (&[("content-type", "application/x-www-form-urlencoded")], None),
            (&[("origin", "http://127.0.0.1:3281"), json], None),
            (&[("origin", "https://127.0.0.1:3281"), ("content-type", "text/plain")], None),
            (&[("origin", "https://status.example"), json], None),
            (&[("sec-fetch-site", "same-origin"), json], None),
            (&[("sec-fetch-site", "none"), json], None),
            (&[("origin", "https://evil.example"), json], Some("origin")),
            (&[("origin", "http://127.0.0.1:8080"), json], Some("origin")),
            (&[("origin", "http://localhost:3281"), json], Some("origin")),
            (&[("origin", "https://status.example.evil"), json], Some("origin")),
            (&[("origin", "null"), json], Some("origin")),
            (&[("origin", ""), json], Some("origin")),
            (
                &[("origin", "http://127.0.0.1:3281"), ("origin", "https://evil.example"), json],
                Some("origin"),
            ),
            (&[("sec-fetch-site", "cross-site"), json], Some("origin")),
            (&[("sec-fetch-site", "same-site"), json], Some("origin")),
            (&[("content-type", "text/plain; charset=UTF-8")], Some("media_type")),
            (&[("content-type", "Multipart/Form-Data; boundary=x")], Some("media_type")),
            (
                &[
                    ("referer", "https://evil.example/"),
                    ("content-type", "application/x-www-form-urlencoded"),
                ],
                Some("media_type"),
            ),
            (
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("content-type", "application/x-www-form-urlencoded"),
                ],
                Some("media_type"),
            ),
        ];
        for (headers, expected) in table {
            let headers = [&[("host", "127.0.0.1:3281")], headers].concat();
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                let parts = parts(method, "/api/v1/function", &headers);
                assert_eq!(code(&guard, &parts), expected, "{method} {headers:?}");
            }
            let read = parts("GET", "/api/v1/healthcheck", &headers);
            assert_eq!(code(&guard, &read), None, "{headers:?}");
        }
    }

    #[test]
    fn the_default_port_of_a_scheme_need_not_be_written() {
        let guard = guard(&["islands.example.org"], &[]);
        let from =
            |origin, host| code(&guard, &parts("POST", "/", &[("host", host), ("origin", origin)]));
        assert_eq!(from("https://islands.example.org", "islands.example.org:443"), None);
        assert_eq!(from("https://islands.example.org", "islands.example.org"), None);
        assert_eq!(from("http://islands.example.org:80", "islands.example.org"), None);
        assert_eq!(from("http://islands.example.org:81", "islands.example.org"), Some("origin"));
    }

    #[test]
    fn every_origin_and_every_host_can_be_allowed() {
        let guard = guard(&["*"], &["*"]);
        let headers = [("host", "anything.example"), ("origin", "null")];
        assert_eq!(code(&guard, &parts("POST", "/", &headers)), None);
    }
}
