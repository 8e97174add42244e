//! What the configuration says about a FreeBSD host: where everything lies on it.

use std::path::PathBuf;

use super::Config;
use crate::island::{Jails, Options};
use crate::layout::{Layout, LayoutError, Release};
use crate::net::Pools;

/// The file of the state directory in which aliases are remembered.
const LEDGER: &str = "aliases";
/// The dataset below which ours lie, unless another is named: the pool that FreeBSD's installer makes.
const DATASET: &str = "zroot";

impl Config {
    /// Where the datasets and folders lie. Without `release` it is the running kernel's, which a base system must not
    /// be newer than.
    ///
    /// Fails for a name that is none, and without `release` where the kernel is not FreeBSD's.
    pub fn layout(&self) -> Result<Layout, LayoutError> {
        let release = match &self.release {
            Some(release) => Release::parse(release)?,
            None => Release::of_kernel(&kernel())?,
        };
        let dataset = self.filesystem.zfs_dataset.as_deref().unwrap_or(DATASET);
        Layout::new(dataset, self.jails.base_jail_dir.as_deref(), release)
    }

    /// What a backend of islands needs to know. `zones` is Go's archive of time zones, `ahead` how many islands are made
    /// ahead of calls.
    pub fn island_options(
        &self,
        zones: Option<PathBuf>,
        ahead: usize,
    ) -> Result<Options, LayoutError> {
        // The link stays good when the program is replaced; elsewhere there is none.
        let own = PathBuf::from("/proc/self/exe");
        let launcher =
            if cfg!(target_os = "linux") { own } else { std::env::current_exe().unwrap_or(own) };
        let jails = cfg!(target_os = "freebsd").then(|| self.jail_options()).transpose()?;
        let function = self.function_limits();
        let pools = Pools::new(self.network.pools());
        Ok(Options { launcher, zones, function, ahead, pools, jails })
    }

    fn jail_options(&self) -> Result<Jails, LayoutError> {
        Ok(Jails {
            layout: self.layout()?,
            ledger: self.state_dir().join(LEDGER),
            require_limits: self.jails.require_limits,
            address_space: self.jails.address_space.get(),
            sweep: true,
        })
    }

    /// The go command: as configured, or on FreeBSD the build jail's, or none to look for it.
    pub fn go_command(&self) -> Option<PathBuf> {
        let jail = || {
            let command = self.layout().ok()?.goroot().join("bin/go");
            (cfg!(target_os = "freebsd") && command.exists()).then_some(command)
        };
        self.go.command.clone().or_else(jail)
    }
}

/// What uname(3) says the release is; empty where it says nothing.
fn kernel() -> String {
    nix::sys::utsname::uname()
        .map(|names| names.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn layout(text: &str) -> Result<Layout, LayoutError> {
        serde_json::from_str::<Config>(text).unwrap().layout()
    }

    #[test]
    fn the_layout_is_that_of_the_keys_of_2017() {
        let text = r#"{"release": "15.1-RELEASE", "filesystem": {"zfs_dataset": "tank/si"},
            "jails": {"base_jail_dir": "/jails"}}"#;
        let layout = layout(text).unwrap();
        assert_eq!(layout.base_snapshot().as_str(), "tank/si/jails/releases/15.1-RELEASE@p1");
        assert_eq!(layout.folder(), Path::new("/jails"));
    }

    #[test]
    fn without_keys_it_is_the_installers_pool() {
        let layout = layout(r#"{"release": "15.1-RELEASE"}"#).unwrap();
        assert_eq!(layout.jails().as_str(), "zroot/jails");
        assert_eq!(layout.folder(), Path::new("/zroot/jails"));
    }

    #[test]
    fn without_a_release_it_is_the_kernels() {
        let found = layout("{}").map(|layout| layout.release().clone());
        assert_eq!(found.is_ok(), cfg!(target_os = "freebsd"), "{found:?}");
    }

    #[test]
    fn a_name_that_is_none_is_refused_by_its_key() {
        let bad = r#"{"release": "15.1-RELEASE", "filesystem": {"zfs_dataset": "z@x"}}"#;
        assert!(layout(bad).unwrap_err().to_string().contains("zfs_dataset"));
        assert!(layout(r#"{"release": "lucid"}"#).unwrap_err().to_string().contains("release"));
    }
}
