//! How much of the processors a function gets.

use std::time::Duration;

use island::Ending;

use super::super::host::{not_given, promise};

/// A deadline long enough for the kernel, which looks once a second.
const DEADLINE: Duration = Duration::from_secs(6);
/// With more processors than this the deadline comes before the sum of their time.
const MOST: usize = 5;

#[test]
fn a_function_uses_no_more_of_the_processors_than_it_may() {
    promise(|host| {
        let processors = std::thread::available_parallelism().unwrap().get();
        if !(2..=MOST).contains(&processors) {
            let why = format!("{processors} processors: the deadline is the limit");
            return not_given("a measured limit on processors", why);
        }
        // One processor is left to the server, so spinning on all of them ends before the deadline.
        let mut spec = host.function(&["spin-in-threads", &format!("{processors}")]);
        spec.bounds.deadline = DEADLINE;
        spec.setup.resources.processor_time = Some(DEADLINE);
        assert_eq!(host.run(&spec).ending, Ending::Signaled(libc::SIGKILL));
    });
}

#[test]
fn a_function_that_spins_is_ended_at_its_deadline_and_not_much_later() {
    promise(|host| {
        let mut spec = host.function(&["spin-in-threads", "1"]);
        spec.bounds.deadline = Duration::from_secs(2);
        let outcome = host.run(&spec);
        assert_eq!(outcome.ending, Ending::Deadline);
        assert!(outcome.run < Duration::from_secs(6), "{:?}", outcome.run);
    });
}
