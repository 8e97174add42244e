//! The bytes that one fetch may receive from the network and unpack on the disk, in one count.
//!
//! Nothing a stranger sends may be written before it was charged here, except by the go command,
//! whose folders are measured while it runs ([`tree_size`]).

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a file or folder costs beside its content: about what it takes on a disk, so that a million
/// empty ones exceed the limit long before the fetch exceeds its time.
pub(super) const ENTRY_COST: u64 = 4096;

/// The fetch exceeded its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fetch received and unpacked more than {max} bytes (limits.fetch_size)")]
pub(super) struct OverBudget {
    /// The limit.
    pub(super) max: u64,
}

/// A shared count against a limit.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    max: u64,
    spent: Arc<AtomicU64>,
}

impl Budget {
    pub(super) fn new(max: u64) -> Self {
        Self { max, spent: Arc::new(AtomicU64::new(0)) }
    }

    /// Counts `bytes`, or fails when the limit is exceeded.
    pub(super) fn charge(&self, bytes: u64) -> Result<(), OverBudget> {
        let before = self
            .spent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
                Some(spent.saturating_add(bytes))
            })
            .unwrap_or(u64::MAX);
        self.fits(before.saturating_add(bytes))
    }

    /// Whether `bytes` more than what was charged so far would still fit; nothing is charged.
    pub(super) fn would_fit(&self, bytes: u64) -> Result<(), OverBudget> {
        self.fits(self.spent.load(Ordering::Relaxed).saturating_add(bytes))
    }

    fn fits(&self, total: u64) -> Result<(), OverBudget> {
        if total > self.max { Err(OverBudget { max: self.max }) } else { Ok(()) }
    }

    /// A reader that charges what passes through it and breaks off at the limit.
    pub(super) fn meter<R: Read>(&self, inner: R) -> Metered<R> {
        Metered { inner, budget: self.clone() }
    }
}

/// See [`Budget::meter`].
pub(super) struct Metered<R> {
    inner: R,
    budget: Budget,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.budget.charge(n as u64).map_err(io::Error::other)?;
        Ok(n)
    }
}

/// The [`OverBudget`] that a [`Metered`] reader put into an error, if that is what it is.
pub(super) fn over_budget(error: &io::Error) -> Option<OverBudget> {
    error.get_ref()?.downcast_ref::<OverBudget>().copied()
}

/// The bytes below `root`, without following symbolic links; a file that vanishes meanwhile does
/// not count.
pub(super) fn tree_size(root: &Path) -> u64 {
    let mut total = 0u64;
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            // DirEntry::metadata does not follow links.
            let Ok(meta) = entry.metadata() else { continue };
            total = total.saturating_add(ENTRY_COST);
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() {
                total = total.saturating_add(meta.len());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_to_the_last_byte_and_not_beyond() {
        let budget = Budget::new(10);
        assert_eq!(budget.charge(4), Ok(()));
        assert_eq!(budget.would_fit(6), Ok(()));
        assert_eq!(budget.would_fit(7), Err(OverBudget { max: 10 }));
        assert_eq!(budget.charge(6), Ok(()));
        assert_eq!(budget.charge(1), Err(OverBudget { max: 10 }));
    }

    #[test]
    fn a_charge_near_the_largest_number_does_not_wrap() {
        let budget = Budget::new(10);
        assert!(budget.charge(u64::MAX).is_err());
        assert!(budget.charge(u64::MAX).is_err());
    }

    #[test]
    fn a_metered_reader_breaks_off_at_the_limit_and_says_why() {
        let budget = Budget::new(5);
        let mut out = Vec::new();
        let error = budget.meter(&b"123456789"[..]).read_to_end(&mut out).unwrap_err();
        assert_eq!(over_budget(&error), Some(OverBudget { max: 5 }));
        assert_eq!(over_budget(&io::Error::other("else")), None);
    }
}
