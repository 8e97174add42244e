//! The addresses of hosts for a worker that has no gate, and therefore connects by itself.

use std::io;

use fetch_job::{NO_CONNECTION, Place, Reach};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Resolves the names of hosts that a fetch may connect to, to the addresses at which it may.
#[derive(Debug)]
pub(super) struct PermittedResolver {
    inner: DefaultResolver,
    reach: Reach,
}

impl PermittedResolver {
    pub(super) fn new(reach: Reach) -> Self {
        Self { inner: DefaultResolver::default(), reach }
    }
}

impl Resolver for PermittedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let forbidden = || io::Error::new(io::ErrorKind::PermissionDenied, NO_CONNECTION);
        let place = Place::of_url(&uri.to_string()).ok_or_else(forbidden)?;
        let permit = self.reach.permit(&place).ok_or_else(forbidden)?;
        let mut admitted = self.empty();
        for at in &self.inner.resolve(uri, config, timeout)? {
            if self.reach.admits(permit, at.ip(), at.port()) {
                admitted.push(*at);
            }
        }
        if admitted.is_empty() {
            return Err(forbidden().into());
        }
        Ok(admitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_stranger_that_stands_for_this_host_is_not_connected_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // A port that the operator has named, for hosts that are not.
        let allow = ["*.localhost", "localhost", "127.0.0.1", "0.0.0.0"];
        let allow = allow.iter().map(|host| format!("{host}:{port}").parse().unwrap()).collect();
        let reach = Reach { allow, ..Reach::default() };
        let config = ureq::Agent::config_builder().proxy(None).build();
        let connector = ureq::unversioned::transport::DefaultConnector::default();
        let agent = ureq::Agent::with_parts(config, connector, PermittedResolver::new(reach));
        for host in
            ["localhost", "a.localhost", "127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "127.1"]
        {
            let error = agent.get(format!("http://{host}:{port}/")).call().unwrap_err();
            assert!(error.to_string().contains(NO_CONNECTION), "{host}: {error}");
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "a connection was made");
    }
}
