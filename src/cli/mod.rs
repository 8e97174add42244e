//! The command line.

mod addresses;
mod cache;
mod call;
mod check;
mod init;
mod serve;
mod sweep;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError};

/// The exit statuses.
pub(crate) mod status {
    /// The function's fault, or its package's.
    pub(crate) const FUNCTION: u8 = 1;
    /// The command line's or the request's fault.
    pub(crate) const USAGE: u8 = 2;
    /// Ours, or the host's.
    pub(crate) const OURS: u8 = 3;
}

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
    Serve(ConfigArgs),
    /// Run one call and print what it answers.
    #[command(
        after_help = "Example:\n  sky-island call github.com/mmcloughlin/geohash 'Encode(100.1, 80.9)'"
    )]
    Call(call::CallArgs),
    /// Say what this host can isolate and limit, and what to do about the rest.
    #[command(after_help = "Example:\n  sky-island check")]
    Check(check::CheckArgs),
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
    /// Be a launcher of islands, on a socket that is stdin.
    #[command(hide = true)]
    Launcher,
    /// Fetch what the job on stdin says; runs on an island.
    #[command(hide = true)]
    FetchWorker,
    /// Answer the go command's questions for its build cache; runs on an island.
    #[command(hide = true)]
    CacheWorker(cache::CacheArgs),
}

#[derive(Args, Default)]
struct ConfigArgs {
    /// The configuration file; without it everything has its default.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    // An island's file modes must not depend on who started us.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    raise_descriptors();
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Launcher) => crate::island::run_launcher(),
        Some(Command::FetchWorker) => worker::run(),
        Some(Command::CacheWorker(args)) => cache::run(args),
        Some(Command::Serve(args)) => serve_with(args.config.as_deref()),
        Some(Command::Call(args)) => call::run(args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Sweep(args)) => with_config(args.config.as_deref(), sweep::run),
        Some(Command::Addresses(args)) => addresses::run(&args),
        Some(Command::Init(args)) => with_config(args.config.as_deref(), init::run),
        Some(Command::Destroy(args)) => init::destroy(args),
        None if cli.init => with_config(cli.config.as_deref(), init::run),
        None if cli.config.is_some() => serve_with(cli.config.as_deref()),
        None => {
            let _ = <Cli as clap::CommandFactory>::command().print_help();
            ExitCode::from(status::USAGE)
        }
    }
}

fn serve_with(path: Option<&Path>) -> ExitCode {
    with_config(path, |config| serve::run(config, path))
}

fn with_config(path: Option<&Path>, run: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match Config::load(path) {
        Ok(config) => run(config),
        Err(error) => config_status(&error),
    }
}

/// Says what is wrong with a configuration, and whose fault that is.
fn config_status(error: &ConfigError) -> ExitCode {
    complain(error);
    let unreadable = matches!(error, ConfigError::Read(..));
    ExitCode::from(if unreadable { status::OURS } else { status::USAGE })
}

/// Prints an error with its causes.
fn complain(error: &dyn std::error::Error) {
    eprintln!("sky-island: {}", crate::causes::chain(error));
}

/// Every call takes some descriptors; the soft limit is for programs that use select(2).
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        eprintln!("sky-island: the limit of open files stays low: {error}");
    }
}

fn runtime() -> Option<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.inspect_err(|error| complain(error)).ok()
}

/// Starts the log: for people on a terminal, as JSON elsewhere. `default` is the level where RUST_LOG sets none.
fn start_log(default: &str) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A log that was started before stays.
    if std::io::stderr().is_terminal() {
        let _ = log.try_init();
    } else {
        let _ = log.json().flatten_event(true).try_init();
    }
}
