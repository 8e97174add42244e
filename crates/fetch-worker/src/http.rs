//! HTTP for the fetch worker: one blocking client with short timeouts and counted bodies.
//!
//! Invariants: every byte received is charged to the job's budget; `http://` is used for loopback
//! addresses only; a redirect never leads from https to http nor from elsewhere to loopback; the
//! gate of the island makes all connections, or [`super::resolver`] says to which addresses; all
//! failures of hosts that the operator has not named read the same; credentials in a mirror's URL
//! go to that URL's host and into no message, and a redirect brings none; an unreachable host is
//! not tried twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use fetch_job::{NO_CONNECTION, Permit, Place, Reach};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector, DefaultConnector, RustlsConnector};

use super::budget::{Budget, Metered, OverBudget};
use super::gate::{GateConnector, NoResolver};
use super::resolver::PermittedResolver;
use super::target::{RequestTarget, TargetError, clip, join};

const CONNECT: Duration = Duration::from_secs(5);
/// How long a host may take to answer a question.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a host may take to send a pack, which the host has to build first.
const PACKING: Duration = Duration::from_secs(30);
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(15);
const REDIRECTS: usize = 5;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error(transparent)]
    Target(#[from] TargetError),
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
    reach: Reach,
    budget: Budget,
    dead: RefCell<HashMap<String, String>>,
}

impl Http {
    /// A client that connects through a gate, or else by itself, to the hosts that it may reach.
    pub(super) fn new(budget: Budget, mut reach: Reach, gate: Option<&Path>) -> Self {
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
                // A gate resolves the name in this time too.
                .timeout_connect(Some(if gate.is_some() { 2 * CONNECT } else { CONNECT }))
                .timeout_send_request(Some(SILENCE))
                .timeout_recv_response(Some(ANSWER))
                .timeout_per_read(Some(SILENCE))
                .timeout_per_write(Some(SILENCE))
        };
        let (agent, direct) = match gate {
            Some(gate) => {
                let connector = GateConnector(gate.to_owned()).chain(RustlsConnector::default());
                let agent =
                    ureq::Agent::with_parts(config().proxy(None).build(), connector, NoResolver);
                (agent.clone(), agent)
            }
            None => {
                // The operator has named the environment's proxy too.
                let proxy = ureq::Proxy::try_from_env().map(|proxy| proxy.uri().to_string());
                reach.places.extend(proxy.as_deref().and_then(Place::of_url));
                let agent = |config| {
                    let resolver = PermittedResolver::new(reach.clone());
                    ureq::Agent::with_parts(config, DefaultConnector::default(), resolver)
                };
                (agent(config().build()), agent(config().proxy(None).build()))
            }
        };
        Self { agent, direct, reach, budget, dead: RefCell::new(HashMap::new()) }
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
            let reason = match self.reach.permit(&at.place) {
                Some(Permit::Anywhere) => reason(&error),
                _ => NO_CONNECTION.to_owned(),
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
        other => match other.to_string() {
            // The rest names other hosts of the operator's.
            text if text.contains("certificate") => "its certificate is not trusted".into(),
            text => clip(&text),
        },
    }
}
