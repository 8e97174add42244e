//! What an earlier start left: roots of islands, unfinished artifacts, and what is none of ours.
//!
//! What must always hold: only names that an island or an artifact could have are destroyed; the others are told of.

use std::collections::HashSet;
use std::sync::Arc;

use host::zfs::{Dataset, DatasetName, SnapshotName, ZfsError};
use tokio::task::JoinSet;

use crate::freebsd::storage::Storage;
use crate::freebsd::storage::key::Key;
use crate::id::IslandId;

/// What is there before the first island of this start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Islands whose roots are still there.
    pub islands: Vec<IslandId>,
    /// Artifacts without a snapshot, and those of another base system.
    pub artifacts: Vec<DatasetName>,
    /// What somebody else made where only islands and artifacts should be.
    pub foreign: Vec<String>,
}

impl Storage {
    /// Lists what an earlier start left, and takes its finished artifacts in. To be called before the first island.
    pub async fn leftovers(&self) -> Result<Leftovers, ZfsError> {
        let layout = &self.pool.layout;
        let (run, run_foreign) = self.pool.zfs().await.survey(&layout.run()).await?;
        let (kept, kept_foreign) = self.pool.zfs().await.survey(&layout.artifacts()).await?;
        let (islands, run_others) = directly_below(&run, &layout.run(), IslandId::parse);
        let (keys, kept_others) = directly_below(&kept, &layout.artifacts(), Key::parse);

        let ready: HashSet<&SnapshotName> = kept.iter().filter_map(Dataset::snapshot).collect();
        let base = layout.base_snapshot();
        let mut artifacts = Vec::new();
        for (dataset, key) in keys {
            let name = self.pool.child(&layout.artifacts(), key.as_str());
            let whole = ready.contains(&layout.ready_snapshot(&name));
            if whole && dataset.origin.as_ref() == Some(&base) {
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

    /// Destroys what [`Storage::leftovers`] listed. Answers what is still there; the next try may find it free.
    pub async fn sweep(self: &Arc<Self>, leftovers: &Leftovers) -> Vec<DatasetName> {
        let mut all = JoinSet::new();
        for island in &leftovers.islands {
            let (me, island) = (self.clone(), island.clone());
            all.spawn(async move { (me.root_of(&island).dataset, me.destroy(&island).await) });
        }
        let mut stay = Vec::new();
        for (dataset, result) in all.join_all().await {
            if let Err(error) = result {
                tracing::debug!(%error, "what an earlier start left stays for now");
                stay.push(dataset);
            }
        }
        // After the islands, which may be clones of them.
        let artifacts = self.pool.layout.artifacts();
        let remains = self.artifacts.shrink().await;
        stay.extend(remains.iter().map(|key| self.pool.child(&artifacts, key.as_str())));
        stay
    }
}

/// The file systems directly below `root` with what their names mean, and the names that mean nothing.
fn directly_below<'a, T>(
    found: &'a [Dataset],
    root: &DatasetName,
    read: impl Fn(&str) -> Option<T>,
) -> (Vec<(&'a Dataset, T)>, Vec<String>) {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for dataset in found {
        let Some(name) = dataset.filesystem().filter(|name| name.parent().as_ref() == Some(root))
        else {
            continue;
        };
        match read(name.element()) {
            Some(meaning) => ours.push((dataset, meaning)),
            None => others.push(name.as_str().to_owned()),
        }
    }
    (ours, others)
}
