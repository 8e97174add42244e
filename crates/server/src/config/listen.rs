//! Where to listen, whom to let in, and how long a stop may take.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::config::units::Span;
use crate::config::{Config, PORT};
use crate::listen::{Endpoint, Protocol};

/// Connections at once.
const CONNECTIONS: usize = 4096;
/// How long a connection may take to send the head of its next request.
const HEAD_WAIT: Span = Span::seconds(60);
/// How long calls may go on after the signal to stop.
const SHUTDOWN_GRACE: Span = Span::seconds(30);

/// One place, or a list of them.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Endpoints {
    /// `"127.0.0.1:3281"`
    One(Endpoint),
    /// `["127.0.0.1:3281", "unix:/run/sky-island.sock"]`
    Several(Vec<Endpoint>),
}

/// As one that is untagged would be read, but for what is said of a place that is none.
impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Endpoints;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a place to listen at or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Endpoints, E> {
                text.parse().map(Endpoints::One).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Endpoints, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Endpoints::Several)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// The certificate that is shown at every address that is listened at; without one HTTP is spoken there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The file with the certificate and those that it depends on, PEM.
    #[schemars(example = &"/etc/sky-island/cert.pem")]
    pub cert: PathBuf,
    /// The file with its key, PEM.
    #[schemars(example = &"/etc/sky-island/key.pem")]
    pub key: PathBuf,
}

impl Config {
    /// Where to listen: as configured, at all addresses where only a port is, or at the loopback address.
    pub fn places(&self) -> Vec<Endpoint> {
        let at = |address: SocketAddr| Endpoint::Tcp(address, Protocol::Either);
        match (&self.listen, self.http_port) {
            (Some(Endpoints::One(place)), _) => vec![place.clone()],
            (Some(Endpoints::Several(places)), _) => places.clone(),
            (None, Some(port)) => vec![
                at((Ipv4Addr::UNSPECIFIED, port).into()),
                at((Ipv6Addr::UNSPECIFIED, port).into()),
            ],
            (None, None) => vec![at((Ipv4Addr::LOCALHOST, PORT).into())],
        }
    }

    /// Connections at once.
    pub fn connections(&self) -> usize {
        self.connections.unwrap_or(CONNECTIONS)
    }

    /// How long a connection may take to send the head of its next request.
    pub fn head_wait(&self) -> Duration {
        self.head_wait.unwrap_or(HEAD_WAIT).get()
    }

    /// How long calls may go on after the signal to stop.
    pub fn shutdown_grace(&self) -> Duration {
        self.shutdown_grace.unwrap_or(SHUTDOWN_GRACE).get()
    }

    /// What is wrong with where to listen.
    pub(super) fn listen_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let places = self.places();
        if places.is_empty() {
            problems.push("listen: name at least one place".to_owned());
        }
        for (index, place) in places.iter().enumerate() {
            if places[..index].contains(place) {
                problems.push(format!("listen: {place} is there twice"));
            }
            if self.tls.is_none() && matches!(place, Endpoint::Tcp(_, Protocol::Https)) {
                problems.push(format!("listen: {place} needs tls.cert and tls.key"));
            }
        }
        if let Some(tls) = &self.tls {
            for (key, path) in [("tls.cert", &tls.cert), ("tls.key", &tls.key)] {
                if !path.is_absolute() {
                    problems.push(format!("{key}: must be an absolute path"));
                }
            }
        }
        if self.connections() == 0 {
            problems.push("connections: must be at least 1".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Result<Vec<String>, String> {
        let config: Config = serde_json::from_str(text).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config.places().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn places_are_one_or_several_and_a_port_alone_means_all_addresses() {
        let table: [(&str, &[&str]); 5] = [
            ("{}", &["127.0.0.1:3281"]),
            (r#"{"http_port": 3280}"#, &["0.0.0.0:3280", "[::]:3280"]),
            (r#"{"http_port": 3280, "listen": "[::1]:1"}"#, &["[::1]:1"]),
            (r#"{"listen": "unix:/run/x.sock"}"#, &["unix:/run/x.sock"]),
            (
                r#"{"listen": ["127.0.0.1:1", "https://0.0.0.0:2"], "tls": {"cert": "/c", "key": "/k"}}"#,
                &["127.0.0.1:1", "https://0.0.0.0:2"],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(places(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_listened_at_is_refused() {
        for (text, says) in [
            (r#"{"listen": []}"#, "at least one"),
            (r#"{"listen": ["127.0.0.1:1", "127.0.0.1:1"]}"#, "twice"),
            (r#"{"listen": "https://127.0.0.1:1"}"#, "tls.cert"),
            (r#"{"tls": {"cert": "c", "key": "/k"}}"#, "tls.cert: must be an absolute"),
            (r#"{"connections": 0}"#, "connections"),
            (r#"{"cors_origins": ["example.org"]}"#, "https://example.org"),
        ] {
            let error = places(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
