//! The exclusive use of one address.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::net::interface::Interface;
use crate::net::lending::Lending;
use crate::net::pool::Pool;
use crate::net::range::Family;

/// The exclusive use of an address. Dropping the lease returns the address to the pool, so keep it
/// until the address is out of use.
pub struct Lease {
    pub(super) lending: Arc<Lending>,
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

    /// The interface of the pool.
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

    /// Records which island has the address, for [`Pools::list`](super::Pools::list).
    pub fn assign(&self, island: &str) {
        self.lending.assign(self.address, island);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.lending.release(self.address);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({}/{} on {})", self.address, self.prefix(), self.interface())
    }
}

#[cfg(test)]
mod tests {
    use super::super::LeaseObserver;
    use super::super::pool::tests::settings;
    use super::super::pools::Pools;
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use std::time::Duration;

    #[derive(Default)]
    struct Counts(Mutex<[i32; 3]>);

    impl LeaseObserver for Counts {
        fn granted(&self) {
            self.0.lock()[0] += 1;
        }
        fn refused(&self) {
            self.0.lock()[1] += 1;
        }
        fn in_use(&self, more: bool) {
            self.0.lock()[2] += if more { 1 } else { -1 };
        }
    }

    #[tokio::test(start_paused = true)]
    async fn leases_and_refusals_are_counted() {
        let pools = Pools::new(vec![Pool::new(settings("10.9.0.4/32")).unwrap()]);
        let counts = Arc::new(Counts::default());
        pools.observe(counts.clone());
        let seen = || *counts.0.lock();
        let lease = pools.lease(Family::V4).unwrap();
        assert_eq!(seen(), [1, 0, 1]);
        assert!(pools.lease_within(Family::V4, Duration::from_secs(1)).await.is_err());
        assert_eq!(seen(), [1, 1, 1]);
        drop(lease);
        assert_eq!(seen(), [1, 1, 0]);
        let again = pools.lease_again("10.9.0.4".parse().unwrap()).unwrap();
        assert_eq!(seen(), [1, 1, 1]);
        drop(again);
        assert_eq!(seen(), [1, 1, 0]);
    }
}
