//! The command line.

mod addresses;
mod cache;
mod call;
mod check;
mod completions;
mod config;
mod init;
mod operate;
mod overrides;
mod process;
mod request;
mod serve;
mod settings;
mod status;
mod sweep;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::process::{keep_children, keep_running_at_file_limit, raise_descriptors};
use self::settings::{ConfigArgs, with_config};

/// Any exported function of any public Go repository, one HTTP request away, each call in a sandbox
/// of its own.
#[derive(Parser)]
#[command(
    name = "sky-island",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Serve with this configuration file: the same as `serve -c`.
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prepare this host: the same as `init`.
    #[arg(short = 'i')]
    init: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Serve calls over HTTP.
    #[command(after_help = "Example:\n  sky-island serve -c config.json")]
    Serve(serve::ServeArgs),
    /// Run one call and print its answer.
    #[command(
        after_help = "Example:\n  sky-island call github.com/mmcloughlin/geohash 'Encode(100.1, 80.9)'"
    )]
    Call(call::CallArgs),
    #[command(flatten)]
    Operate(operate::Operate),
    /// Print what this host can isolate and limit, and what to do about the rest.
    #[command(after_help = "Example:\n  sky-island check")]
    Check(check::CheckArgs),
    /// Name the problems of a configuration, or print every value and where it is set.
    #[command(
        after_help = "Example:\n  sky-island config check -c config.json\n  sky-island config show -c config.json"
    )]
    Config(config::SettingsArgs),
    /// Remove what a crash left behind: jails, mounts, datasets, addresses.
    #[command(after_help = "Example:\n  sky-island sweep -c config.json")]
    Sweep(ConfigArgs),
    /// List the addresses that are taken out of the pools, take addresses out, or put them back.
    #[command(after_help = "Example:\n  sky-island addresses -c config.json --withdraw 10.9.0.7")]
    Addresses(addresses::AddressesArgs),
    /// Prepare this FreeBSD host: datasets, the base system, Go, the build jail. init can be run
    /// again at any time.
    #[command(after_help = "Example:\n  sky-island init -c config.json")]
    Init(ConfigArgs),
    /// Remove everything that init made on this FreeBSD host; without --yes, only list it.
    #[command(
        after_help = "Example:\n  sky-island destroy -c config.json\n  sky-island destroy -c config.json --yes"
    )]
    Destroy(init::DestroyArgs),
    /// Print a script with which a shell completes command lines of this program.
    #[command(
        after_help = "Example:\n  sky-island completions bash > /etc/bash_completion.d/sky-island"
    )]
    Completions(completions::CompletionsArgs),
    /// Launch islands for the server whose socket is stdin.
    #[command(hide = true)]
    Launcher,
    /// Run the fetch job on stdin; runs on an island.
    #[command(hide = true)]
    FetchWorker,
    /// Replay the build trace on stdin; runs on an island.
    #[command(hide = true)]
    BuildWorker,
    /// Answer the go command's requests for its build cache; runs on an island.
    #[command(hide = true)]
    CacheWorker(cache::CacheArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    // The modes of an island's files must not depend on the umask of the caller.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    raise_descriptors();
    keep_children();
    keep_running_at_file_limit();
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Launcher) => island::run_launcher(),
        Some(Command::FetchWorker) => worker::fetch(),
        Some(Command::BuildWorker) => worker::build(),
        Some(Command::CacheWorker(args)) => cache::run(args),
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Call(args)) => call::run(args),
        Some(Command::Operate(command)) => operate::run(&command),
        Some(Command::Completions(args)) => {
            completions::run(&args, &<Cli as clap::CommandFactory>::command())
        }
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Sweep(args)) => with_config(args.config.as_deref(), sweep::run),
        Some(Command::Addresses(args)) => addresses::run(&args),
        Some(Command::Init(args)) => with_config(args.config.as_deref(), init::run),
        Some(Command::Destroy(args)) => init::destroy(args),
        None if cli.init => with_config(cli.config.as_deref(), init::run),
        None if cli.config.is_some() => serve::run(serve::ServeArgs::with_file(cli.config)),
        None => {
            let _ = <Cli as clap::CommandFactory>::command().print_help();
            ExitCode::from(status::USAGE)
        }
    }
}
