//! A certificate and its key, read from two files, and again on request. Open connections keep
//! theirs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, crypto::ring};

/// The protocol inside TLS (ALPN): HTTP/1.1 alone.
const HTTP: &[u8] = b"http/1.1";

/// The certificate of a server; clones share it.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    cert: PathBuf,
    key: PathBuf,
    config: Mutex<Arc<ServerConfig>>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not there, or has no such thing in it.
    #[error("{path}: no {what} can be read; the file must be PEM")]
    Read {
        /// The file.
        path: PathBuf,
        /// A certificate or a private key.
        what: &'static str,
        /// Why it cannot be read.
        #[source]
        source: pem::Error,
    },
    /// The certificate and the key do not belong together.
    #[error("the certificate {0} (tls.cert) does not belong to the private key (tls.key)")]
    Pair(PathBuf, #[source] rustls::Error),
}

impl Tls {
    /// Reads the chain of a certificate, and its key.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = Mutex::new(read(cert, key)?);
        let shared = Shared { cert: cert.to_owned(), key: key.to_owned(), config };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads both files again. Where that fails, the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = read(&self.shared.cert, &self.shared.key)?;
        *self.shared.config.lock() = config;
        Ok(())
    }

    /// The acceptor for the next connection.
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
        .map_err(unread(cert, "certificate"))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(unread(key, "private key"))?;
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
    fn a_file_without_a_certificate_or_key_is_named() {
        let folder = folder();
        std::fs::write(folder.path().join("cert"), "").unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("cert") && error.contains("no certificate"), "{error}");
        write(folder.path());
        std::fs::remove_file(folder.path().join("key")).unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("key") && error.contains("no private key"), "{error}");
    }

    #[test]
    fn a_reload_takes_a_new_certificate_and_keeps_the_old_one_where_the_new_is_bad() {
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
