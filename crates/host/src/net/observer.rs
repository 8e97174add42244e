//! What counts leases: the seam to the server's metrics, which this crate does not know.

/// Is told how addresses are lent. The methods are called under the pools' lock, so they must not
/// block.
pub trait LeaseObserver: Send + Sync {
    /// An address was lent for a call.
    fn granted(&self);
    /// No address became free in time.
    fn refused(&self);
    /// One more address is in use, or one less.
    fn in_use(&self, more: bool);
}
