//! The datasets that contain the others: `jails` and the ones right below it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use host::zfs::DatasetName;

use super::facts::Facts;
use super::mark::{Mark, PROPERTY, Part};
use crate::init::Init;
use crate::init::error::InitError;

/// Only root can enter the jails from the host: set-id programs that root of a jail makes must not
/// reach users of the host.
const PRIVATE: u32 = 0o700;

impl Init {
    pub(super) async fn make_jails(&self, facts: &Facts) -> Result<(), InitError> {
        let layout = &self.wanted.layout;
        let folder = layout.folder();
        if facts.dataset(&layout.jails()).is_none() {
            let mountpoint = folder.to_string_lossy();
            let mark = Mark::holder(Part::Jails).to_string();
            // All datasets below inherit setuid=off: an island must not become another user by a
            // program of the base system.
            let mut with = vec![("atime", "off"), ("setuid", "off"), (PROPERTY, mark.as_str())];
            if !self.is_inherited(folder).await? {
                with.push(("mountpoint", mountpoint.as_ref()));
            }
            if let Some(compressed) = self.wanted.compression {
                with.push(("compression", if compressed { "on" } else { "off" }));
            }
            self.zfs.create(&layout.jails(), &with).await?;
        }
        self.check_mounted(&layout.jails()).await?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(PRIVATE))
            .map_err(InitError::file("close to others", folder))
    }

    /// Whether the jails dataset is mounted there by itself.
    async fn is_inherited(&self, folder: &Path) -> Result<bool, InitError> {
        let jails = self.wanted.layout.jails();
        let Some(parent) = jails.parent() else { return Ok(false) };
        let at = self.zfs.get(&parent, "mountpoint").await?;
        Ok(at.is_some_and(|at| Path::new(&at).join(jails.element()) == folder))
    }

    pub(super) async fn make_holder(&self, part: Part) -> Result<(), InitError> {
        let mark = Mark::holder(part).to_string();
        let mut with = vec![(PROPERTY, mark.as_str())];
        if part == Part::Run {
            // Islands do not survive a crash of the host, so their writes need not either.
            with.push(("sync", "disabled"));
        }
        Ok(self.zfs.create(&part.dataset(&self.wanted.layout), &with).await?)
    }

    /// Fails unless a dataset is mounted at its folder: files that are written there would go
    /// elsewhere.
    pub(super) async fn check_mounted(&self, dataset: &DatasetName) -> Result<(), InitError> {
        let Some(folder) = self.wanted.layout.folder_of(dataset) else {
            unreachable!("{dataset} is not in the layout")
        };
        // Two values, a line each.
        let found = self.zfs.get(dataset, "mounted,mountpoint").await?.unwrap_or_default();
        if found.split_once('\n') == Some(("yes", &folder.to_string_lossy())) {
            return Ok(());
        }
        Err(InitError::Mount { dataset: dataset.clone(), folder })
    }
}
