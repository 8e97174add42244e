//! The addresses that islands may have: which there are, who has which, and the host's commands
//! that put one in place.
//!
//! [`Pools`] lends addresses in memory and knows no host; a [`Lease`] is held by whoever made use
//! of its address until that use is over. [`ifconfig`] speaks to FreeBSD, [`iproute`] to Linux;
//! [`Ledger`] remembers on disk what was added to a host's interface. What must always hold: no
//! address is lent twice at a time, and nothing that is not ours is ever removed.

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
