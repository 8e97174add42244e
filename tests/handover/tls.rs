//! HTTPS: who is shown what, when the certificate changes, and clients that do not get as far as a
//! request.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use nix::sys::signal::Signal;
use rcgen::{CertifiedKey, KeyPair};
use serde_json::json;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
};

use super::client::Client;
use super::host::{Host, free};

type Made = CertifiedKey<KeyPair>;

/// Puts a new certificate into the files that the server reads.
fn renew(host: &Host) -> Made {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(host.path("cert.pem"), made.cert.pem()).unwrap();
    fs::write(host.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made
}

/// The health of a server that shows this certificate.
fn health(address: SocketAddr, made: &Made) -> io::Result<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    Client::on(stream).get("/healthcheck", &[]).map(|answer| answer.status)
}

#[test]
fn a_certificate_is_shown_and_read_again_on_a_hangup() {
    let host = Host::new();
    let first = renew(&host);
    let (secure, plain) = (free(), free());
    let server = host.start(&json!({
        "listen": [secure, format!("http://{plain}")],
        "tls": {"cert": host.path("cert.pem"), "key": host.path("key.pem")},
    }));
    // Clients that never shake hands do not concern other clients.
    let _silent: Vec<_> = (0..8).map(|_| TcpStream::connect(secure).unwrap()).collect();
    assert_eq!(health(secure, &first).unwrap(), 200);
    let answer = Client::connect(plain).unwrap().get("/healthcheck", &[]).unwrap();
    assert_eq!(answer.status, 200);

    let second = renew(&host);
    assert_eq!(health(secure, &first).unwrap(), 200);
    server.signal(Signal::SIGHUP);
    server.wait_for("the certificate was read again", 1);
    assert_eq!(health(secure, &second).unwrap(), 200);
    assert!(health(secure, &first).is_err());

    fs::write(host.path("key.pem"), "no key").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("the certificate stays as it was", 1);
    assert_eq!(health(secure, &second).unwrap(), 200);
    server.signal(Signal::SIGTERM);
    server.ended_well();
}
