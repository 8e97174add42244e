//! The subcommands that inspect and control a running server.
//!
//! Invariants: each change is printed, and an error says what to do.

mod args;
mod cache;
mod client;
mod failed;
mod ips;
mod kill;
mod local;
mod ps;
pub(super) mod server;
mod stats;
mod table;
mod token;
mod units;
mod unix;
mod warm;

use std::process::ExitCode;

use clap::Subcommand;

use self::args::ServerArgs;
use crate::cli::process::start_log;

#[derive(Subcommand)]
pub(super) enum Operate {
    /// List the islands of a running server, with their states and calls.
    #[command(
        after_help = "Example:\n  sky-island ps\n  sky-island ps --json --server islands.example.org:3281 --token-file token"
    )]
    Ps(ServerArgs),
    /// End islands of a running server; their calls answer 409.
    #[command(after_help = "Example:\n  sky-island kill 4711\n  sky-island kill --all")]
    Kill(kill::KillArgs),
    /// List the addresses of a running server, take an address out of its pool, or put it back.
    #[command(
        after_help = "Example:\n  sky-island ips\n  sky-island ips set 10.9.0.7 unavailable",
        disable_help_subcommand = true
    )]
    Ips(ips::IpsArgs),
    /// List the sources and programs in the caches of a running server, or delete them.
    #[command(
        after_help = "Example:\n  sky-island cache\n  sky-island cache clear",
        disable_help_subcommand = true
    )]
    Cache(cache::CacheArgs),
    /// Print the state of a running server: answers, stages of calls, islands, caches.
    #[command(after_help = "Example:\n  sky-island stats")]
    Stats(ServerArgs),
    /// Let a running server fetch, build and keep islands warm for a call to come.
    #[command(
        after_help = "Example:\n  sky-island warm github.com/mmcloughlin/geohash 'Encode(100.1, 80.9)'"
    )]
    Warm(warm::WarmArgs),
}

pub(super) fn run(command: &Operate) -> ExitCode {
    start_log("warn");
    let done = match command {
        Operate::Ps(args) => ps::run(args),
        Operate::Kill(args) => kill::run(args),
        Operate::Ips(args) => ips::run(args),
        Operate::Cache(args) => cache::run(args),
        Operate::Stats(args) => stats::run(args),
        Operate::Warm(args) => warm::run(args),
    };
    done.unwrap_or_else(|failed| failed.exit())
}
