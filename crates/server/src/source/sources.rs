//! The checkouts of this server: looked up, fetched once for all calls that need them, and kept.
//!
//! Invariants: a look-up in memory waits for no disk; two handles of one entry are never in use as
//! two checkouts, because builds of a checkout exclude each other.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use common::fair::{FairSlots, Shares};
use common::single_flight::SingleFlight;
use fetch_job::FailureCode;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::checkout::{CACHE, key, key_prefix, meta};
use super::fetch::{FetchResult, FetchedTree};
use super::resolution::{Resolutions, VersionMeaning};
use crate::blocking::blocking;
use crate::metrics::{Cache, Metrics};
use crate::principal::Client;
use crate::source::checkout::Checkout;
use crate::source::fetch::{Fetcher, SourceError};
use crate::source::path::ImportPath;
use crate::source::request::PackageRequest;
use crate::source::version::Revision;
use crate::store::{Entry, Facts, Store};

/// What [`Sources`] needs besides a fetcher.
pub struct SourcesOptions<'a> {
    /// The state directory.
    pub state: &'a Path,
    /// Bytes of checkouts on disk.
    pub size: u64,
    /// How long a version keeps its meaning.
    pub expiration: Duration,
    /// How long an unused checkout stays.
    pub keep: Duration,
    /// Fetches at once.
    pub fetches: Shares,
    /// How long a fetch waits for its turn.
    pub wait: Duration,
}

/// What can be changed while the server runs.
#[derive(Clone, Copy, Debug)]
pub struct SourcesBounds {
    /// Bytes of checkouts on disk.
    pub size: u64,
    /// How long a version keeps its meaning.
    pub expiration: Duration,
    /// How long an unused checkout stays.
    pub keep: Duration,
    /// How long a fetch waits for its turn.
    pub wait: Duration,
}

/// Finds and fetches checkouts.
pub struct Sources {
    fetcher: ArcSwap<Fetcher>,
    store: Store,
    resolutions: Resolutions,
    open: Mutex<HashMap<String, Arc<Checkout>>>,
    running: SingleFlight<(PackageRequest, bool), Result<Arc<Checkout>, Arc<SourceError>>>,
    slots: FairSlots<Client, ImportPath>,
    bounds: Mutex<SourcesBounds>,
    metrics: Metrics,
}

/// A checkout, as operators see it.
#[derive(Clone, Debug)]
pub struct CachedSource {
    /// The checkout's key, size and use.
    pub facts: Facts,
    /// The requested package.
    pub package: String,
    /// The revision that the version meant.
    pub revision: String,
}

impl Sources {
    /// Opens what lies in the state directory. Reads the disk.
    pub fn open(fetcher: Fetcher, options: &SourcesOptions<'_>) -> Result<Self, SourceError> {
        let SourcesOptions { state, size, expiration, keep, fetches, wait } = *options;
        let (folder, trash) = (state.join("checkouts"), fetcher.trash.clone());
        let store = Store::open_growing(folder, trash, size, keep, CACHE)?;
        let resolutions = Resolutions::open(state.join("versions"), expiration)?;
        Ok(Self {
            fetcher: ArcSwap::from_pointee(fetcher),
            store,
            resolutions,
            open: Mutex::default(),
            running: SingleFlight::default(),
            slots: FairSlots::new(fetches),
            bounds: Mutex::new(SourcesBounds { size, expiration, keep, wait }),
            metrics: Metrics::default(),
        })
    }

    /// Counts look-ups and fetches in these metrics.
    pub fn counted(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Changes the fetcher and the bounds, from the next fetch and purge on.
    pub fn change(&self, fetcher: Fetcher, bounds: SourcesBounds) {
        self.fetcher.store(Arc::new(fetcher));
        self.store.set_bounds(bounds.size, bounds.keep);
        self.resolutions.set_expiration(bounds.expiration);
        *self.bounds.lock() = bounds;
    }

    /// The fetcher and the bounds, as the next fetch and purge have them.
    #[cfg(test)]
    pub(crate) fn in_force(&self) -> (Arc<Fetcher>, SourcesBounds) {
        let (size, keep) = self.store.bounds();
        let (expiration, wait) = (self.resolutions.expiration(), self.bounds.lock().wait);
        (self.fetcher.load_full(), SourcesBounds { size, expiration, keep, wait })
    }

    /// The checkout of a package. `bust` looks the version up and fetches anew. A fetch counts
    /// against the client's share.
    pub async fn find(
        self: &Arc<Self>,
        client: Client,
        request: &PackageRequest,
        bust: bool,
    ) -> Result<Arc<Checkout>, Arc<SourceError>> {
        if let (false, VersionMeaning::Fresh(revision)) = (bust, self.resolutions.get(request))
            && let Some(checkout) = self.known(request, &revision).await
        {
            self.metrics.looked_up(Cache::Checkouts, true);
            return Ok(checkout);
        }
        self.metrics.looked_up(Cache::Checkouts, false);
        let (me, wanted) = (self.clone(), request.clone());
        let running = self.running.join((request.clone(), bust), || async move {
            me.look_up(client, &wanted, bust).await.map_err(Arc::new)
        });
        running.await.unwrap_or_else(|lost| Err(Arc::new(SourceError::Broke(lost.to_string()))))
    }

    async fn look_up(
        self: &Arc<Self>,
        client: Client,
        request: &PackageRequest,
        bust: bool,
    ) -> Result<Arc<Checkout>, SourceError> {
        let wait = self.bounds.lock().wait;
        let slot = timeout(wait, self.slots.acquire(&client, &request.path)).await;
        let Ok(_slot) = slot else { return Err(self.busy(client, wait)) };
        let (me, wanted) = (self.clone(), request.clone());
        let have = match bust {
            true => Vec::new(),
            false => blocking(move || me.revisions(&wanted)).await,
        };
        let fetcher = self.fetcher.load_full();
        match self.fetch(&fetcher, request, have).await {
            Ok(FetchResult::Unchanged(revision)) => {
                if let Some(checkout) = self.confirm(request, &revision).await {
                    return Ok(checkout);
                }
                // The checkout was removed during the look-up.
                let fetched = self.fetch(&fetcher, request, Vec::new()).await?;
                self.publish(request, fetched).await
            }
            Ok(fetched) => self.publish(request, fetched).await,
            Err(error) => self.fall_back(request, bust, error).await,
        }
    }

    /// Why a client got no slot in time.
    fn busy(&self, client: Client, wait: Duration) -> SourceError {
        match self.slots.has_share(&client) {
            true => SourceError::OverShare { share: self.slots.shares().per_client, wait },
            false => SourceError::Busy(wait),
        }
    }

    async fn fetch(
        &self,
        fetcher: &Arc<Fetcher>,
        request: &PackageRequest,
        have: Vec<String>,
    ) -> Result<FetchResult, SourceError> {
        let began = Instant::now();
        let fetched = fetcher.fetch(request, have).await;
        self.metrics.fetched(began.elapsed());
        fetched
    }

    /// Notes that a version still means a revision, and returns the revision's checkout.
    async fn confirm(
        self: &Arc<Self>,
        request: &PackageRequest,
        revision: &Revision,
    ) -> Option<Arc<Checkout>> {
        let (me, request, revision) = (self.clone(), request.clone(), revision.clone());
        let confirmed = blocking(move || {
            me.resolutions.set(&request, &revision);
            me.get(&key(&request, &revision))
        });
        confirmed.await
    }

    /// Puts the result of a fetch into the store.
    async fn publish(
        self: &Arc<Self>,
        request: &PackageRequest,
        fetched: FetchResult,
    ) -> Result<Arc<Checkout>, SourceError> {
        let FetchResult::Checkout(revision, tree) = fetched else {
            return Err(SourceError::Broke("the answer names a revision that is not here".into()));
        };
        let (me, request) = (self.clone(), request.clone());
        blocking(move || me.keep(&request, &revision, *tree)).await
    }

    /// Writes to the disk.
    fn keep(
        &self,
        request: &PackageRequest,
        revision: &Revision,
        tree: FetchedTree,
    ) -> Result<Arc<Checkout>, SourceError> {
        let key = key(request, revision);
        let entry = self.store.publish(&key, tree.finish()?)?;
        let checkout = Arc::new(Checkout::open(key.clone(), entry)?);
        let replaced = self.open.lock().insert(key, checkout.clone());
        drop(replaced);
        self.resolutions.set(request, revision);
        Ok(checkout)
    }

    /// Better an old meaning than none, when the source is out of reach.
    async fn fall_back(
        self: &Arc<Self>,
        request: &PackageRequest,
        bust: bool,
        error: SourceError,
    ) -> Result<Arc<Checkout>, SourceError> {
        let is_exact = request.version.as_ref().is_some_and(|version| version.is_exact());
        let out_of_reach = match &error {
            SourceError::Failed(failure) => match failure.code {
                FailureCode::Unreachable => true,
                // A host that hides an exact version cannot have changed it.
                FailureCode::Repository | FailureCode::Version => is_exact,
                _ => false,
            },
            SourceError::Deadline(_) => true,
            _ => false,
        };
        if let (false, true, VersionMeaning::Stale(revision)) =
            (bust, out_of_reach, self.resolutions.get(request))
            && let Some(checkout) = self.known(request, &revision).await
        {
            let error = common::causes::chain(&error);
            tracing::warn!(path = %request.path, %revision, %error, "the source is out of reach; the known revision is used");
            let (me, request) = (self.clone(), request.clone());
            blocking(move || me.resolutions.extend(&request, &revision)).await;
            return Ok(checkout);
        }
        Err(error)
    }

    /// The checkout of a revision, if there is one.
    async fn known(
        self: &Arc<Self>,
        request: &PackageRequest,
        revision: &Revision,
    ) -> Option<Arc<Checkout>> {
        let key = key(request, revision);
        if let Some(checkout) = self.get_in_memory(&key) {
            return Some(checkout);
        }
        let me = self.clone();
        blocking(move || me.get(&key)).await
    }

    /// The checkout of a key, if it is open.
    fn get_in_memory(&self, key: &str) -> Option<Arc<Checkout>> {
        let checkout = self.open.lock().get(key)?.clone();
        self.store.get_in_memory(key)?;
        Some(checkout)
    }

    /// The checkout of a key. Reads the disk.
    fn get(&self, key: &str) -> Option<Arc<Checkout>> {
        let entry = self.store.get(key)?;
        if let Some(checkout) = self.open.lock().get(key) {
            return Some(checkout.clone());
        }
        match Checkout::open(key.to_owned(), entry) {
            // Another thread may have opened the checkout meanwhile.
            Ok(opened) => {
                Some(self.open.lock().entry(key.to_owned()).or_insert(Arc::new(opened)).clone())
            }
            Err(error) => {
                let error = common::causes::chain(&error);
                tracing::warn!(%key, %error, "a checkout cannot be opened and is removed");
                self.store.remove(key);
                None
            }
        }
    }

    /// The revisions of a package that are on disk. Reads the disk.
    fn revisions(&self, request: &PackageRequest) -> Vec<String> {
        let prefix = key_prefix(request);
        let all = self.store.all();
        let of_package = all.iter().filter(|(key, _)| key.starts_with(&prefix));
        of_package.filter_map(|(_, entry)| Some(meta(entry.path())?.fetched.revision)).collect()
    }

    /// All checkouts. Reads the disk.
    pub fn cached(&self) -> Vec<CachedSource> {
        let cached = |(key, entry): (String, Arc<Entry>)| {
            let meta = meta(entry.path())?;
            let facts = entry.facts(&key);
            Some(CachedSource { facts, package: meta.asked, revision: meta.fetched.revision })
        };
        self.store.all().into_iter().filter_map(cached).collect()
    }

    /// Removes a checkout, which stays on disk as long as it is in use. Whether there was one.
    pub fn forget(&self, key: &str) -> bool {
        let found = self.store.remove(key);
        let open = self.open.lock().remove(key);
        drop(open);
        found
    }

    /// Removes checkouts that are too old or too much. Returns the bytes that remain. Reads the
    /// disk.
    pub fn purge(&self) -> u64 {
        let remaining = self.store.purge();
        let gone: Vec<_> = self.open.lock().extract_if(|key, _| !self.store.has(key)).collect();
        // The last handle of a checkout moves it to the trash, which no look-up has to wait for.
        drop(gone);
        let keep = self.bounds.lock().keep;
        self.resolutions.purge(keep);
        remaining
    }

    /// Returns when everything that was fetched is on the disk.
    pub fn settle(&self) {
        self.store.settle();
    }
}
