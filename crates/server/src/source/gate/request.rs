//! What a fetch island asks of its gate: the head of one HTTP request.

use fetch_job::Place;

/// The longest head, in bytes.
pub(super) const HEAD_BYTES: usize = 8 << 10;
/// The most header fields of a head.
const FIELDS: usize = 64;
/// Fields that belong to one connection, and are not passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// A head that is no request to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is none that a proxy answers")]
pub(super) struct BadRequest;

/// A request to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProxyRequest {
    /// CONNECT: bytes to and from a place.
    Tunnel(Place),
    /// A request for an `http://` URL.
    Forward(Forward),
}

/// A request for an `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forward {
    /// Where the URL leads.
    pub(super) place: Place,
    method: String,
    /// Path and query.
    path: String,
    fields: Vec<(String, Vec<u8>)>,
}

impl ProxyRequest {
    /// Where the request leads.
    pub(super) fn place(&self) -> &Place {
        match self {
            Self::Tunnel(place) => place,
            Self::Forward(forward) => &forward.place,
        }
    }

    /// Reads a request and the length of its head; none if the head is not complete.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, BadRequest> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(BadRequest),
        };
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(BadRequest);
        };
        let found = match method {
            "CONNECT" => Self::Tunnel(Place::of_authority(target).ok_or(BadRequest)?),
            _ => Self::Forward(Forward::new(method, target, request.headers)?),
        };
        Ok(Some((found, length)))
    }
}

impl Forward {
    fn new(
        method: &str,
        target: &str,
        fields: &[httparse::Header<'_>],
    ) -> Result<Self, BadRequest> {
        let rest = target.strip_prefix("http://").ok_or(BadRequest)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let place =
            Place::of_url(target).filter(|_| !authority.contains('@') && !rest.contains('#'));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let is = |field: &httparse::Header<'_>, name: &str| field.name.eq_ignore_ascii_case(name);
        let named: Vec<String> = fields
            .iter()
            .filter(|field| is(field, "connection"))
            .flat_map(|field| field.value.split(|byte| *byte == b','))
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned())
            .collect();
        // A body is passed on as it is framed.
        let passed = |field: &&httparse::Header<'_>| {
            !HOP_BY_HOP.iter().any(|name| is(field, name))
                && !named.iter().any(|name| is(field, name))
        };
        let fields = fields.iter().filter(passed);
        let fields = fields.map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
        Ok(Self { place: place.ok_or(BadRequest)?, method: method.to_owned(), path, fields })
    }

    /// The head as the host gets it, or as another proxy gets it that wants this authorization.
    pub(super) fn head(&self, proxy: Option<Option<&[u8]>>) -> Vec<u8> {
        let Self { place, method, path, fields } = self;
        let authority = match place.port {
            80 => place.host.to_string(),
            _ => place.to_string(),
        };
        let target = match proxy {
            Some(_) => format!("http://{authority}{path}"),
            None => path.clone(),
        };
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        let mut add = |name: &str, value: &[u8]| {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        };
        fields.iter().for_each(|(name, value)| add(name, value));
        if let Some(Some(authorization)) = proxy {
            add("Proxy-Authorization", authorization);
        }
        add("Connection", b"close");
        head.extend(b"\r\n");
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_names_a_host_and_a_port_and_nothing_else() {
        for (target, expected) in [
            ("github.com:443", Some("github.com:443")),
            ("LOCALHOST.:80", Some("localhost:80")),
            ("[::ffff:127.0.0.1]:1", Some("127.0.0.1:1")),
            ("github.com", None),
            ("github.com:443/x", None),
            ("u:p@github.com:443", None),
            ("https://github.com:443", None),
            ("/", None),
            ("*", None),
        ] {
            let text = format!("CONNECT {target} HTTP/1.1\r\nHost: else.example\r\n\r\nrest");
            let found = ProxyRequest::parse(text.as_bytes());
            match expected {
                Some(place) => {
                    let (request, length) = found.unwrap().unwrap();
                    assert!(matches!(request, ProxyRequest::Tunnel(_)));
                    assert_eq!(request.place().to_string(), place);
                    assert_eq!(&text.as_bytes()[length..], b"rest");
                }
                None => assert_eq!(found, Err(BadRequest), "{target}"),
            }
        }
    }

    #[test]
    fn a_head_is_taken_whole_or_not_at_all() {
        let whole = b"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(ProxyRequest::parse(&whole[..length]), Ok(None), "{length}");
        }
        for bad in [
            &b"CONNECT a.b:443 HTTP/3.1\r\n\r\n"[..],
            b"CONNECT a.b:443\r\n\r\n",
            b"CONNECT a.b:443 x HTTP/1.1\r\n\r\n",
            b"CONNECT a.b:443 HTTP/1.1\r\nHost : a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01",
        ] {
            assert_eq!(ProxyRequest::parse(bad), Err(BadRequest));
        }
        let many = format!("GET http://a.b/ HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(FIELDS + 1));
        assert_eq!(ProxyRequest::parse(many.as_bytes()), Err(BadRequest));
    }

    #[test]
    fn a_request_for_a_url_is_passed_on_without_what_belongs_to_its_connection() {
        let text = "GET http://Athens.internal:3000/a/@v/list?x HTTP/1.1\r\nHost: evil.example\r\n\
                    Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
                    Connection: keep-alive, X-Private\r\nX-Private: 1\r\nAccept: */*\r\n\r\n";
        let (request, _) = ProxyRequest::parse(text.as_bytes()).unwrap().unwrap();
        let ProxyRequest::Forward(forward) = request else { panic!("{request:?}") };
        let text = |head: Vec<u8>| String::from_utf8(head).unwrap();
        assert_eq!(
            text(forward.head(None)),
            "GET /a/@v/list?x HTTP/1.1\r\nHost: athens.internal:3000\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        );
        let through = text(forward.head(Some(Some(b"Basic bWU="))));
        assert!(through.starts_with("GET http://athens.internal:3000/a/@v/list?x HTTP/1.1\r\n"));
        assert!(through.contains("Proxy-Authorization: Basic bWU=\r\n"), "{through}");
        for target in
            ["/x", "https://a.b/", "http://u@a.b/", "http:///x", "http://a.b/#x", "ftp://a"]
        {
            let text = format!("GET {target} HTTP/1.1\r\nHost: a.b\r\n\r\n");
            assert_eq!(ProxyRequest::parse(text.as_bytes()), Err(BadRequest), "{target}");
        }
    }
}
