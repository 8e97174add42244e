//! `sky-island cache-worker`: what runs on a build island where the kernel lays no build caches over each other. The go
//! command starts it and asks it for every entry.

use std::io::{BufReader, BufWriter};
use std::process::ExitCode;

use clap::Args;
use server::compile::cacheprog::{BUFFER, Layers, serve};

use crate::cli::process::complain;
use crate::cli::status;

#[derive(Args)]
pub(super) struct CacheArgs {
    /// The folder that is written.
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
            ExitCode::from(status::OURS)
        }
    }
}
