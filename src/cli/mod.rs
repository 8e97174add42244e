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

use self::process::raise_descriptors;
use self::settings::{ConfigArgs, with_config};

/// Any exported function of any public Go repository, one HTTP request away, each call in a sandbox of its own.
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
    /// Serve with this configuration file, as `serve -c` does.
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prepare this host.
    #[arg(short = 'i')]
    init: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Serve calls over HTTP.
    #[command(after_help = "Example:\n  sky-island serve -c config.json")]
    Serve(serve::ServeArgs),
    /// Run one call and print what it answers.
    #[command(
        after_help = "Example:\n  sky-island call github.com/mmcloughlin/geohash 'Encode(100.1, 80.9)'"
    )]
    Call(call::CallArgs),
    #[command(flatten)]
    Operate(operate::Operate),
    /// Say what this host can isolate and limit, and what to do about the rest.
    #[command(after_help = "Example:\n  sky-island check")]
    Check(check::CheckArgs),
    /// Say what is wrong with a configuration, or what is in force and what set it.
    #[command(
        after_help = "Example:\n  sky-island config check -c config.json\n  sky-island config show -c config.json"
    )]
    Config(config::SettingsArgs),
    /// Give back what a crash left behind: jails, mounts, datasets, addresses.
    #[command(after_help = "Example:\n  sky-island sweep -c config.json")]
    Sweep(ConfigArgs),
    /// Say which addresses are taken out of the pools, take some out, or put them back.
    #[command(after_help = "Example:\n  sky-island addresses -c config.json --withdraw 10.9.0.7")]
    Addresses(addresses::AddressesArgs),
    /// Prepare this FreeBSD host: datasets, the base system, Go, the build jail. Can be run again at any time.
    #[command(after_help = "Example:\n  sky-island init -c config.json")]
    Init(ConfigArgs),
    /// Remove all that init made on this FreeBSD host; without --yes, say what that is.
    #[command(
        after_help = "Example:\n  sky-island destroy -c config.json\n  sky-island destroy -c config.json --yes"
    )]
    Destroy(init::DestroyArgs),
    /// Print what a shell needs to complete command lines of this program.
    #[command(
        after_help = "Example:\n  sky-island completions bash > /etc/bash_completion.d/sky-island"
    )]
    Completions(completions::CompletionsArgs),
    /// Be a launcher of islands, on a socket that is stdin.
    #[command(hide = true)]
    Launcher,
    /// Fetch what the job on stdin says; runs on an island.
    #[command(hide = true)]
    FetchWorker,
    /// Compile and link as the recipe on stdin says; runs on an island.
    #[command(hide = true)]
    BuildWorker,
    /// Answer the go command's questions for its build cache; runs on an island.
    #[command(hide = true)]
    CacheWorker(cache::CacheArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    // An island's file modes must not depend on who started us.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    raise_descriptors();
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
