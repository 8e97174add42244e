//! The proxies of the operator's environment (`HTTPS_PROXY` and the like), through which a gate
//! connects to strangers' hosts. Their credentials stay in the server.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fetch_job::{Host, Place};
use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, crypto, pki_types::ServerName};

use super::connect::{ConnectError, Resolver};
use super::request::HEAD_BYTES;

/// How long a proxy may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The most header fields of a proxy's answer.
const FIELDS: usize = 64;

/// A connection, encrypted or not.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// The proxies that the environment names, and the hosts that it excepts.
pub struct Proxies(Matcher);

/// A proxy for one place.
pub(super) struct Upstream {
    proxy: Intercept,
    /// Where the proxy listens.
    place: Place,
    tls: bool,
}

/// What a proxy has sent behind its answer.
pub(super) type Rest = Vec<u8>;

impl Proxies {
    /// The proxies of these variables: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`,
    /// also in lower case. curl(1) describes their values.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| {
            let both = [variable(name), variable(&name.to_ascii_lowercase())];
            both.into_iter().flatten().find(|value| !value.is_empty()).unwrap_or_default()
        };
        // The matcher takes a name for all names below it, and knows no other pattern.
        let except = read("NO_PROXY");
        let except: Vec<_> =
            except.split(',').map(|it| it.trim().trim_start_matches("*.")).collect();
        let matcher = Matcher::builder()
            .all(read("ALL_PROXY"))
            .http(read("HTTP_PROXY"))
            .https(read("HTTPS_PROXY"))
            .no(except.join(","));
        Self(matcher.build())
    }

    /// The proxy for a place; none for a direct connection. This machine is never asked through a
    /// proxy, which would take the name for its own machine.
    pub(super) fn through(
        &self,
        place: &Place,
        tunnel: bool,
    ) -> Result<Option<Upstream>, ConnectError> {
        if place.host.is_this_machine() {
            return Ok(None);
        }
        let scheme = if tunnel { "https" } else { "http" };
        let url = format!("{scheme}://{place}/").parse::<Uri>().ok();
        let Some(proxy) = url.and_then(|url| self.0.intercept(&url)) else { return Ok(None) };
        let tls = match proxy.uri().scheme_str() {
            Some("http") | None => false,
            Some("https") => true,
            Some(other) => {
                let reason = format!("it is a {other} proxy; give an http or https URL");
                return Err(failed(&proxy, reason));
            }
        };
        match Place::of_url(&proxy.uri().to_string()) {
            Some(place) => Ok(Some(Upstream { proxy, place, tls })),
            None => Err(failed(&proxy, "its URL has no host")),
        }
    }
}

fn failed(proxy: &Intercept, reason: impl ToString) -> ConnectError {
    let at = proxy.uri().host().unwrap_or_default().to_owned();
    ConnectError::Proxy { proxy: at, reason: reason.to_string() }
}

impl Upstream {
    /// What the proxy wants for an authorization.
    pub(super) fn authorization(&self) -> Option<&[u8]> {
        self.proxy.basic_auth().map(|value| value.as_bytes())
    }

    /// A connection to the proxy itself, which the operator has named.
    pub(super) async fn connect(
        &self,
        resolver: &Resolver,
    ) -> Result<Box<dyn Connection>, ConnectError> {
        let stream = resolver.connect(&self.place, |_| true).await;
        let stream = stream.map_err(|error| self.failed(common::causes::chain(&error)))?;
        if !self.tls {
            return Ok(Box::new(stream));
        }
        let name = match &self.place.host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|e| self.failed(e))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let config = tls().map_err(|error| self.failed(error))?;
        let connected = timeout(ANSWER, TlsConnector::from(config).connect(name, stream)).await;
        let connected = connected.map_err(io::Error::from).and_then(|connected| connected);
        Ok(Box::new(connected.map_err(|error| self.failed(error))?))
    }

    /// A tunnel through the proxy to a place.
    pub(super) async fn tunnel(
        &self,
        resolver: &Resolver,
        place: &Place,
    ) -> Result<(Box<dyn Connection>, Rest), ConnectError> {
        let mut connection = self.connect(resolver).await?;
        let mut head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n").into_bytes();
        if let Some(value) = self.authorization() {
            head.extend([b"Proxy-Authorization: ", value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        let asked = async {
            connection.write_all(&head).await?;
            connection.flush().await?;
            answer(&mut connection).await
        };
        let rest = timeout(ANSWER, asked).await.map_err(io::Error::from).and_then(|rest| rest);
        let rest = rest.map_err(|error| self.failed(error))?;
        Ok((connection, rest))
    }

    fn failed(&self, reason: impl ToString) -> ConnectError {
        failed(&self.proxy, reason)
    }
}

/// Reads the proxy's answer to CONNECT; returns the bytes behind it.
async fn answer(connection: &mut (impl AsyncRead + Unpin)) -> io::Result<Rest> {
    let mut bytes = Vec::new();
    loop {
        if connection.take(HEAD_BYTES as u64).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(&bytes).map_err(io::Error::other)? {
            httparse::Status::Complete(length) => {
                let status = response.code.unwrap_or_default();
                return match status {
                    200..=299 => Ok(bytes.split_off(length)),
                    _ => Err(io::Error::other(format!("it answered {status}"))),
                };
            }
            httparse::Status::Partial if bytes.len() < HEAD_BYTES => {}
            httparse::Status::Partial => return Err(io::Error::other("its answer is too long")),
        }
    }
}

/// TLS to a proxy, by the host's certificates. They are read at the first use.
fn tls() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let make = || {
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(config.with_no_client_auth()))
    };
    CONFIG.get_or_init(make).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &'static [(&str, &str)]) -> Proxies {
        Proxies::of(|name| {
            let found = variables.iter().find(|(own, _)| *own == name)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn the_environment_says_which_hosts_are_asked_through_which_proxy() {
        let proxies = proxies(&[
            ("https_proxy", "http://me:pw@proxy.example:3128"),
            ("HTTP_PROXY", "https://plain.example"),
            ("NO_PROXY", "*.intranet.example, 10.0.0.0/8, direct.example"),
        ]);
        let through = |place: &str, tunnel| {
            let place = Place::of_authority(place).unwrap();
            let found = proxies.through(&place, tunnel).unwrap();
            found.map(|it| (it.place.to_string(), it.tls, it.authorization().is_some()))
        };
        let secure = Some(("proxy.example:3128".to_owned(), false, true));
        let plain = Some(("plain.example:443".to_owned(), true, false));
        for (place, tunnel, expected) in [
            ("github.com:443", true, &secure),
            ("athens.example:80", false, &plain),
            ("git.intranet.example:443", true, &None),
            ("direct.example:443", true, &None),
            ("10.1.2.3:443", true, &None),
            ("localhost:3000", true, &None),
            ("127.0.0.1:3000", false, &None),
            ("[::1]:3000", true, &None),
        ] {
            assert_eq!(through(place, tunnel), *expected, "{place}");
        }
    }

    #[test]
    fn no_proxy_is_named_by_default_and_one_of_another_kind_is_refused() {
        let place = Place::of_authority("github.com:443").unwrap();
        assert!(proxies(&[]).through(&place, true).unwrap().is_none());
        let socks = proxies(&[("ALL_PROXY", "socks5://me:secret@proxy.example:1080")]);
        let error = socks.through(&place, true).err().unwrap().to_string();
        assert!(error.contains("socks5") && !error.contains("secret"), "{error}");
    }
}
