//! The addresses of islands: pools, leases, and the host's commands that configure an address.
//! [`Pools`] lends addresses in memory, without access to the host. The user of an address keeps
//! its [`Lease`] until the address is out of use. [`ifconfig`] serves FreeBSD, [`iproute`] Linux;
//! [`Ledger`] records on disk the addresses that were added to the host's interfaces. Invariants:
//! no address is lent twice at a time, and only addresses that the server added are removed.

pub mod alias;
pub mod ifconfig;
mod interface;
pub mod iproute;
mod lease;
mod ledger;
mod lending;
mod observer;
mod pool;
mod pools;
mod range;
mod table;
mod withdrawals;

pub use interface::{BadInterface, Interface};
pub use lease::Lease;
pub use ledger::{Alias, Ledger};
pub use lending::UnknownAddress;
pub use observer::LeaseObserver;
pub use pool::{Pool, PoolError, PoolSettings};
pub use pools::{NoAddress, PoolAddress, Pools};
pub use range::{BadRange, Family, Range};
pub use table::AddressState;
pub use withdrawals::{WithdrawalError, Withdrawals};
