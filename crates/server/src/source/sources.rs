//! The checkouts of this server: looked up, fetched once for all who want them, kept, and let go.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use common::single_flight::SingleFlight;
use fetch_job::FailureCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::checkout::{key, key_prefix, meta};
use super::fetch::FetchedTree;
use super::resolution::{Resolutions, VersionMeaning};
use crate::metrics::Cache;
use crate::metrics::Metrics;
use crate::source::PackageRequest;
use crate::source::checkout::Checkout;
use crate::source::fetch::{Fetcher, SourceError};
use crate::source::version::Revision;
use crate::store::Store;
use crate::store::{Entry, Facts};

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
    pub fetches: usize,
    /// How long a fetch waits for its turn.
    pub wait: Duration,
}

/// What can be changed while there are calls.
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

/// The checkouts; see the module.
pub struct Sources {
    fetcher: ArcSwap<Fetcher>,
    store: Store,
    resolutions: Resolutions,
    open: Mutex<HashMap<String, Arc<Checkout>>>,
    flights: SingleFlight<(PackageRequest, bool), Result<Arc<Checkout>, Arc<SourceError>>>,
    permits: Semaphore,
    bounds: Mutex<SourcesBounds>,
    metrics: Metrics,
}

/// A checkout, as operators see it.
#[derive(Clone, Debug)]
pub struct CachedSource {
    /// Its key, size and use.
    pub facts: Facts,
    /// The package that was asked for.
    pub package: String,
    /// What its version meant.
    pub revision: String,
}

impl Sources {
    /// Opens what lies in the state directory.
    pub fn open(fetcher: Fetcher, options: &SourcesOptions<'_>) -> Result<Self, SourceError> {
        let SourcesOptions { state, size, expiration, keep, fetches, wait } = *options;
        let store = Store::open(state.join("checkouts"), fetcher.trash.clone(), size, keep)?;
        let resolutions =
            Resolutions::open(state.join("versions"), expiration).map_err(SourceError::Disk)?;
        Ok(Self {
            fetcher: ArcSwap::from_pointee(fetcher),
            store,
            resolutions,
            open: Mutex::default(),
            flights: SingleFlight::default(),
            permits: Semaphore::new(fetches),
            bounds: Mutex::new(SourcesBounds { size, expiration, keep, wait }),
            metrics: Metrics::default(),
        })
    }

    /// Has look-ups and fetches counted.
    pub fn counted(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Fetches by another fetcher and within other bounds, from the next fetch and purge on.
    pub fn change(&self, fetcher: Fetcher, bounds: SourcesBounds) {
        self.fetcher.store(Arc::new(fetcher));
        self.store.set_bounds(bounds.size, bounds.keep);
        self.resolutions.set_expiration(bounds.expiration);
        *self.bounds.lock() = bounds;
    }

    /// The checkout of what is wanted. `bust` looks the version up and fetches anew.
    pub async fn find(
        self: &Arc<Self>,
        want: &PackageRequest,
        bust: bool,
    ) -> Result<Arc<Checkout>, Arc<SourceError>> {
        if let (false, VersionMeaning::Fresh(revision)) = (bust, self.resolutions.get(want))
            && let Some(checkout) = self.known(want, &revision)
        {
            self.metrics.looked_up(Cache::Checkouts, true);
            return Ok(checkout);
        }
        self.metrics.looked_up(Cache::Checkouts, false);
        let (me, wanted) = (self.clone(), want.clone());
        let flight = self.flights.join((want.clone(), bust), || async move {
            me.look(&wanted, bust).await.map_err(Arc::new)
        });
        flight.await.unwrap_or_else(|lost| Err(Arc::new(SourceError::Broke(lost.to_string()))))
    }

    async fn look(&self, want: &PackageRequest, bust: bool) -> Result<Arc<Checkout>, SourceError> {
        let wait = self.bounds.lock().wait;
        let permit = timeout(wait, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(SourceError::Busy) };
        let have = if bust { Vec::new() } else { self.revisions(want) };
        let fetcher = self.fetcher.load_full();
        match self.fetch(&fetcher, want, have).await {
            Ok(FetchedTree::Unchanged(revision)) => {
                self.resolutions.set(want, &revision);
                match self.known(want, &revision) {
                    Some(checkout) => Ok(checkout),
                    // It was let go while the worker looked.
                    None => self.bring(want, self.fetch(&fetcher, want, Vec::new()).await?).await,
                }
            }
            Ok(brought) => self.bring(want, brought).await,
            Err(error) => self.fall_back(want, bust, error),
        }
    }

    async fn fetch(
        &self,
        fetcher: &Fetcher,
        want: &PackageRequest,
        have: Vec<String>,
    ) -> Result<FetchedTree, SourceError> {
        let began = Instant::now();
        let fetched = fetcher.fetch(want, have).await;
        self.metrics.fetched(began.elapsed());
        fetched
    }

    /// Puts what a fetch brought into the store.
    async fn bring(
        &self,
        want: &PackageRequest,
        brought: FetchedTree,
    ) -> Result<Arc<Checkout>, SourceError> {
        let FetchedTree::Checkout(revision, scratch) = brought else {
            return Err(SourceError::Broke("it knows a revision that we do not have".into()));
        };
        let key = key(want, &revision);
        // A large checkout takes a while to measure.
        let entry = tokio::task::block_in_place(|| self.store.publish(&key, scratch))?;
        let checkout = Arc::new(Checkout::open(key.clone(), entry)?);
        self.open.lock().insert(key, checkout.clone());
        self.resolutions.set(want, &revision);
        Ok(checkout)
    }

    /// Better an old meaning than none, when the source is out of reach.
    fn fall_back(
        &self,
        want: &PackageRequest,
        bust: bool,
        error: SourceError,
    ) -> Result<Arc<Checkout>, SourceError> {
        let out_of_reach = match &error {
            SourceError::Failed(failure) => failure.code == FailureCode::Unreachable,
            SourceError::Deadline(_) => true,
            _ => false,
        };
        if let (false, true, VersionMeaning::Stale(revision)) =
            (bust, out_of_reach, self.resolutions.get(want))
            && let Some(checkout) = self.known(want, &revision)
        {
            let error = common::causes::chain(&error);
            tracing::warn!(path = %want.path, %revision, %error, "the source is out of reach; the known revision is used");
            self.resolutions.extend(want, &revision);
            return Ok(checkout);
        }
        Err(error)
    }

    /// The checkout of a revision, if it is on disk.
    fn known(&self, want: &PackageRequest, revision: &Revision) -> Option<Arc<Checkout>> {
        let key = key(want, revision);
        let entry = self.store.get(&key)?;
        let mut open = self.open.lock();
        if let Some(checkout) = open.get(&key) {
            return Some(checkout.clone());
        }
        match Checkout::open(key.clone(), entry) {
            Ok(checkout) => Some(open.entry(key).or_insert(Arc::new(checkout)).clone()),
            Err(error) => {
                let error = common::causes::chain(&error);
                tracing::warn!(%key, %error, "a checkout is let go");
                drop(open);
                self.store.remove(&key);
                None
            }
        }
    }

    /// The revisions of what is wanted that are on disk.
    fn revisions(&self, want: &PackageRequest) -> Vec<String> {
        let prefix = key_prefix(want);
        let all = self.store.all();
        let wanted = all.iter().filter(|(key, _)| key.starts_with(&prefix));
        wanted.filter_map(|(_, entry)| Some(meta(entry.path())?.fetched.revision)).collect()
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

    /// Lets go of a checkout, which stays on disk for those who use it. Whether there was one.
    pub fn forget(&self, key: &str) -> bool {
        let found = self.store.remove(key);
        drop(self.open.lock().remove(key));
        found
    }

    /// Lets go of what is too old or too much. Reads the disk.
    pub fn purge(&self) -> u64 {
        let remaining = self.store.purge();
        self.open.lock().retain(|key, _| self.store.has(key));
        let keep = self.bounds.lock().keep;
        self.resolutions.purge(keep);
        remaining
    }
}
