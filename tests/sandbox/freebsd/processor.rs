//! How much of the processors a function gets.

use std::time::{Duration, Instant};

use super::super::host::{not_given, promise};
use super::super::system;
use super::while_it_runs;

/// How long it is watched.
const WATCH: Duration = Duration::from_secs(8);
/// The kernel looks once a second, and lets go of what it held back.
const SLACK: f64 = 1.5;

#[test]
fn a_function_uses_no_more_of_the_processors_than_it_may() {
    promise(|host| {
        let processors = std::thread::available_parallelism().unwrap().get();
        let spinning = host.function(&["spin-in-threads", &format!("{processors}")]);
        while_it_runs(host, spinning, |running| {
            let name = running.jail.name();
            let percent = system::rules()
                .into_iter()
                .find(|rule| rule.jail == name && rule.resource == "pcpu" && rule.action == "deny")
                .unwrap_or_else(|| panic!("no rule about pcpu for {name}"))
                .amount;
            let may = percent as f64 / 100.0 * SLACK;
            if may >= processors as f64 {
                let why = format!("{processors} are too few to see a limit of {percent}%");
                return not_given("a measured limit on processors", why);
            }
            let (begin, before) = (Instant::now(), system::processor_seconds(&name));
            std::thread::sleep(WATCH);
            let used = (system::processor_seconds(&name) - before) as f64;
            // Seconds are told in whole numbers.
            let most = begin.elapsed().as_secs_f64() * may + 1.0;
            assert!(used <= most, "{used} s of at most {most} s");
        });
    });
}
