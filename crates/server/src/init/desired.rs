//! The desired state of a host.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use host::layout::Layout;

use super::checksum::Sha256;
use super::mirror::Mirror;
use super::names::{GoVersion, Machine, SetName};

/// The default release of Go, with the sums of its archives by GOARCH.
const GO: (&str, [(&str, &str); 2]) = (
    "1.26.7",
    [
        ("amd64", "2ad37146fa8449907716b494dd268aeae6f79592b875915525c28c8c337ad32a"),
        ("arm64", "23d425a3a51876df8bf050f080b1ae50340048def689fbcc44c939fa23485ce0"),
    ],
);

/// The desired state of a host, and what `init` uses to get there.
#[derive(Clone, Debug)]
pub struct DesiredState {
    /// The names of datasets and folders.
    pub layout: Layout,
    /// Whether the datasets are compressed; none inherits that from the parent.
    pub compression: Option<bool>,
    /// The distribution sets of the base system, `base` among them.
    pub sets: Vec<SetName>,
    /// A folder that may have the archives of the sets, and a MANIFEST.
    pub set_dir: Option<PathBuf>,
    /// The site that other archives of sets are downloaded from.
    pub release_mirror: Mirror,
    /// Whether the updates of the release are installed into the base system.
    pub update: bool,
    /// The Go toolchain.
    pub go: DesiredGo,
    /// The name servers for the base system's resolv.conf; those of the host where there are none.
    pub dns: Vec<Ipv4Addr>,
    /// The machine that the archives are built for.
    pub machine: Machine,
    /// The folder with the host's resolv.conf and localtime.
    pub etc: PathBuf,
    /// The state directory, whose lock a running server holds.
    pub state_dir: PathBuf,
    /// The lock file of `init` and `destroy`.
    pub lock: PathBuf,
    /// The id of the user that runs `init`.
    pub user: u32,
    /// The disk space that `init` needs.
    pub space: DiskSpace,
}

/// The Go toolchain to install.
#[derive(Clone, Debug)]
pub struct DesiredGo {
    /// The version.
    pub version: GoVersion,
    /// The site that the archive is downloaded from.
    pub mirror: Mirror,
    /// An archive on this host that is used instead of a download.
    pub archive: Option<PathBuf>,
    /// The sum of the archive; none for the one in the file beside the archive, or the published
    /// one.
    pub sum: Option<Sha256>,
}

/// Disk space that must be free, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct DiskSpace {
    /// For the base system: about 1.2 GB without compression, the archive, and the work files of
    /// freebsd-update.
    pub base: u64,
    /// For the build jail: Go and its archive.
    pub build: u64,
}

impl Default for DiskSpace {
    fn default() -> Self {
        Self { base: 3 << 30, build: 1 << 30 }
    }
}

impl DesiredState {
    /// The sets as a mark has them.
    pub(super) fn sets_text(&self) -> String {
        let names: Vec<_> = self.sets.iter().map(SetName::as_str).collect();
        names.join("+")
    }

    /// The folder that keeps archives until they are extracted, in the releases dataset.
    pub(super) fn downloads(&self) -> PathBuf {
        self.layout.folder().join("releases/downloads")
    }

    /// The path of a set's archive, which may not exist yet.
    pub(super) fn set_archive(&self, set: &SetName) -> PathBuf {
        let local = self.set_dir.as_ref().map(|folder| folder.join(set.archive()));
        local.filter(|path| path.is_file()).unwrap_or_else(|| {
            self.downloads().join(format!("{}-{}", self.layout.release(), set.archive()))
        })
    }

    /// The path of the MANIFEST, which may not exist yet.
    pub(super) fn manifest(&self) -> PathBuf {
        let local = self.set_dir.as_ref().map(|folder| folder.join("MANIFEST"));
        local
            .filter(|path| path.is_file())
            .unwrap_or_else(|| self.downloads().join(format!("{}-MANIFEST", self.layout.release())))
    }

    /// The path of Go's archive, which may not exist yet.
    pub(super) fn go_archive(&self) -> PathBuf {
        self.go
            .archive
            .clone()
            .unwrap_or_else(|| self.downloads().join(self.go.version.archive(self.machine)))
    }
}

impl DesiredGo {
    /// The default release.
    pub fn default_version() -> GoVersion {
        GoVersion::parse(GO.0).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// The sum of the default release's archive, which is part of this program.
    pub(super) fn pinned(&self, machine: Machine) -> Option<Sha256> {
        let known = GO.1.iter().find(|(arch, _)| *arch == machine.go)?;
        (self.version.as_str() == GO.0).then(|| Sha256::parse(known.1).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_go_is_the_one_that_the_project_is_built_with() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/with-tools.sh");
        let script = std::fs::read_to_string(script).unwrap();
        assert!(script.contains(&format!("GO_VERSION={}\n", GO.0)));
        let mut go = DesiredGo {
            version: DesiredGo::default_version(),
            mirror: Mirror::go(),
            archive: None,
            sum: None,
        };
        for arch in ["x86_64", "aarch64"] {
            let sum = go.pinned(Machine::of(arch).unwrap()).unwrap();
            assert!(script.contains(&format!("sum={sum}")), "{arch}");
        }
        go.version = GoVersion::parse("1.26.6").unwrap();
        assert_eq!(go.pinned(Machine::of("x86_64").unwrap()), None);
    }
}
