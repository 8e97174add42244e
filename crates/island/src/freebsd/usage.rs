//! What the processes of a jail use, as rctl_get_racct(2) answers.
//!
//! One system call answers, so that a look at many islands starts no command. The kernel samples
//! the memory of processes once a second, counts shared pages in each process, and gives processor
//! time in whole seconds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Usage;
use crate::id::IslandId;

/// Asks the kernel for the counters of a subject such as `jail:NAME`: the text that
/// rctl_get_racct(2) writes.
pub type Counters = Arc<dyn Fn(&str) -> io::Result<String> + Send + Sync>;

/// The counters of this host's kernel.
pub(super) fn of_kernel() -> Counters {
    #[cfg(target_os = "freebsd")]
    return Arc::new(crate::freebsd::sys::rctl::counters);
    #[cfg(not(target_os = "freebsd"))]
    Arc::new(|_| Err(io::ErrorKind::Unsupported.into()))
}

/// What an island uses; none where the kernel does not count resources.
pub(super) fn of_island(counters: &Counters, id: &IslandId) -> Option<Usage> {
    parse(&counters(&format!("jail:{id}")).ok()?)
}

/// Reads `cputime=3,datasize=0,memoryuse=2326528,...`: seconds and bytes.
pub fn parse(text: &str) -> Option<Usage> {
    let amount = |resource: &str| {
        let pairs = text.trim().split(',').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(name, _)| *name == resource);
        found.next()?.1.parse::<u64>().ok()
    };
    let processor = Duration::from_secs(amount("cputime")?);
    Some(Usage { memory: amount("memoryuse")?, processor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processor_time_are_read_from_the_counters() {
        // As FreeBSD 15 writes them, shortened.
        let text = "cputime=3,datasize=0,memoryuse=2326528,memorylocked=0,maxproc=1,vmemoryuse=9";
        let usage = Usage { memory: 2_326_528, processor: Duration::from_secs(3) };
        assert_eq!(parse(text), Some(usage));
    }

    #[test]
    fn counters_that_lack_a_resource_are_no_usage() {
        for text in ["", "cputime=3", "memoryuse=5", "cputime=x,memoryuse=5", "vmemoryuse=1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_jail_of_the_island_is_asked_for_and_a_refusal_is_no_usage() {
        let id = IslandId::parse("si_0123abcd_1").unwrap();
        let counters: Counters = Arc::new(|subject| {
            assert_eq!(subject, "jail:si_0123abcd_1");
            Ok("cputime=0,memoryuse=1".to_owned())
        });
        assert_eq!(of_island(&counters, &id).map(|usage| usage.memory), Some(1));
        let refuses: Counters = Arc::new(|_| Err(io::ErrorKind::Unsupported.into()));
        assert_eq!(of_island(&refuses, &id), None);
    }
}
