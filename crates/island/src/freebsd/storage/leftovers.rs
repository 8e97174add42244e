//! What an earlier start left: roots of islands, unfinished artifacts, and foreign datasets.
//!
//! Invariants: only a dataset with the name of an island or an artifact is destroyed; all others
//! are reported.

use std::collections::HashSet;
use std::sync::Arc;

use common::causes::chain;
use host::zfs::{Dataset, DatasetName, ZfsError};
use tokio::task::JoinSet;

use crate::freebsd::storage::artifacts::{WHOLE, YES};
use crate::freebsd::storage::key::Key;
use crate::freebsd::storage::roots::Storage;
use crate::id::IslandId;

/// The datasets that are there before the first island of this start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Islands whose roots are still there.
    pub islands: Vec<IslandId>,
    /// Artifacts that are not whole, and the artifacts of another base system.
    pub artifacts: Vec<DatasetName>,
    /// Datasets of other programs, where only islands and artifacts should be.
    pub foreign: Vec<String>,
}

impl Storage {
    /// Lists what an earlier start left, and adopts its finished artifacts. To be called before the
    /// first island.
    pub async fn leftovers(&self) -> Result<Leftovers, ZfsError> {
        let layout = &self.pool.layout;
        let (run, run_foreign) = self.pool.zfs().await.survey(&layout.run()).await?;
        let (kept, kept_foreign) = self.pool.zfs().await.survey(&layout.artifacts()).await?;
        let (islands, run_others) = directly_below(&run, &layout.run(), IslandId::parse);
        let (keys, kept_others) = directly_below(&kept, &layout.artifacts(), Key::parse);

        let marked = self.pool.zfs().await.get_all(&layout.artifacts(), WHOLE).await?;
        let marked = marked.into_iter().filter(|(_, value)| value == YES);
        let whole: HashSet<DatasetName> = marked.map(|(dataset, _)| dataset).collect();
        let base = layout.base_snapshot();
        let mut artifacts = Vec::new();
        for (dataset, key) in keys {
            let name = self.pool.child(&layout.artifacts(), key.as_str());
            if whole.contains(&name) && dataset.origin.as_ref() == Some(&base) {
                self.artifacts.adopt(key);
            } else {
                self.artifacts.leave(key);
                artifacts.push(name);
            }
        }
        Ok(Leftovers {
            islands: islands.into_iter().map(|(_, island)| island).collect(),
            artifacts,
            foreign: [run_foreign, run_others, kept_foreign, kept_others].concat(),
        })
    }

    /// Destroys what [`Storage::leftovers`] listed. Returns the datasets that are still there; a
    /// later attempt may succeed.
    pub async fn sweep(self: &Arc<Self>, leftovers: &Leftovers) -> Vec<DatasetName> {
        let mut all = JoinSet::new();
        for island in &leftovers.islands {
            let (me, island) = (self.clone(), island.clone());
            all.spawn(async move { (me.root_of(&island).dataset, me.destroy(&island).await) });
        }
        let mut stay = Vec::new();
        for (dataset, result) in all.join_all().await {
            if let Err(error) = result {
                let error = chain(&error);
                tracing::debug!(%dataset, %error, "a root of an earlier start cannot be destroyed yet");
                stay.push(dataset);
            }
        }
        // After the islands, which may be clones of the artifacts.
        let artifacts = self.pool.layout.artifacts();
        let remains = self.artifacts.shrink().await;
        stay.extend(remains.iter().map(|key| self.pool.child(&artifacts, key.as_str())));
        stay
    }
}

/// The file systems directly below `root` with what `read` makes of their names, and the names that
/// it does not know.
fn directly_below<'a, T>(
    found: &'a [Dataset],
    root: &DatasetName,
    read: impl Fn(&str) -> Option<T>,
) -> (Vec<(&'a Dataset, T)>, Vec<String>) {
    let (mut known, mut others) = (Vec::new(), Vec::new());
    for dataset in found {
        let Some(name) = dataset.filesystem().filter(|name| name.parent().as_ref() == Some(root))
        else {
            continue;
        };
        match read(name.element()) {
            Some(meaning) => known.push((dataset, meaning)),
            None => others.push(name.as_str().to_owned()),
        }
    }
    (known, others)
}
