//! What a function's timers are like on Linux, as /proc shows it.

use super::host::{alone, eventually};
use super::system;

#[test]
fn a_functions_timers_may_be_a_millisecond_late() {
    const NAME: &str = concat!(module_path!(), "::a_functions_timers_may_be_a_millisecond_late");
    alone(NAME, 0, |host| {
        let (islands, spec) = (host.islands.clone(), host.function(&["sleep", "60000"]));
        let run = host.runtime.spawn(async move { islands.run(&spec).await });
        eventually("the function runs", || system::functions().len() == 1);
        for function in system::functions() {
            assert_eq!(system::timer_slack(function).unwrap(), 1_000_000, "nanoseconds");
        }
        run.abort();
    });
}
