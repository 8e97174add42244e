//! The aliases that the server added to the host's interfaces, on disk, so that after a crash
//! exactly these are removed.
//!
//! Invariants: an alias is recorded before it is added, and its record is deleted after the alias
//! is gone. The file is written aside and renamed into place. Interfaces lose their aliases when
//! the host restarts, and the address may then be the host's own: records of another boot do not
//! count.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use parking_lot::Mutex;

use crate::net::interface::Interface;
use crate::net::lease::Lease;

/// The first words of the file; the boot follows.
const HEAD: &str = "sky-island-aliases";
/// The largest file that is read, in bytes: far more than the addresses of all pools take.
const LARGEST: u64 = 64 << 20;

/// An address on an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alias {
    /// The interface.
    pub interface: Interface,
    /// The address.
    pub address: IpAddr,
}

/// The file; see the module.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    boot: String,
    aliases: Mutex<BTreeSet<Alias>>,
}

impl Alias {
    /// The alias of a lease.
    pub fn of(lease: &Lease) -> Self {
        Self { interface: lease.interface().clone(), address: lease.address() }
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interface, self.address)
    }
}

impl Ledger {
    /// Reads the file, if there is one. `boot` is a text without spaces that differs from one start
    /// of the host to the next.
    pub fn open(path: PathBuf, boot: &str) -> io::Result<Self> {
        let boot = boot.split_whitespace().collect::<String>();
        let aliases = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error),
            Ok(found) if found.len() > LARGEST => {
                return Err(io::Error::other(format!(
                    "{} has more than 64 MiB, which is no list of aliases",
                    path.display()
                )));
            }
            Ok(_) => parse(&String::from_utf8_lossy(&fs::read(&path)?), &boot),
        };
        Ok(Self { path, boot, aliases: Mutex::new(aliases) })
    }

    /// All recorded aliases.
    pub fn aliases(&self) -> Vec<Alias> {
        self.aliases.lock().iter().cloned().collect()
    }

    /// Records an alias. Add the alias to the interface only after this.
    pub fn add(&self, alias: &Alias) -> io::Result<()> {
        let mut aliases = self.aliases.lock();
        if !aliases.insert(alias.clone()) {
            return Ok(());
        }
        // An alias that is not on disk would be lost in a crash, so it must not be added.
        self.write(&aliases).inspect_err(|_| {
            aliases.remove(alias);
        })
    }

    /// Deletes the record of an alias, which must be gone from the interface.
    pub fn remove(&self, alias: &Alias) -> io::Result<()> {
        let mut aliases = self.aliases.lock();
        if !aliases.remove(alias) {
            return Ok(());
        }
        self.write(&aliases).inspect_err(|_| {
            aliases.insert(alias.clone());
        })
    }

    /// No fsync is needed: a power cut that loses the file also removes the aliases from the
    /// interfaces.
    fn write(&self, aliases: &BTreeSet<Alias>) -> io::Result<()> {
        let mut text = format!("{HEAD} {}\n", self.boot);
        for alias in aliases {
            text.push_str(&format!("{alias}\n"));
        }
        let aside = self.path.with_extension("new");
        fs::write(&aside, text)?;
        fs::rename(&aside, &self.path)
    }
}

/// Reads the complete lines. A line without a newline may have lost a digit, and would name another
/// address.
fn parse(text: &str, boot: &str) -> BTreeSet<Alias> {
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    if lines.next() != Some(&format!("{HEAD} {boot}")) {
        return BTreeSet::new();
    }
    let alias = |line: &str| {
        let (interface, address) = line.split_once(' ')?;
        Some(Alias { interface: Interface::parse(interface).ok()?, address: address.parse().ok()? })
    };
    lines.filter_map(alias).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn alias(interface: &str, address: &str) -> Alias {
        let interface = Interface::parse(interface).unwrap();
        Alias { interface, address: address.parse().unwrap() }
    }

    #[test]
    fn what_was_written_down_is_known_after_a_crash_and_what_was_crossed_out_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aliases");
        let ledger = Ledger::open(path.clone(), "boot 1").unwrap();
        let (one, two) = (alias("em1", "10.9.0.5"), alias("em1", "fd00:9::5"));
        ledger.add(&one).unwrap();
        ledger.add(&two).unwrap();
        ledger.add(&two).unwrap();
        ledger.remove(&one).unwrap();
        assert_eq!(Ledger::open(path.clone(), "boot 1").unwrap().aliases(), [two]);
        assert!(Ledger::open(path, "boot 2").unwrap().aliases().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_down_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path().join("gone/aliases"), "b").unwrap();
        assert!(ledger.add(&alias("em1", "10.9.0.5")).is_err());
        assert!(ledger.aliases().is_empty());
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let text = "sky-island-aliases b\nem1 10.9.0.5\n\nem1\n-x 10.9.0.6\nem1 10.9.0\nem1 10.9.0.7\nem1 10.9.0.1";
        let found: Vec<_> = parse(text, "b").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["em1 10.9.0.5", "em1 10.9.0.7"]);
        assert!(parse("em1 10.9.0.5\n", "b").is_empty());
    }

    proptest! {
        #[test]
        fn a_torn_file_never_names_an_address_that_was_not_written(
            addresses in proptest::collection::btree_set(0u32.., 0..20), cut in 0usize..600
        ) {
            let aliases: BTreeSet<Alias> = addresses.iter().map(|number| Alias {
                interface: Interface::parse("em1").unwrap(),
                address: std::net::Ipv4Addr::from(*number).into(),
            }).collect();
            let mut text = format!("{HEAD} b\n");
            aliases.iter().for_each(|alias| text.push_str(&format!("{alias}\n")));
            text.truncate(cut);
            prop_assert!(parse(&text, "b").is_subset(&aliases));
        }
    }
}
