//! What a function may use, and what becomes of one that wants more.

use std::time::Duration;

use island::{Ending, Outcome, Spec};
use serde::Deserialize;

use super::host::{Host, here, not_given, promise};
use super::platform;

/// A deadline for what is to meet it.
const SHORT: Duration = Duration::from_millis(500);

fn within(host: &Host, deed: &[&str], narrow: impl FnOnce(&mut Spec)) -> Outcome {
    let mut spec: Spec = host.function(deed);
    narrow(&mut spec);
    host.run(&spec)
}

#[test]
fn a_function_that_takes_memory_without_end_is_ended_for_it() {
    promise(|host| {
        for deed in ["allocate", "allocate-in-threads"] {
            let outcome = within(host, &[deed], |spec| spec.setup.resources.memory = 96 << 20);
            let stderr = String::from_utf8_lossy(&outcome.stderr);
            // Refused a page, Go's runtime may crash before it can say so.
            match (outcome.ending, host.lacks("memory limit")) {
                (Ending::Exited(2), Some(why)) if stderr.starts_with("SIGSEGV") => {
                    not_given("the reason for each end by want of memory", why);
                }
                (ending, _) => assert_eq!(ending, Ending::Memory, "{deed}: {stderr:.300}"),
            }
        }
    });
}

#[test]
fn a_function_has_the_memory_that_it_may_and_no_more() {
    promise(|host| {
        for (mebibytes, enough) in [(64, true), (320, false)] {
            let deed = ["allocate-some", &format!("{mebibytes}")];
            let outcome = within(host, &deed, |spec| spec.setup.resources.memory = 192 << 20);
            let expected = if enough { Ending::Exited(0) } else { Ending::Memory };
            let stderr = String::from_utf8_lossy(&outcome.stderr);
            match host.lacks("memory limit") {
                Some(why) if stderr.starts_with("SIGSEGV") => {
                    not_given("the reason for each end by want of memory", why);
                }
                _ => assert_eq!(outcome.ending, expected, "{mebibytes}: {stderr:.300}"),
            }
        }
    });
}

#[test]
fn the_processes_of_a_function_share_one_limit_of_memory() {
    promise(|host| {
        if let Some(why) = host.lacks("memory limit") {
            return not_given("one limit of memory for all processes of a function", why);
        }
        // Twelve children of 16 MiB each are too much only together.
        let together = &["hold-in-children", "12", "16"][..];
        for deed in [&["allocate-in-children"][..], &["allocate-shared"], together] {
            let outcome = within(host, deed, |spec| spec.setup.resources.memory = 96 << 20);
            if let Err(why) = platform::is_want_of_memory(outcome.ending) {
                not_given("the reason for each end by want of memory", why);
            }
            assert!(outcome.run < here(platform::DEADLINE) / 2, "{deed:?}: {:?}", outcome.run);
        }
    });
}

#[test]
fn what_a_function_keeps_in_its_tmp_counts_as_its_memory() {
    promise(|host| {
        let lacks = host.lacks("memory limit");
        if let Some(why) = lacks.as_deref().or(platform::TMP_IS_MEMORY.err()) {
            return not_given("a limit of memory that counts /tmp", why);
        }
        let outcome = within(host, &["fill", "/tmp/large"], |spec| {
            (spec.setup.resources.memory, spec.setup.resources.tmp) = (64 << 20, 512 << 20);
        });
        assert_eq!(outcome.ending, Ending::Memory);
    });
}

#[test]
fn a_function_has_no_more_processes_than_it_may() {
    promise(|host| {
        let outcome =
            within(host, &["fork-until-refused"], |spec| spec.setup.resources.processes = 20);
        assert_eq!(outcome.ending, Ending::Exited(0));
        let started: u64 = number(&outcome);
        assert!((5..20).contains(&started), "{started}");
    });
}

#[test]
fn a_function_has_no_more_threads_than_it_may() {
    promise(|host| {
        let outcome = within(host, &["thread-bomb"], |spec| spec.setup.resources.processes = 20);
        assert_eq!(outcome.ending, Ending::Exited(2));
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        assert!(stderr.contains("failed to create new OS thread"), "{stderr:.300}");
    });
}

#[test]
fn a_fork_bomb_ends_at_its_deadline() {
    promise(|host| {
        let outcome = within(host, &["fork-bomb"], |spec| spec.bounds.deadline = SHORT);
        assert_eq!(outcome.ending, Ending::Deadline);
    });
}

#[test]
fn a_function_that_prints_without_end_is_ended_for_it() {
    promise(|host| {
        let most = 300_000;
        for pipe in ["stdout", "stderr"] {
            let outcome = within(host, &["flood", pipe], |spec| spec.bounds.output = most);
            assert_eq!(outcome.ending, Ending::Output, "{pipe}");
            let (stdout, stderr) = (outcome.stdout.len() as u64, outcome.stderr.len() as u64);
            assert_eq!(stdout.max(stderr), most, "{pipe}");
        }
    });
}

#[test]
fn a_function_that_does_not_end_is_ended_at_its_deadline() {
    promise(|host| {
        for deed in [&["spin"][..], &["sleep", "60000"], &["ignore-signals"]] {
            let outcome = within(host, deed, |spec| spec.bounds.deadline = SHORT);
            assert_eq!(outcome.ending, Ending::Deadline, "{deed:?}");
        }
    });
}

#[test]
fn a_function_that_closes_its_output_and_goes_on_meets_the_same_deadline() {
    promise(|host| {
        let outcome =
            within(host, &["close-and-go-on", "0", "60000"], |spec| spec.bounds.deadline = SHORT);
        assert_eq!(outcome.ending, Ending::Deadline);
        // Closing late gains nothing: the deadline counts from the start.
        let deadline = Duration::from_millis(1500);
        let outcome = within(host, &["close-and-go-on", "1000", "1200"], |spec| {
            spec.bounds.deadline = deadline
        });
        assert_eq!(outcome.ending, Ending::Deadline);
    });
}

#[test]
fn a_function_leaves_no_core() {
    #[derive(Deserialize)]
    struct Limit {
        current: u64,
        most: u64,
        error: String,
    }
    promise(|host| {
        let found: Limit = host.ask(&["core-limit"]);
        assert_eq!((found.current, found.most, found.error.as_str()), (0, 0, "done"));
    });
}

#[test]
fn a_function_opens_a_bounded_number_of_files() {
    promise(|host| {
        let outcome = host.run(&host.function(&["open-files"]));
        let opened: u64 = number(&outcome);
        assert!((100..=1024).contains(&opened), "{opened}");
    });
}

#[test]
fn one_function_does_not_use_up_what_all_users_of_the_host_share() {
    promise(|host| {
        for (deed, most) in platform::SHARED_TABLES {
            let taken: u64 = host.ask(&[deed, "0"]);
            // Without rules, a function can take the one terminal that RLIMIT_NPTS must allow.
            let spare = u64::from(host.lacks("terminal limit").is_some());
            assert!(taken <= *most + spare, "{deed}: {taken}");
        }
    });
}

fn number(outcome: &Outcome) -> u64 {
    let text = String::from_utf8_lossy(&outcome.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{outcome:?}"))
}
