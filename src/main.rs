//! The program `sky-island`. Its command line is below `cli`, everything else in the crates.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::main()
}
