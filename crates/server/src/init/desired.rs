//! What a host is to be prepared as.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use host::layout::Layout;

use super::checksum::Sha256;
use super::mirror::Mirror;
use super::names::{GoVersion, Machine, SetName};

/// The release of Go that is installed unless another is named, with the sums of its archives by GOARCH.
const GO: (&str, [(&str, &str); 2]) = (
    "1.26.7",
    [
        ("amd64", "2ad37146fa8449907716b494dd268aeae6f79592b875915525c28c8c337ad32a"),
        ("arm64", "23d425a3a51876df8bf050f080b1ae50340048def689fbcc44c939fa23485ce0"),
    ],
);

/// What a host is to be prepared as, and what of it is used for that.
#[derive(Clone, Debug)]
pub struct DesiredState {
    /// Where everything lies.
    pub layout: Layout,
    /// Whether the datasets are compressed; as the parent's are where that is not said.
    pub compression: Option<bool>,
    /// The distribution sets of the base system, `base` among them.
    pub sets: Vec<SetName>,
    /// A folder that may have their archives, and a MANIFEST.
    pub set_dir: Option<PathBuf>,
    /// Where they are downloaded from otherwise.
    pub release_mirror: Mirror,
    /// Whether the base system gets its release's updates.
    pub update: bool,
    /// The toolchain.
    pub go: Go,
    /// The name servers in the base system's resolv.conf; the host's own where there are none.
    pub dns: Vec<Ipv4Addr>,
    /// What the archives are built for.
    pub machine: Machine,
    /// The host's resolv.conf and localtime lie here.
    pub etc: PathBuf,
    /// A server that uses the host holds the lock of this state directory.
    pub state_dir: PathBuf,
    /// The file that one init or destroy at a time holds.
    pub lock: PathBuf,
    /// The id of the user who runs it.
    pub user: u32,
    /// The disk space that must be free.
    pub space: Space,
}

/// The toolchain that is wanted.
#[derive(Clone, Debug)]
pub struct Go {
    /// Its version.
    pub version: GoVersion,
    /// Where its archive is downloaded from.
    pub mirror: Mirror,
    /// An archive on this host, which is used instead.
    pub archive: Option<PathBuf>,
    /// The archive's sum; otherwise the one beside it, or the published one.
    pub sum: Option<Sha256>,
}

/// Disk space that must be free, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// For the base system: about 1.2 GB without compression, the archive, and freebsd-update's work.
    pub base: u64,
    /// For the build jail: Go with its archive.
    pub build: u64,
}

impl Default for Space {
    fn default() -> Self {
        Self { base: 3 << 30, build: 1 << 30 }
    }
}

impl DesiredState {
    /// The sets as a mark says them.
    pub(super) fn sets_text(&self) -> String {
        let names: Vec<_> = self.sets.iter().map(SetName::as_str).collect();
        names.join("+")
    }

    /// Where archives are kept until they are extracted: a folder in the releases dataset.
    pub(super) fn downloads(&self) -> PathBuf {
        self.layout.folder().join("releases/downloads")
    }

    /// Where a set's archive is, or will be.
    pub(super) fn set_archive(&self, set: &SetName) -> PathBuf {
        let local = self.set_dir.as_ref().map(|folder| folder.join(set.archive()));
        local.filter(|path| path.is_file()).unwrap_or_else(|| {
            self.downloads().join(format!("{}-{}", self.layout.release(), set.archive()))
        })
    }

    /// Where the MANIFEST is, or will be.
    pub(super) fn manifest(&self) -> PathBuf {
        let local = self.set_dir.as_ref().map(|folder| folder.join("MANIFEST"));
        local
            .filter(|path| path.is_file())
            .unwrap_or_else(|| self.downloads().join(format!("{}-MANIFEST", self.layout.release())))
    }

    /// Where Go's archive is, or will be.
    pub(super) fn go_archive(&self) -> PathBuf {
        self.go
            .archive
            .clone()
            .unwrap_or_else(|| self.downloads().join(self.go.version.archive(self.machine)))
    }
}

impl Go {
    /// The release that is installed unless another is named.
    pub fn default_version() -> GoVersion {
        GoVersion::parse(GO.0).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// The sum that is known here, of the default release's archive.
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
        let mut go =
            Go { version: Go::default_version(), mirror: Mirror::go(), archive: None, sum: None };
        for arch in ["x86_64", "aarch64"] {
            let sum = go.pinned(Machine::of(arch).unwrap()).unwrap();
            assert!(script.contains(&format!("sum={sum}")), "{arch}");
        }
        go.version = GoVersion::parse("1.26.6").unwrap();
        assert_eq!(go.pinned(Machine::of("x86_64").unwrap()), None);
    }
}
