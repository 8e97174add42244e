//! What versions meant when they were last looked up, in memory and on disk.
//!
//! Invariants: a look-up waits for no disk; one thread at a time writes files.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::checkout::{group, short_hex};
use crate::source::request::PackageRequest;
use crate::source::version::Revision;

/// How long a version keeps its meaning when its source cannot be reached for a new look-up.
const GRACE: Duration = Duration::from_secs(60);

/// The meanings of versions.
pub(super) struct Resolutions {
    folder: PathBuf,
    expiration: Mutex<Duration>,
    /// Held while files are written or removed.
    files: Mutex<()>,
    known: Mutex<HashMap<String, Resolution>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Resolution {
    revision: String,
    /// Seconds since 1970 until which the version is not looked up again.
    until: u64,
}

/// A version's meaning.
pub(super) enum VersionMeaning {
    /// The version was looked up lately.
    Fresh(Revision),
    /// The version is due for a new look-up.
    Stale(Revision),
    /// The version was never looked up.
    Unknown,
}

impl Resolutions {
    /// Reads the disk.
    pub(super) fn open(folder: PathBuf, expiration: Duration) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut known = HashMap::new();
        for entry in std::fs::read_dir(&folder)?.flatten() {
            let resolution = std::fs::read(entry.path())
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Resolution>(&bytes).ok());
            if let (Some(resolution), Some(key)) = (resolution, entry.file_name().to_str()) {
                known.insert(key.to_owned(), resolution);
            }
        }
        let (expiration, files) = (Mutex::new(expiration), Mutex::default());
        Ok(Self { folder, expiration, files, known: Mutex::new(known) })
    }

    /// Changes how long the meaning of a version is kept, from the next look-up on.
    pub(super) fn set_expiration(&self, expiration: Duration) {
        *self.expiration.lock() = expiration;
    }

    #[cfg(test)]
    pub(super) fn expiration(&self) -> Duration {
        *self.expiration.lock()
    }

    pub(super) fn get(&self, request: &PackageRequest) -> VersionMeaning {
        let known = self.known.lock().get(&key(request)).cloned();
        let Some(known) = known else { return VersionMeaning::Unknown };
        match Revision::parse(&known.revision) {
            Some(revision) if known.until > now() => VersionMeaning::Fresh(revision),
            Some(revision) => VersionMeaning::Stale(revision),
            None => VersionMeaning::Unknown,
        }
    }

    /// Notes the revision that a version was found to mean. Writes to the disk.
    pub(super) fn set(&self, request: &PackageRequest, revision: &Revision) {
        let span = *self.expiration.lock();
        self.keep(request, revision, span);
    }

    /// Keeps an old meaning for a while. Writes to the disk.
    pub(super) fn extend(&self, request: &PackageRequest, revision: &Revision) {
        self.keep(request, revision, GRACE);
    }

    fn keep(&self, request: &PackageRequest, revision: &Revision, span: Duration) {
        let key = key(request);
        let resolution =
            Resolution { revision: revision.to_string(), until: now() + span.as_secs().max(1) };
        let _files = self.files.lock();
        self.known.lock().insert(key.clone(), resolution.clone());
        let written =
            serde_json::to_vec(&resolution).map_err(std::io::Error::from).and_then(|bytes| {
                let aside = self.folder.join(format!("{key}.new"));
                std::fs::write(&aside, bytes)?;
                std::fs::rename(&aside, self.folder.join(&key))
            });
        if let Err(error) = written {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "the meaning of a version cannot be written; it is looked up again after a restart");
        }
    }

    /// Forgets meanings that are long out of date, so that the list does not grow for ever. Writes
    /// to the disk.
    pub(super) fn purge(&self, older: Duration) {
        let limit = now().saturating_sub(older.as_secs());
        let _files = self.files.lock();
        let old: Vec<_> =
            self.known.lock().extract_if(|_, resolution| resolution.until < limit).collect();
        for (key, _) in old {
            let _ = std::fs::remove_file(self.folder.join(key));
        }
    }
}

fn key(request: &PackageRequest) -> String {
    let mut hash = Sha256::new();
    hash.update(group(request));
    hash.update([0]);
    hash.update(request.version.as_ref().map_or("", |version| version.as_str()));
    short_hex(&hash.finalize())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::path::ImportPath;
    use crate::source::version::Version;

    #[test]
    fn a_meaning_survives_a_restart_and_goes_stale() {
        let folder = tempfile::tempdir().unwrap();
        let open = |seconds| {
            Resolutions::open(folder.path().into(), Duration::from_secs(seconds)).unwrap()
        };
        let request = |version| PackageRequest {
            path: ImportPath::parse("a.b/c").unwrap(),
            version: Some(Version::parse(version).unwrap()),
            imports: Vec::new(),
        };
        let revision = Revision::parse("v1.0.0").unwrap();
        open(1).set(&request("main"), &revision);
        assert!(
            matches!(open(1).get(&request("main")), VersionMeaning::Fresh(found) if found == revision)
        );
        assert!(matches!(open(1).get(&request("dev")), VersionMeaning::Unknown));
        let file = folder.path().join(key(&request("main")));
        let mut written: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        written["until"] = (now() - 1).into();
        std::fs::write(&file, written.to_string()).unwrap();
        assert!(
            matches!(open(1).get(&request("main")), VersionMeaning::Stale(found) if found == revision)
        );
    }
}
