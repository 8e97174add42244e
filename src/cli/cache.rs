//! `sky-island cache-worker`: answers the go command's requests for its build cache, on build
//! islands of hosts whose kernel cannot lay the layers of the cache over each other.

use std::io::{BufReader, BufWriter};
use std::process::ExitCode;

use clap::Args;
use server::compile::cacheprog::{BUFFER, Layers, serve};

use crate::cli::process::complain;
use crate::cli::status;

#[derive(Args)]
pub(super) struct CacheArgs {
    /// The folder to write to.
    upper: String,
    /// The folders below it, the topmost first.
    lower: Vec<String>,
}

pub(super) fn run(args: CacheArgs) -> ExitCode {
    let layers = match Layers::new(args.upper, args.lower) {
        Ok(layers) => layers,
        Err(error) => {
            complain(&error);
            return ExitCode::from(status::USAGE);
        }
    };
    let input = BufReader::with_capacity(BUFFER, std::io::stdin().lock());
    match serve(&layers, input, BufWriter::new(std::io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(status::SERVER)
        }
    }
}
