//! A certificate and its key, read from two files and read again when told to; connections that are there keep theirs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, crypto::ring};

/// What is spoken inside: HTTP/1.1 alone.
const HTTP: &[u8] = b"http/1.1";

/// What a server shows. Clones are the same one.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    cert: PathBuf,
    key: PathBuf,
    config: Mutex<Arc<ServerConfig>>,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or has nothing of the kind in it.
    #[error("{path}: {what} cannot be read from it; it has to be PEM")]
    Read {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why there is none.
        #[source]
        source: pem::Error,
    },
    /// The chain and the key are none that can be shown.
    #[error("the certificate {0} and its key do not go together")]
    Pair(PathBuf, #[source] rustls::Error),
}

impl Tls {
    /// Reads a certificate with those that it depends on, and its key.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = Mutex::new(read(cert, key)?);
        let shared = Shared { cert: cert.to_owned(), key: key.to_owned(), config };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads both again. What cannot be used changes nothing.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = read(&self.shared.cert, &self.shared.key)?;
        *self.shared.config.lock() = config;
        Ok(())
    }

    /// What takes the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.shared.config.lock().clone().into()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.shared.cert.display())
    }
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unread = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::Read { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(unread(cert, "a certificate"))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(unread(key, "a private key"))?;
    let pair = |error| TlsError::Pair(cert.to_owned(), error);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(pair)?;
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a certificate and its key.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        folder
    }

    fn write(folder: &Path) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("cert"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key"), made.signing_key.serialize_pem()).unwrap();
    }

    fn load(folder: &Path) -> Result<Tls, TlsError> {
        Tls::load(&folder.join("cert"), &folder.join("key"))
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, other) = (folder(), folder());
        load(one.path()).unwrap();
        std::fs::copy(other.path().join("key"), one.path().join("key")).unwrap();
        assert!(matches!(load(one.path()), Err(TlsError::Pair(..))));
    }

    #[test]
    fn a_file_without_what_is_looked_for_is_named() {
        let folder = folder();
        std::fs::write(folder.path().join("cert"), "").unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("cert") && error.contains("a certificate"), "{error}");
        write(folder.path());
        std::fs::remove_file(folder.path().join("key")).unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("key") && error.contains("a private key"), "{error}");
    }

    #[test]
    fn a_reload_shows_the_new_one_and_a_bad_one_leaves_the_old_in_force() {
        let folder = folder();
        let tls = load(folder.path()).unwrap();
        let first = tls.shared.config.lock().clone();
        std::fs::write(folder.path().join("cert"), "nothing").unwrap();
        tls.reload().unwrap_err();
        assert!(Arc::ptr_eq(&first, &tls.shared.config.lock()));
        write(folder.path());
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &tls.shared.config.lock()));
    }
}
