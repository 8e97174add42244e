//! The FreeBSD backend, whole, on a model of a host: nothing is left and nothing is lost, whatever
//! goes wrong and when.
//!
//! The model keeps a FreeBSD 15 host's rules in memory and in a folder; this program is its
//! launcher as well. It needs neither FreeBSD nor root, so it runs with all other tests.

mod answers;
mod crashes;
mod crowd;
mod drops;
mod ends;
mod faults;
mod host;
mod jail_model;
mod lab;
mod launcher;
mod operator;
mod parts;
mod starts;
mod tables;
mod warm;

use std::process::ExitCode;

/// Makes trials of functions, by their names as sentences.
macro_rules! trials {
    ($($test:ident),+ $(,)?) => {
        vec![$(libtest_mimic::Trial::test(stringify!($test), || { $test(); Ok(()) })),+]
    };
}
use trials;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, jail_model] = &*words
        && word == "launcher"
    {
        return launcher::main(jail_model.as_ref());
    }
    let all = [
        answers::trials(),
        ends::trials(),
        faults::trials(),
        drops::trials(),
        crashes::trials(),
        crowd::trials(),
        warm::trials(),
        operator::trials(),
        parts::trials(),
        starts::trials(),
    ];
    let mut arguments = libtest_mimic::Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads.get_or_insert(6);
    lab::write_launcher();
    // The first runtime opens what all share.
    drop(lab::runtime());
    let before = descriptors();
    let conclusion = libtest_mimic::run(&arguments, all.into_iter().flatten().collect());
    let after = descriptors();
    lab::remove_launcher();
    if after > before && !conclusion.has_failed() {
        eprintln!("{before} descriptors were open before the tests, and {after} after them");
        return ExitCode::from(101);
    }
    conclusion.exit_code()
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/dev/fd").map_or(0, Iterator::count)
}
