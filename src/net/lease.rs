//! A hold on one address: as long as it lives, nobody else has it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Family, Interface, Pool, Pools};

/// An address on loan. Dropping it returns the address, so hold it until nothing uses the address any more.
pub struct Lease {
    pub(super) pools: Pools,
    pub(super) pool: Arc<Pool>,
    pub(super) address: IpAddr,
}

impl Lease {
    /// The address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length of its network, in bits.
    pub fn prefix(&self) -> u8 {
        self.pool.network().prefix()
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// The interface that it is for.
    pub fn interface(&self) -> &Interface {
        self.pool.interface()
    }

    /// The way to other networks.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.pool.gateway()
    }

    /// Name servers, of the same family.
    pub fn dns(&self) -> &[IpAddr] {
        self.pool.dns()
    }

    /// Says which island has it, for [`Pools::list`].
    pub fn assign(&self, island: &str) {
        self.pools.assign(self.address, island);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pools.give_back(self.address);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({}/{} on {})", self.address, self.prefix(), self.interface())
    }
}
