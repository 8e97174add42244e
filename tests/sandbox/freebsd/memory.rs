//! Memory that is in no process's address space, which limits on address spaces do not meet.

use island::Ending;
use serde::Deserialize;

use super::super::host::{limits, not_given, promise, read};
use super::super::platform;

#[test]
fn memory_that_no_process_maps_is_bounded_as_well() {
    #[derive(Deserialize)]
    struct Filled {
        bytes: u64,
        error: String,
    }
    promise(|host| {
        let outcome = host.run(&host.function(&["fill-unmapped-memory"]));
        if outcome.ending != Ending::Exited(0) {
            if let Err(why) = platform::is_want_of_memory(outcome.ending) {
                not_given("the reason for each end by want of memory", why);
            }
            return;
        }
        let found: Filled = read(&outcome);
        // What a Go program reserves counts, so the limit is that much above its memory.
        let told = platform::prepared().config.jails.address_space;
        let reserved = told.map_or(1536 << 20, server::config::Bytes::get);
        assert!(
            found.bytes <= limits().resources.memory + reserved,
            "{} {}",
            found.bytes,
            found.error
        );
        assert!(!found.error.is_empty(), "{}", found.bytes);
    });
}
