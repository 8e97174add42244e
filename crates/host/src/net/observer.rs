//! The trait through which the server's metrics count leases.

/// Receives the events of leases. The methods are called under the lock of the pools, so they must
/// not block.
pub trait LeaseObserver: Send + Sync {
    /// An address was lent for a call.
    fn granted(&self);
    /// No address became free in time.
    fn refused(&self);
    /// One more address is in use, or one less.
    fn in_use(&self, more: bool);
}
