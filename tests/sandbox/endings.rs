//! What the caller learns of an end, and what is left after it.

use island::Ending;

use super::host::promise;

#[test]
fn a_functions_own_status_and_words_reach_the_caller() {
    promise(|host| {
        for status in [0, 1, 2, 3, 7, 124, 125, 126, 127, 255] {
            let outcome = host.run(&host.function(&["exit", &status.to_string()]));
            assert_eq!(outcome.ending, Ending::Exited(status));
            assert_eq!(
                (&outcome.stdout[..], &outcome.stderr[..]),
                (&b"said"[..], &b"complained"[..])
            );
        }
    });
}

#[test]
fn a_panic_reaches_the_caller_with_its_text() {
    promise(|host| {
        let outcome = host.run(&host.function(&["panic"]));
        assert_eq!(outcome.ending, Ending::Exited(2));
        assert!(String::from_utf8_lossy(&outcome.stderr).contains("panic: out of a function"));
    });
}

#[test]
fn the_signal_that_a_function_died_of_reaches_the_caller() {
    promise(|host| {
        let outcome = host.run(&host.function(&["die-of-a-fault"]));
        assert_eq!(outcome.ending, Ending::Signaled(libc::SIGSEGV));
    });
}

#[test]
fn a_function_that_kills_itself_ends_and_harms_no_other() {
    promise(|host| {
        let outcome = host.run(&host.function(&["kill-itself"]));
        let spared = Ending::Exited(7);
        assert!([spared, Ending::Signaled(libc::SIGKILL)].contains(&outcome.ending), "{outcome:?}");
        let outcome = host.run(&host.function(&["exit", "0"]));
        assert_eq!(outcome.ending, Ending::Exited(0));
    });
}

#[test]
fn a_function_reads_its_input_and_then_its_end() {
    promise(|host| {
        let mut spec = host.function(&["echo"]);
        spec.stdin = (0..=255).cycle().take(300_000).collect();
        let outcome = host.run(&spec);
        assert_eq!(outcome.ending, Ending::Exited(0));
        assert!(outcome.stdout == spec.stdin);
        spec.stdin.clear();
        assert!(host.run(&spec).stdout.is_empty());
    });
}
