//! The artifact store, and the artifacts that are kept open so that a call needs no look at the
//! disk.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::artifact::{self, About};
use super::error::BuildError;
use crate::compile::artifact::Artifact;
use crate::store::{Entry, Facts, Scratch, Store, sum};

/// Artifacts that are kept open; each costs a descriptor.
const MOST_OPEN: usize = 256;

/// An artifact, as operators see it.
#[derive(Clone, Debug)]
pub struct CachedProgram {
    /// The artifact's key, size and use.
    pub facts: Facts,
    pub(super) about: Option<About>,
}

impl CachedProgram {
    /// The package, the revision and the function; none for an artifact of a server that did not
    /// write them down.
    pub fn about(&self) -> Option<(&str, &str, &str)> {
        self.about.as_ref().map(|about| (&*about.package, &*about.revision, &*about.call))
    }
}

/// The artifacts of a server.
pub(super) struct Artifacts {
    store: Store,
    open: Mutex<HashMap<String, Arc<Artifact>>>,
}

impl Artifacts {
    pub(super) fn new(store: Store) -> Self {
        Self { store, open: Mutex::default() }
    }

    pub(super) fn set_bounds(&self, bytes: u64, keep: Duration) {
        self.store.set_bounds(bytes, keep);
    }

    /// The most bytes that are kept, and how long an unused artifact is.
    #[cfg(test)]
    pub(super) fn bounds(&self) -> (u64, std::time::Duration) {
        self.store.bounds()
    }

    /// The artifact of a key, if it is open and its program was not written to.
    pub(super) fn get_in_memory(&self, key: &str) -> Option<Arc<Artifact>> {
        let artifact = self.open.lock().get(key)?.clone();
        let entry = self.store.get_in_memory(key)?;
        if artifact.is_untouched() {
            return Some(artifact);
        }
        tracing::error!(path = %entry.path().display(), "a program was changed on disk and is built anew");
        self.remove(key);
        None
    }

    /// The artifact of a key. Reads the disk, and the first time in this process the whole program.
    /// Fails where no file can be opened just now.
    pub(super) fn get(&self, key: &str) -> io::Result<Option<Arc<Artifact>>> {
        let Some(entry) = self.store.get(key) else { return Ok(None) };
        if let Some(artifact) = self.open.lock().get(key) {
            return Ok(Some(artifact.clone()));
        }
        // Opened first, so that whatever is written behind the check is seen with the next call.
        let intact = Artifact::open(entry.clone())
            .and_then(|artifact| Ok(entry.is_intact()?.then_some(artifact)));
        let reason = match intact {
            Ok(Some(artifact)) => return Ok(Some(self.keep_open(key, Arc::new(artifact)))),
            Ok(None) => "its files are not as they were built".to_owned(),
            Err(error) if sum::is_of_the_moment(&error) => return Err(error),
            Err(error) => error.to_string(),
        };
        let path = entry.path().display();
        tracing::error!(%path, reason, "a program is damaged on disk and is built anew");
        self.store.remove(key);
        Ok(None)
    }

    /// Puts a program that a build island left into the store. Writes to the disk.
    pub(super) fn publish(
        &self,
        key: &str,
        scratch: Scratch,
        program: &Path,
        about: &About,
    ) -> Result<Arc<Artifact>, BuildError> {
        artifact::adopt(program, scratch.path(), about)?;
        let entry = self.store.publish(key, scratch)?;
        Ok(self.keep_open(key, Arc::new(Artifact::open(entry)?)))
    }

    /// Keeps an artifact open. When there are too many, any other one is closed: the store still
    /// has it.
    fn keep_open(&self, key: &str, artifact: Arc<Artifact>) -> Arc<Artifact> {
        let mut open = self.open.lock();
        let other = open.keys().find(|other| *other != key).cloned();
        let closed = other.filter(|_| open.len() >= MOST_OPEN).and_then(|key| open.remove(&key));
        let replaced = open.insert(key.to_owned(), artifact.clone());
        drop(open);
        drop((closed, replaced));
        artifact
    }

    /// All artifacts. Reads the disk.
    pub(super) fn list(&self) -> Vec<CachedProgram> {
        let cached = |(key, entry): (String, Arc<Entry>)| CachedProgram {
            about: artifact::about(entry.path()),
            facts: entry.facts(&key),
        };
        self.store.all().into_iter().map(cached).collect()
    }

    /// Removes an artifact, which stays on disk as long as it is in use. Whether there was one.
    pub(super) fn remove(&self, key: &str) -> bool {
        let found = self.store.remove(key);
        let open = self.open.lock().remove(key);
        drop(open);
        found
    }

    /// Removes what is too old or too much. Returns the bytes that remain. Reads the disk.
    pub(super) fn purge(&self) -> u64 {
        let remaining = self.store.purge();
        let mut open = self.open.lock();
        let gone: Vec<_> = open.extract_if(|key, _| !self.store.has(key)).collect();
        drop(open);
        // The last handle of an artifact moves it to the trash, which no look-up has to wait for.
        drop(gone);
        remaining
    }

    pub(super) fn settle(&self) {
        self.store.settle();
    }
}
