//! The addresses that an operator has taken out of the pools, on disk, so that a restart does not
//! put them back. `sky-island addresses` writes the file, one address a line. The server checks the
//! file before it lends an address, so a change applies from the next call on. Invariants: the file
//! is written aside and renamed into place; a file that cannot be read changes nothing.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;

use crate::net::lending::UnknownAddress;
use crate::net::pools::Pools;
use crate::net::table::AddressState;

/// The largest file that is read, in bytes: far more than all pools' addresses take.
const LARGEST: u64 = 64 << 20;

/// The file, and the pools of its addresses.
pub struct Withdrawals {
    path: PathBuf,
    pools: Pools,
    applied: Mutex<Applied>,
}

#[derive(Default)]
struct Applied {
    stamp: Option<Stamp>,
    addresses: BTreeSet<IpAddr>,
}

/// Identifies a version of the file: inode number, length and time.
type Stamp = (u64, u64, i64, i64);

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawalError {
    /// No pool has the address.
    #[error(transparent)]
    Unknown(#[from] UnknownAddress),
    /// An island, the host or a foreign jail has the address.
    #[error("{0} is in use")]
    InUse(IpAddr, AddressState),
    /// The file.
    #[error(
        "{0} cannot be read or written: check that a server has started, and that you may write its state directory"
    )]
    Disk(PathBuf, #[source] io::Error),
}

impl Withdrawals {
    /// Reads the file and takes its addresses out of the pools.
    pub fn open(path: PathBuf, pools: Pools) -> Result<Self, WithdrawalError> {
        let withdrawals = Self { path, pools, applied: Mutex::default() };
        withdrawals.look().map_err(|error| withdrawals.disk(error))?;
        Ok(withdrawals)
    }

    /// The pools.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// All withdrawn addresses, including addresses that no pool has any more.
    pub fn list(&self) -> Vec<IpAddr> {
        self.applied.lock().addresses.iter().copied().collect()
    }

    /// Reads the file again if it has changed, which costs one stat(2).
    pub fn refresh(&self) {
        if let Err(error) = self.look() {
            tracing::warn!(%error, path = %self.path.display(), "the list of withdrawn addresses cannot be read; the list read before stays in force");
        }
    }

    /// Takes an address out, now and after every restart. A leased address leaves when it is
    /// returned.
    pub fn withdraw(&self, address: IpAddr) -> Result<(), WithdrawalError> {
        self.pools.withdraw(address)?;
        self.change(|addresses| addresses.insert(address))
    }

    /// Puts an address back.
    pub fn restore(&self, address: IpAddr) -> Result<(), WithdrawalError> {
        // The address may be of a pool that the configuration has no longer.
        let known = self.pools.restore(address);
        if !self.list().contains(&address) {
            known?;
        }
        self.change(|addresses| addresses.remove(&address))
    }

    /// Takes an address out, or puts it back, now and after every restart. An address in use stays
    /// as it is.
    pub fn steer(&self, address: IpAddr, withdrawn: bool) -> Result<(), WithdrawalError> {
        self.refresh();
        if let Some(state) = self.pools.steer(address, withdrawn)? {
            return Err(WithdrawalError::InUse(address, state));
        }
        let written = self.change(|addresses| match withdrawn {
            true => addresses.insert(address),
            false => addresses.remove(&address),
        });
        if written.is_err() {
            // A change that is not on disk would be lost at the next start, so it is undone.
            let _ = self.pools.steer(address, !withdrawn);
        }
        written
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeSet<IpAddr>) -> bool,
    ) -> Result<(), WithdrawalError> {
        let write = || {
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            // One change at a time, by the server or by a command.
            let _lock = Flock::lock(File::open(folder)?, FlockArg::LockExclusive)
                .map_err(|(_, error)| error)?;
            self.look()?;
            let mut addresses = self.applied.lock().addresses.clone();
            if change(&mut addresses) {
                let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
                let aside = self.path.with_extension("new");
                fs::write(&aside, text)?;
                fs::rename(&aside, &self.path)?;
            }
            self.look()
        };
        write().map_err(|error| self.disk(error))
    }

    fn look(&self) -> io::Result<()> {
        let metadata = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other?),
        };
        let mut applied = self.applied.lock();
        let stamp = metadata.as_ref().map(stamp);
        if stamp == applied.stamp {
            return Ok(());
        }
        let addresses = match &metadata {
            Some(metadata) if metadata.len() > LARGEST => {
                return Err(io::Error::other(
                    "the file has more than 64 MiB, which is no list of addresses",
                ));
            }
            Some(_) => parse(&fs::read_to_string(&self.path)?)?,
            None => BTreeSet::new(),
        };
        // An address that no pool has stays in the list: its pool may be configured again.
        for address in addresses.difference(&applied.addresses) {
            let _ = self.pools.withdraw(*address);
        }
        for address in applied.addresses.difference(&addresses) {
            let _ = self.pools.restore(*address);
        }
        *applied = Applied { stamp, addresses };
        Ok(())
    }

    fn disk(&self, error: io::Error) -> WithdrawalError {
        WithdrawalError::Disk(self.path.clone(), error)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn parse(text: &str) -> io::Result<BTreeSet<IpAddr>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let read = |line: &str| {
        line.parse().map_err(|_| io::Error::other(format!("the line {line:?} is no address")))
    };
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::interface::Interface;
    use crate::net::pool::{Pool, PoolSettings};
    use crate::net::range::Family;

    fn pools() -> Pools {
        let settings = PoolSettings {
            interface: Interface::parse("em1").unwrap(),
            network: "10.9.0.0/30".parse().unwrap(),
            span: None,
            exclude: Vec::new(),
            gateway: None,
            dns: Vec::new(),
        };
        Pools::new(vec![Pool::new(settings).unwrap()])
    }

    fn open(folder: &tempfile::TempDir) -> Withdrawals {
        Withdrawals::open(folder.path().join("withdrawn"), pools()).unwrap()
    }

    fn withdrawn(pools: &Pools) -> Vec<String> {
        let list = pools.list().into_iter().filter(|it| it.state == AddressState::Withdrawn);
        list.map(|it| it.address.to_string()).collect()
    }

    #[test]
    fn a_running_server_follows_and_the_next_one_begins_with_what_was_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let (server, operator) = (open(&folder), open(&folder));
        operator.withdraw("10.9.0.1".parse().unwrap()).unwrap();
        assert_eq!(withdrawn(server.pools()), [""; 0]);
        server.refresh();
        assert_eq!(withdrawn(server.pools()), ["10.9.0.1"]);
        assert_eq!(server.pools().lease(Family::V4).unwrap().address().to_string(), "10.9.0.2");
        let next = open(&folder);
        assert_eq!(withdrawn(next.pools()), ["10.9.0.1"]);
        operator.restore("10.9.0.1".parse().unwrap()).unwrap();
        next.refresh();
        server.refresh();
        assert_eq!((withdrawn(next.pools()), withdrawn(server.pools())), (vec![], vec![]));
    }

    #[test]
    fn two_operators_keep_each_others_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (open(&folder), open(&folder));
        one.withdraw("10.9.0.1".parse().unwrap()).unwrap();
        two.withdraw("10.9.0.2".parse().unwrap()).unwrap();
        assert_eq!(withdrawn(open(&folder).pools()), ["10.9.0.1", "10.9.0.2"]);
    }

    #[test]
    fn a_change_that_cannot_be_written_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let server = open(&folder);
        let [kept, other] = ["10.9.0.1", "10.9.0.2"].map(|text| text.parse().unwrap());
        server.steer(kept, true).unwrap();
        std::fs::remove_dir_all(folder.path()).unwrap();
        for (address, withdrawn) in [(other, true), (kept, false)] {
            let error = server.steer(address, withdrawn).unwrap_err();
            assert!(matches!(error, WithdrawalError::Disk(..)), "{error}");
        }
        let left = server.pools().lease(Family::V4).map(|lease| lease.address());
        assert_eq!(left.ok(), Some(other));
    }

    #[test]
    fn an_address_in_use_is_not_steered() {
        let folder = tempfile::tempdir().unwrap();
        let operator = open(&folder);
        let lease = operator.pools().lease(Family::V4).unwrap();
        let lent = lease.address();
        for withdrawn in [true, false] {
            let error = operator.steer(lent, withdrawn).unwrap_err();
            assert!(matches!(error, WithdrawalError::InUse(address, _) if address == lent));
        }
        drop(lease);
        operator.steer(lent, true).unwrap();
        assert_eq!(withdrawn(open(&folder).pools()), [lent.to_string()]);
        operator.steer(lent, false).unwrap();
        assert_eq!(withdrawn(open(&folder).pools()), [""; 0]);
        operator.pools().mark_foreign(lent);
        assert!(matches!(
            operator.steer(lent, true),
            Err(WithdrawalError::InUse(_, AddressState::Foreign))
        ));
        let unknown = operator.steer("10.8.0.1".parse().unwrap(), true);
        assert!(matches!(unknown, Err(WithdrawalError::Unknown(_))));
    }

    #[test]
    fn what_no_pool_has_is_refused_and_a_file_that_cannot_be_read_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let operator = open(&folder);
        let foreign = "10.8.0.1".parse().unwrap();
        assert!(operator.withdraw(foreign).is_err() && operator.restore(foreign).is_err());
        operator.withdraw("10.9.0.1".parse().unwrap()).unwrap();
        fs::write(folder.path().join("withdrawn"), "10.9.0.2\nten\n").unwrap();
        operator.refresh();
        assert_eq!(withdrawn(operator.pools()), ["10.9.0.1"]);
        assert!(Withdrawals::open(folder.path().join("withdrawn"), pools()).is_err());
        let nowhere = Withdrawals::open(folder.path().join("no/withdrawn"), pools()).unwrap();
        let error = nowhere.withdraw("10.9.0.1".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("no/withdrawn"), "{error}");
    }
}
