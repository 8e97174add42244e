//! The layout of a FreeBSD host: datasets, their folders and their snapshots.
//!
//! ```text
//! <zfs_dataset>/jails                        mounted at base_jail_dir
//! ├── releases/<release>      @p1            the base system
//! ├── build                   @p1            a clone with Go: tools run on its clones
//! ├── artifacts/<key>                        a clone with one program: calls run on views of it
//! └── run/<island>                           one island's root: a tool's clone, or the folder that
//!                                            a function's view is mounted on
//! ```
//!
//! Invariants: init creates the first two, the server creates the others; no other dataset of the
//! pool is touched.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::zfs::{DatasetName, NameError, SnapshotName};

/// The snapshot of a finished base system, and of a finished build jail.
const FINISHED: &str = "p1";

/// The datasets and folders of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    jails: DatasetName,
    folder: PathBuf,
    release: Release,
}

/// A release of FreeBSD as the project names it: `15.1-RELEASE`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Release(String);

/// An invalid layout.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The dataset's name.
    #[error("filesystem.zfs_dataset")]
    Dataset(#[from] NameError),
    /// The folder.
    #[error(
        "jails.base_jail_dir: {0:?} must be an absolute path of letters, digits, '-', '_' and '.'"
    )]
    Folder(PathBuf),
    /// The release.
    #[error("release: {0:?} is not a release of FreeBSD, such as 15.1-RELEASE")]
    Release(String),
}

impl Release {
    /// Reads a release: two numbers, and a branch with its own number where it has one.
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        let refuse = || LayoutError::Release(text.to_owned());
        let (numbers, branch) = text.split_once('-').ok_or_else(refuse)?;
        let (major, minor) = numbers.split_once('.').ok_or_else(refuse)?;
        let number = |text: &str| {
            matches!(text.len(), 1..=3) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let name = branch.trim_end_matches(|c: char| c.is_ascii_digit());
        let known = ["RELEASE", "RC", "BETA", "ALPHA", "STABLE", "CURRENT", "PRERELEASE"];
        let numbered = name.len() < branch.len();
        let legal = number(major) && number(minor) && branch.len() <= 16 && known.contains(&name);
        if !legal || (numbered && !["RC", "BETA", "ALPHA"].contains(&name)) {
            return Err(refuse());
        }
        Ok(Self(text.to_owned()))
    }

    /// The release that a kernel says it is, with or without the number of its last patch:
    /// `15.1-RELEASE-p3`.
    pub fn of_kernel(text: &str) -> Result<Self, LayoutError> {
        let text = text.trim();
        let patched = text.rsplit_once("-p").filter(|(_, patch)| {
            !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())
        });
        Self::parse(patched.map_or(text, |(release, _)| release))
    }

    /// The release itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its two numbers.
    pub fn numbers(&self) -> (u32, u32) {
        let mut numbers = self.0.split(['.', '-']).map(|part| part.parse().unwrap_or_default());
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }
}

impl Layout {
    /// The layout below a dataset. `folder` is where it is mounted, by default `/<dataset>/jails`.
    pub fn new(
        dataset: &str,
        folder: Option<&Path>,
        release: Release,
    ) -> Result<Self, LayoutError> {
        let jails = DatasetName::parse(dataset)?.child("jails")?;
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => Path::new("/").join(jails.as_str()),
        };
        if !is_plain(&folder) {
            return Err(LayoutError::Folder(folder));
        }
        // The longest name that the server will create.
        jails.child("artifacts")?.child(&"x".repeat(64))?;
        Ok(Self { jails, folder, release })
    }

    /// The release of the base system.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The dataset of all others.
    pub fn jails(&self) -> DatasetName {
        self.jails.clone()
    }

    /// The dataset of the base systems.
    pub fn releases(&self) -> DatasetName {
        self.below(&self.jails, "releases")
    }

    /// The base system.
    pub fn base(&self) -> DatasetName {
        self.below(&self.releases(), self.release.as_str())
    }

    /// The finished base system.
    pub fn base_snapshot(&self) -> SnapshotName {
        self.snapshot(&self.base(), FINISHED)
    }

    /// The build jail.
    pub fn build(&self) -> DatasetName {
        self.below(&self.jails, "build")
    }

    /// The finished build jail.
    pub fn build_snapshot(&self) -> SnapshotName {
        self.snapshot(&self.build(), FINISHED)
    }

    /// The dataset of the artifacts.
    pub fn artifacts(&self) -> DatasetName {
        self.below(&self.jails, "artifacts")
    }

    /// The dataset of the islands' roots.
    pub fn run(&self) -> DatasetName {
        self.below(&self.jails, "run")
    }

    /// Where the jails dataset is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a dataset of this layout is mounted, for mount points are inherited; none for other
    /// datasets.
    pub fn folder_of(&self, dataset: &DatasetName) -> Option<PathBuf> {
        if *dataset == self.jails {
            return Some(self.folder.clone());
        }
        let below = dataset.as_str().strip_prefix(self.jails.as_str())?.strip_prefix('/')?;
        Some(self.folder.join(below))
    }

    /// Where Go lies in the build jail, as the host sees it.
    pub fn goroot(&self) -> PathBuf {
        self.folder.join("build/usr/local/go")
    }

    fn below(&self, dataset: &DatasetName, element: &str) -> DatasetName {
        // `new` has checked the longest name, and all elements are plain.
        dataset.child(element).unwrap_or_else(|error| unreachable!("{error}"))
    }

    fn snapshot(&self, dataset: &DatasetName, name: &str) -> SnapshotName {
        dataset.at(name).unwrap_or_else(|error| unreachable!("{error}"))
    }
}

/// Whether a path is absolute, without `.` and `..`, and without what mount(8) and fstab(5) would
/// have to escape.
fn is_plain(path: &Path) -> bool {
    let plain = |element: &std::path::Component<'_>| match element {
        std::path::Component::RootDir => true,
        std::path::Component::Normal(name) => name.to_str().is_some_and(|name| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        }),
        _ => false,
    };
    path.is_absolute() && path != Path::new("/") && path.components().all(|part| plain(&part))
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dataset: &str, folder: Option<&str>) -> Result<Layout, LayoutError> {
        Layout::new(dataset, folder.map(Path::new), Release::parse("15.1-RELEASE").unwrap())
    }

    #[test]
    fn everything_lies_below_one_dataset_and_its_folder() {
        let layout = layout("zroot", Some("/srv/jails")).unwrap();
        assert_eq!(layout.base_snapshot().as_str(), "zroot/jails/releases/15.1-RELEASE@p1");
        assert_eq!(layout.build_snapshot().as_str(), "zroot/jails/build@p1");
        let run = layout.run().child("si_0123abcd_1").unwrap();
        assert_eq!(layout.folder_of(&run).unwrap(), Path::new("/srv/jails/run/si_0123abcd_1"));
        assert_eq!(layout.folder_of(&DatasetName::parse("zroot/home").unwrap()), None);
        assert_eq!(layout.folder_of(&DatasetName::parse("zroot/jails2/x").unwrap()), None);
    }

    #[test]
    fn without_a_folder_it_is_the_datasets_own() {
        assert_eq!(layout("tank/si", None).unwrap().folder(), Path::new("/tank/si/jails"));
    }

    #[test]
    fn a_folder_that_would_need_escapes_is_refused() {
        for folder in ["jails", "/", "/a b", "/a/../b", "/a\tb", "/ü", "/a,b"] {
            assert!(layout("zroot", Some(folder)).is_err(), "{folder}");
        }
        let long = format!("z/{}", "x".repeat(200));
        assert!(layout("z@x", None).is_err() && layout(&long, None).is_err());
    }

    #[test]
    fn releases_are_named_as_the_project_names_them() {
        for good in ["15.1-RELEASE", "14.3-RELEASE", "15.0-RC2", "16.0-CURRENT", "11.1-RELEASE"] {
            assert_eq!(Release::parse(good).unwrap().as_str(), good);
        }
        let bad = [
            "",
            "15",
            "15.1",
            "15.1-",
            "15.1-release",
            "a.b-RELEASE",
            "../15.1-RELEASE",
            "15.1-RELEASE/x",
            "15.1-RELEASE-p3",
            "15.1-RELEASE2",
            "1234.1-RELEASE",
        ];
        for bad in bad {
            assert!(Release::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Release::parse("14.3-RELEASE").unwrap().numbers(), (14, 3));
    }

    #[test]
    fn a_kernels_release_is_read_without_its_patch() {
        let table = [
            ("15.1-RELEASE-p3\n", "15.1-RELEASE"),
            ("14.3-RELEASE-p12", "14.3-RELEASE"),
            ("15.1-STABLE", "15.1-STABLE"),
            ("15.0-PRERELEASE", "15.0-PRERELEASE"),
        ];
        for (kernel, release) in table {
            assert_eq!(Release::of_kernel(kernel).unwrap().as_str(), release);
        }
        for bad in ["6.1.0-18-amd64", "15.1-RELEASE-p", "15.1-RELEASE-px", ""] {
            assert!(Release::of_kernel(bad).is_err(), "{bad}");
        }
    }
}
