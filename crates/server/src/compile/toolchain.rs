//! The Go toolchain of this host.

use std::path::{Path, PathBuf};

/// Where a Go toolchain is searched when PATH has none.
const USUAL: [&str; 3] = ["/usr/local/go/bin/go", "/usr/lib/go/bin/go", "/opt/go/bin/go"];
/// The oldest release that finds a package of an overlay in the standard library, as the package
/// that gives a program its arguments is.
const OLDEST: (u32, u32) = (1, 25);

/// A Go toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    goroot: PathBuf,
    version: String,
}

/// Why there is no usable toolchain.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// No toolchain was found.
    #[error("no Go toolchain was found in PATH or /usr/local/go; {0}")]
    Missing(&'static str),
    /// The configured command is no go command.
    #[error(
        "{0} (go.command) is not the go command of a Go toolchain; set the path of one, such as /usr/local/go/bin/go"
    )]
    NotGo(PathBuf),
    /// The toolchain is too old.
    #[error("Go {0} at {1} is too old; install Go 1.{minor} or later, or set go.command", minor = OLDEST.1)]
    Old(String, PathBuf),
}

impl ToolchainError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Missing(remedy) => remedy,
            Self::NotGo(_) | Self::Old(..) => "install Go, or set go.command",
        }
    }

    /// On FreeBSD `init` installs Go in the build jail, elsewhere `make` installs it.
    fn missing(freebsd: bool) -> Self {
        Self::Missing(match freebsd {
            true => "run `sky-island init`, which installs one, or set go.command",
            false => "install one with `make`, or set go.command",
        })
    }
}

impl Toolchain {
    /// The configured toolchain, or the first one in PATH and the usual folders.
    pub fn find(configured: Option<&Path>) -> Result<Self, ToolchainError> {
        if let Some(command) = configured {
            return Self::at(command)
                .ok_or_else(|| ToolchainError::NotGo(command.into()))?
                .checked();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).map(|folder| folder.join("go"));
        let candidates = in_path.chain(USUAL.iter().map(PathBuf::from));
        let found: Vec<_> = candidates.filter_map(|command| Self::at(&command)).collect();
        Self::first_usable(found)
    }

    /// The first toolchain that is not too old.
    fn first_usable(found: Vec<Self>) -> Result<Self, ToolchainError> {
        let mut checked = found.into_iter().map(Self::checked);
        let first =
            checked.next().ok_or_else(|| ToolchainError::missing(cfg!(target_os = "freebsd")))?;
        first.or_else(|too_old| checked.find_map(Result::ok).ok_or(too_old))
    }

    /// The toolchain of a go command: the root is two folders above, and has a VERSION file.
    fn at(command: &Path) -> Option<Self> {
        let command = command.canonicalize().ok()?;
        let goroot = command.parent()?.parent()?.to_owned();
        let text = std::fs::read_to_string(goroot.join("VERSION")).ok()?;
        let version = text.lines().next()?.trim().strip_prefix("go")?.to_owned();
        goroot.join("bin/go").exists().then_some(Self { goroot, version })
    }

    fn checked(self) -> Result<Self, ToolchainError> {
        match release(&self.version) {
            Some(release) if release < OLDEST => {
                Err(ToolchainError::Old(self.version, self.goroot))
            }
            _ => Ok(self),
        }
    }

    /// GOROOT.
    pub fn goroot(&self) -> &Path {
        &self.goroot
    }

    /// The release, `1.26.8`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The minor number of the release, which is the language version.
    pub fn minor(&self) -> u32 {
        release(&self.version).map_or(OLDEST.1, |(_, minor)| minor)
    }

    /// The archive of time zones.
    pub fn zones(&self) -> Option<PathBuf> {
        Some(self.goroot.join("lib/time/zoneinfo.zip")).filter(|path| path.exists())
    }
}

/// Major and minor number of a release; none for a development version.
fn release(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_from_their_names() {
        let table = [
            ("1.26.8", Some((1, 26))),
            ("1.19", Some((1, 19))),
            ("1.27rc1", Some((1, 27))),
            ("devel", None),
        ];
        for (text, expected) in table {
            assert_eq!(release(text), expected);
        }
    }

    #[test]
    fn the_first_toolchain_that_is_not_too_old_is_used() {
        let go = |version: &str| Toolchain { goroot: version.into(), version: version.into() };
        let used = |versions: &[&str]| {
            let found = versions.iter().map(|version| go(version)).collect();
            Toolchain::first_usable(found).map(|it| it.version).map_err(|error| error.to_string())
        };
        assert_eq!(used(&["1.26.8", "1.27.1"]).unwrap(), "1.26.8");
        assert_eq!(used(&["1.24.6", "1.25.0"]).unwrap(), "1.25.0");
        let error = used(&["1.24.6", "1.21.13"]).unwrap_err();
        assert!(error.contains("Go 1.24.6") && error.contains("Go 1.25 or later"), "{error}");
        assert!(used(&[]).unwrap_err().contains("no Go toolchain"));
    }

    #[test]
    fn a_host_without_go_is_told_what_installs_it() {
        for (freebsd, command) in [(true, "`sky-island init`"), (false, "`make`")] {
            let error = ToolchainError::missing(freebsd);
            assert!(error.to_string().contains(command), "{error}");
            assert!(error.remedy().contains(command), "{error}");
        }
    }

    #[test]
    fn a_command_outside_a_toolchain_is_refused_by_name() {
        let error = Toolchain::find(Some(Path::new("/bin/sh"))).unwrap_err();
        assert!(error.to_string().contains("/bin/sh"));
    }
}
