//! The keys about a FreeBSD host: the names of its datasets and folders, and what `init` prepares
//! on it.

use std::path::Path;

use host::layout::{Layout, LayoutError, Release};

use crate::config::schema::Config;
use crate::init::Mirror;
use crate::init::{DesiredGo, DesiredState, DiskSpace};
use crate::init::{GoVersion, Machine, SetName};

/// The default of `filesystem.zfs_dataset`: the pool that FreeBSD's installer makes.
const DATASET: &str = "zroot";
/// The lock file of `init` and `destroy`, in a folder that FreeBSD empties when the host starts.
const LOCK: &str = "/var/run/sky-island-init.lock";

/// Why a host cannot be prepared as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum DesiredStateError {
    /// The names of datasets and folders cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The FreeBSD project or the Go project has no archives for this processor.
    #[error("FreeBSD and Go publish no archives for {0}; init works on x86_64 and aarch64")]
    Machine(&'static str),
}

impl Config {
    /// The names of the datasets and folders. Where `release` is not set it is that of the running
    /// kernel, for a base system must not be newer than its kernel.
    ///
    /// Fails for a bad name, and where `release` is not set and the kernel is not FreeBSD's.
    pub fn layout(&self) -> Result<Layout, LayoutError> {
        let release = match &self.release {
            Some(release) => Release::parse(release)?,
            None => Release::of_kernel(&kernel())?,
        };
        let dataset = self.filesystem.zfs_dataset.as_deref().unwrap_or(DATASET);
        Layout::new(dataset, self.jails.base_jail_dir.as_deref(), release)
    }

    /// What `init` prepares on this host.
    pub fn desired_state(&self) -> Result<DesiredState, DesiredStateError> {
        let here = Machine::here().ok_or(DesiredStateError::Machine(std::env::consts::ARCH))?;
        Ok(DesiredState {
            layout: self.layout()?,
            compression: self.filesystem.compression,
            sets: self.base_packages.clone().unwrap_or_else(|| vec![SetName::base()]),
            set_dir: self.base_sys_pkg_dir.clone(),
            release_mirror: self.release_mirror.clone().unwrap_or_else(Mirror::freebsd),
            update: self.freebsd_update,
            go: DesiredGo {
                version: self.go_release().unwrap_or_else(DesiredGo::default_version),
                mirror: self.go_mirror.clone().unwrap_or_else(Mirror::go),
                archive: self.go_tarball.clone(),
                sum: self.go_sha256.clone(),
            },
            dns: self.network.ip4.as_ref().map(|ip4| ip4.dns.clone()).unwrap_or_default(),
            machine: here,
            etc: "/etc".into(),
            state_dir: self.state_dir(),
            lock: LOCK.into(),
            user: nix::unistd::geteuid().as_raw(),
            space: DiskSpace::default(),
        })
    }

    /// The configured release of Go, or the one in the archive's name.
    fn go_release(&self) -> Option<GoVersion> {
        let of_archive = || {
            let name = self.go_tarball.as_ref()?.file_name()?.to_str()?;
            GoVersion::of_archive(name)
        };
        self.go_version.clone().or_else(of_archive)
    }

    /// The problems of the keys that `init` reads.
    pub(super) fn host_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let paths =
            [("base_sys_pkg_dir", &self.base_sys_pkg_dir), ("go_tarball", &self.go_tarball)];
        for (key, path) in paths {
            if path.as_deref().is_some_and(|path: &Path| !path.is_absolute()) {
                problems.push(format!("{key}: must be an absolute path"));
            }
        }
        if self.go_tarball.is_some() && self.go_release().is_none() {
            problems.push("go_version: must be set, for the name of go_tarball does not say which release of Go it is".into());
        }
        if let Some(sets) = &self.base_packages
            && !sets.contains(&SetName::base())
        {
            problems.push("base_packages: must have base; add it".into());
        }
        let release = self.release.as_deref().map(Release::parse);
        let dataset = self.filesystem.zfs_dataset.as_deref().unwrap_or(DATASET);
        if let Some(Err(error)) = release {
            problems.push(error.to_string());
        }
        // Whether the other names are good does not depend on the release.
        let folder = self.jails.base_jail_dir.as_deref();
        let any = Release::parse("15.0-RELEASE").and_then(|any| Layout::new(dataset, folder, any));
        match any {
            Err(LayoutError::Dataset(error)) => {
                problems.push(format!("filesystem.zfs_dataset: {error}"));
            }
            Err(error) => problems.push(error.to_string()),
            Ok(_) => {}
        }
        problems
    }
}

/// The release of the kernel by uname(3); empty where that fails.
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
    fn the_layout_follows_the_keys_of_2017() {
        let text = r#"{"release": "15.1-RELEASE", "filesystem": {"zfs_dataset": "tank/si"},
            "jails": {"base_jail_dir": "/jails"}}"#;
        let layout = layout(text).unwrap();
        assert_eq!(layout.base_snapshot().as_str(), "tank/si/jails/releases/15.1-RELEASE@p1");
        assert_eq!(layout.folder(), Path::new("/jails"));
    }

    #[test]
    fn without_keys_the_datasets_are_in_the_installers_pool() {
        let layout = layout(r#"{"release": "15.1-RELEASE"}"#).unwrap();
        assert_eq!(layout.jails().as_str(), "zroot/jails");
        assert_eq!(layout.folder(), Path::new("/zroot/jails"));
    }

    #[test]
    fn without_a_release_the_layout_has_that_of_the_kernel() {
        let found = layout("{}").map(|layout| layout.release().clone());
        assert_eq!(found.is_ok(), cfg!(target_os = "freebsd"), "{found:?}");
    }

    #[test]
    fn the_desired_state_has_defaults_and_follows_its_keys() {
        let wanted =
            |text: &str| serde_json::from_str::<Config>(text).unwrap().desired_state().unwrap();
        let plain = wanted(r#"{"release": "15.1-RELEASE"}"#);
        assert_eq!(plain.sets, [SetName::base()]);
        assert_eq!(plain.release_mirror, Mirror::freebsd());
        assert_eq!(plain.go.version, DesiredGo::default_version());
        assert_eq!((plain.compression, plain.update), (None, false));
        let text = r#"{"release": "15.1-RELEASE", "base_packages": ["base.txz", "lib32"], "freebsd_update": true,
            "release_mirror": "https://m.example/pub/", "go_tarball": "/x/go1.26.8.freebsd-amd64.tar.gz",
            "network": {"ip4": {"interface": "em0", "start_addr": "10.0.0.5", "mask": "255.255.255.0", "range": 9,
                "dns": ["4.2.2.1"]}}, "filesystem": {"compression": false}}"#;
        let named = wanted(text);
        assert_eq!(named.sets.len(), 2);
        assert_eq!(named.release_mirror.to_string(), "https://m.example/pub");
        assert_eq!(named.go.version.as_str(), "1.26.8");
        assert_eq!(named.dns, [std::net::Ipv4Addr::new(4, 2, 2, 1)]);
        assert_eq!((named.compression, named.update), (Some(false), true));
    }

    #[test]
    fn each_bad_key_is_named() {
        let table = [
            (r#"{"base_packages": ["lib32"]}"#, "base_packages"),
            (r#"{"base_sys_pkg_dir": "here"}"#, "base_sys_pkg_dir"),
            (r#"{"go_tarball": "go.tar.gz", "go_version": "1.26.7"}"#, "go_tarball"),
            (r#"{"go_tarball": "/x/go.tar.gz"}"#, "go_version"),
            (r#"{"filesystem": {"zfs_dataset": "-r"}}"#, "zfs_dataset"),
            (r#"{"jails": {"base_jail_dir": "/a b"}}"#, "base_jail_dir"),
            (r#"{"release": "15"}"#, "release"),
        ];
        for (text, key) in table {
            let problems = serde_json::from_str::<Config>(text).unwrap().host_problems();
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(key), "{problems:?}");
        }
        for bad in [
            r#"{"go_version": "lucid"}"#,
            r#"{"release_mirror": "http://m.example"}"#,
            r#"{"go_sha256": "12"}"#,
            r#"{"base_packages": ["../x"]}"#,
        ] {
            assert!(serde_json::from_str::<Config>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_is_refused_with_its_key() {
        let bad = r#"{"release": "15.1-RELEASE", "filesystem": {"zfs_dataset": "z@x"}}"#;
        assert!(layout(bad).unwrap_err().to_string().contains("zfs_dataset"));
        assert!(layout(r#"{"release": "lucid"}"#).unwrap_err().to_string().contains("release"));
    }
}
