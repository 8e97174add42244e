//! What must hold before anything is made, and what is worth saying.

use host::exec::Command;
use host::layout::Release;

use super::facts::Facts;
use super::mark::Part;
use crate::init::Init;
use crate::init::error::InitError;

/// Kernel modules that islands need.
const MODULES: [&str; 2] = ["nullfs", "tmpfs"];
/// Branches that freebsd-update has updates for.
const UPDATED: [&str; 3] = ["RELEASE", "RC", "BETA"];

impl Init {
    pub(super) fn check_user(&self) -> Result<(), InitError> {
        if self.wanted.user == 0 { Ok(()) } else { Err(InitError::NotRoot) }
    }

    /// Finds what stands against it, before anything is made.
    pub(super) async fn check(&self, facts: &Facts) -> Result<(), InitError> {
        if self.wanted.update && !gets_updates(self.wanted.layout.release()) {
            return Err(InitError::NoUpdates(self.wanted.layout.release().clone()));
        }
        self.check_datasets(facts).await?;
        for module in MODULES {
            self.load(module).await?;
        }
        self.say_findings().await;
        Ok(())
    }

    async fn check_datasets(&self, facts: &Facts) -> Result<(), InitError> {
        let (wanted, layout) = (&self.wanted, &self.wanted.layout);
        let Some(parent) = layout.jails().parent() else { unreachable!("jails lies in a dataset") };
        let Some(found) = self.zfs.find(&parent).await? else {
            return Err(InitError::NoDataset(parent));
        };
        if let Some(foreign) = facts.foreign(wanted) {
            return Err(InitError::Foreign(foreign));
        }
        if let Some(base) = facts.ours(&layout.base(), Part::Base)
            && base.of != wanted.sets_text()
        {
            return Err(InitError::Sets {
                base: layout.base(),
                found: base.of.clone(),
                wanted: wanted.sets_text(),
            });
        }
        match facts.dataset(&layout.jails()) {
            Some(_) => self.check_mounted(&layout.jails()).await?,
            None => self.check_folder()?,
        }
        let needed = match (facts.base_finished(wanted), facts.build_finished(wanted)) {
            (_, true) => 0,
            (true, false) => wanted.space.build,
            (false, false) => wanted.space.base + wanted.space.build,
        };
        let free = found.available.unwrap_or_default();
        if free < needed {
            return Err(InitError::Space { dataset: parent, free, needed });
        }
        Ok(())
    }

    /// What is in the folder would be hidden by the mount.
    fn check_folder(&self) -> Result<(), InitError> {
        let folder = self.wanted.layout.folder();
        let free = match std::fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if free { Ok(()) } else { Err(InitError::Occupied(folder.to_owned())) }
    }

    async fn load(&self, module: &'static str) -> Result<(), InitError> {
        let failed = |source| InitError::Module(module, source);
        let asked = Command::program("kldstat").args(["-q", "-m", module]);
        if self.exec.run(&asked).await.map_err(failed)?.code == Some(0) {
            return Ok(());
        }
        self.command(&Command::program("kldload").args(["-n", module])).await.map_err(failed)?;
        self.teller.say(&format!(
            "kernel module {module} loaded; `sysrc kld_list+={module}` loads it after a restart, too"
        ));
        Ok(())
    }

    /// Says what does not stop init, but what a server will miss.
    async fn say_findings(&self) {
        let racct = Command::program("sysctl").args(["-n", "kern.racct.enable"]);
        if !matches!(self.command(&racct).await, Ok(text) if text.trim() == "1") {
            self.teller.say(
                "note: islands cannot be limited by rctl: put kern.racct.enable=1 into /boot/loader.conf and restart",
            );
        }
        let kernel = Command::program("sysctl").args(["-n", "kern.osrelease"]);
        let kernel = self.command(&kernel).await.ok().and_then(|t| Release::of_kernel(&t).ok());
        let release = self.wanted.layout.release();
        if let Some(kernel) = kernel.filter(|kernel| kernel.numbers() < release.numbers()) {
            self.teller.say(&format!(
                "note: release {release} is newer than the kernel {kernel}; its programs may not run: update the host first"
            ));
        }
    }
}

fn gets_updates(release: &Release) -> bool {
    let branch = release.as_str().split_once('-').map_or("", |(_, branch)| branch);
    UPDATED.contains(&branch.trim_end_matches(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freebsd_update_knows_releases_and_their_candidates() {
        let table = [
            ("15.1-RELEASE", true),
            ("15.1-RC2", true),
            ("15.1-BETA1", true),
            ("15.1-STABLE", false),
            ("16.0-CURRENT", false),
            ("15.0-PRERELEASE", false),
        ];
        for (release, expected) in table {
            assert_eq!(gets_updates(&Release::parse(release).unwrap()), expected, "{release}");
        }
    }
}
