//! What the configuration says about listening, connections and the end of the server.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::config::listen::Endpoints;
use crate::config::schema::{Config, PORT};
use crate::config::units::Span;
use crate::listen::{Endpoint, Protocol, ServedHost};

/// The default of `connections`.
const CONNECTIONS: usize = 4096;
/// The default of `head_wait`.
const HEAD_WAIT: Span = Span::seconds(60);
/// The default of `answer_wait`.
const ANSWER_WAIT: Span = Span::seconds(30);
/// The default of `shutdown_grace`.
const SHUTDOWN_GRACE: Span = Span::seconds(30);

impl Config {
    /// The endpoints to listen on: as configured; all addresses where only a port is; otherwise the
    /// loopback address.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let at = |address: SocketAddr| Endpoint::Tcp(address, Protocol::Either);
        match (&self.listen, self.http_port) {
            (Some(Endpoints::One(endpoint)), _) => vec![endpoint.clone()],
            (Some(Endpoints::List(endpoints)), _) => endpoints.clone(),
            (None, Some(port)) => vec![
                at((Ipv4Addr::UNSPECIFIED, port).into()),
                at((Ipv6Addr::UNSPECIFIED, port).into()),
            ],
            (None, None) => vec![at((Ipv4Addr::LOCALHOST, PORT).into())],
        }
    }

    /// The names by which clients may address the server.
    pub fn hosts(&self) -> Vec<ServedHost> {
        self.hosts.clone().unwrap_or_else(ServedHost::of_system)
    }

    /// The most connections that are open at once.
    pub fn connections(&self) -> usize {
        self.connections.unwrap_or(CONNECTIONS)
    }

    /// How long a connection may take to send the head of its next request.
    pub fn head_wait(&self) -> Duration {
        self.head_wait.unwrap_or(HEAD_WAIT).get()
    }

    /// The most connections of one client that are open at once: half of all, unless it is
    /// configured.
    pub fn connections_per_client(&self) -> usize {
        let all = self.connections();
        self.limits.per_client.connections.unwrap_or(all.div_ceil(2)).min(all)
    }

    /// How long a client may read nothing of an answer.
    pub fn answer_wait(&self) -> Duration {
        self.answer_wait.unwrap_or(ANSWER_WAIT).get()
    }

    /// How long calls may go on after the signal to stop.
    pub fn shutdown_grace(&self) -> Duration {
        self.shutdown_grace.unwrap_or(SHUTDOWN_GRACE).get()
    }

    /// The problems of these keys.
    pub(super) fn listen_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let endpoints = self.endpoints();
        if endpoints.is_empty() {
            problems.push("listen: the list is empty; name at least one endpoint".to_owned());
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            if endpoints[..index].contains(endpoint) {
                problems.push(format!("listen: {endpoint} is there twice; remove one"));
            }
            if self.tls.is_none() && matches!(endpoint, Endpoint::Tcp(_, Protocol::Https)) {
                problems.push(format!(
                    "listen: {endpoint} needs a certificate; set tls.cert and tls.key"
                ));
            }
        }
        if let Some(tls) = &self.tls {
            for (key, path) in [("tls.cert", &tls.cert), ("tls.key", &tls.key)] {
                if !path.is_absolute() {
                    problems
                        .push(format!("{key}: must be an absolute path, not {}", path.display()));
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(text: &str) -> Result<Vec<String>, String> {
        let config: Config = serde_json::from_str(text).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config.endpoints().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn endpoints_are_one_or_a_list_and_a_port_alone_means_all_addresses() {
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
            assert_eq!(endpoints(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn endpoints_that_cannot_be_listened_on_are_refused() {
        for (text, says) in [
            (r#"{"listen": []}"#, "at least one"),
            (r#"{"listen": ["127.0.0.1:1", "127.0.0.1:1"]}"#, "twice"),
            (r#"{"listen": "https://127.0.0.1:1"}"#, "tls.cert"),
            (r#"{"tls": {"cert": "c", "key": "/k"}}"#, "tls.cert: must be an absolute"),
            (r#"{"connections": 0}"#, "connections"),
            (r#"{"cors_origins": ["example.org"]}"#, "https://example.org"),
            (r#"{"hosts": ["https://example.org"]}"#, "without a scheme"),
        ] {
            let error = endpoints(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
