//! The subcommands that look at a running server and steer it.
//!
//! What must always hold: what is done is said, and an error says what to do about it.

mod cache;
mod client;
mod ips;
mod kill;
mod local;
mod ps;
mod server;
mod stats;
mod table;
mod token;
mod units;
mod unix;
mod warm;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;
use ureq::http::HeaderName;

use self::client::{AskError, Client};
use self::local::NoServer;
pub(super) use self::server::{BadServer, Server};
use ::server::config::ConfigError;

use self::token::NoToken;
use super::{complain, config_status, start_log, status};

#[derive(Subcommand)]
pub(super) enum Operate {
    /// List the islands of a running server, and what they do.
    #[command(
        after_help = "Example:\n  sky-island ps\n  sky-island ps --json --server islands.example.org:3281 --token-file token"
    )]
    Ps(ServerArgs),
    /// End islands of a running server; their calls answer 409.
    #[command(after_help = "Example:\n  sky-island kill 4711\n  sky-island kill --all")]
    Kill(kill::KillArgs),
    /// List the addresses of a running server, or take one out of its pool or put it back.
    #[command(
        after_help = "Example:\n  sky-island ips\n  sky-island ips set 10.9.0.7 unavailable",
        disable_help_subcommand = true
    )]
    Ips(ips::IpsArgs),
    /// List what a running server keeps of sources and programs, or let go of it.
    #[command(
        after_help = "Example:\n  sky-island cache\n  sky-island cache clear",
        disable_help_subcommand = true
    )]
    Cache(cache::CacheArgs),
    /// Say how a running server is doing: answers, stages of calls, islands, caches.
    #[command(after_help = "Example:\n  sky-island stats")]
    Stats(ServerArgs),
    /// Have a running server fetch, build and hold islands ready for a call to come.
    #[command(
        after_help = "Example:\n  sky-island warm github.com/mmcloughlin/geohash 'Encode(100.1, 80.9)'"
    )]
    Warm(warm::WarmArgs),
}

/// Which server, what opens it, and how its answer is shown.
#[derive(Args)]
pub(super) struct ServerArgs {
    /// The server: http(s)://HOST:PORT, HOST:PORT or unix:/PATH; without it SKY_ISLAND_SERVER names one, or it is this
    /// host's.
    #[arg(long, value_name = "SERVER", global = true)]
    server: Option<Server>,
    /// The file that has its token; without it the configuration has it, or the state directory.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// The configuration file of this host's server; without it SKY_ISLAND_CONFIG names one, or there is none.
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print the server's answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// What keeps a subcommand from doing what it is for.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("SKY_ISLAND_SERVER in the environment")]
    Variable(#[source] BadServer),
    #[error("admin_token_header: {0:?} is no name of a header")]
    Header(String),
    #[error(transparent)]
    Server(#[from] NoServer),
    #[error(transparent)]
    Token(#[from] NoToken),
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The beginning of an id that several entries have.
    #[error(
        "{0} is the beginning of {1} ids in the caches; give more of it, or all as `sky-island cache --json` has it"
    )]
    Ambiguous(String, usize),
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

impl Failed {
    /// Says what is wrong, and whose fault that is.
    fn exit(&self) -> ExitCode {
        if let Self::Config(error) = self {
            return config_status(error);
        }
        complain(self);
        ExitCode::from(match self {
            Self::Ask(AskError::Refused { status, .. }) => *status,
            Self::Server(_) | Self::Ask(AskError::Silent { .. } | AskError::Foreign { .. }) => {
                status::OURS
            }
            Self::Token(error) if error.is_hosts() => status::OURS,
            _ => status::USAGE,
        })
    }
}

impl ServerArgs {
    fn client(&self) -> Result<Client, Failed> {
        let settings = super::settings(self.config.as_deref())?;
        let config = settings.config();
        let named = match &self.server {
            Some(server) => Some(server.clone()),
            None => Server::of_environment().map_err(Failed::Variable)?,
        };
        let server = match named {
            Some(server) => server,
            None => local::find(&config.state_dir())?,
        };
        let header = config.admin_token_header.as_deref().unwrap_or(::server::http::HEADER);
        let header = HeaderName::from_bytes(header.as_bytes())
            .map_err(|_| Failed::Header(header.to_owned()))?;
        let token = token::find(self.token_file.as_deref(), &settings, &server)?;
        Ok(Client { server, header, token })
    }

    /// Prints an answer: as it is, or what a person reads in it.
    fn show(
        &self,
        client: &Client,
        answer: Value,
        read: impl FnOnce(&Client, Value) -> Result<String, AskError>,
    ) -> Result<ExitCode, Failed> {
        let text = if self.json { format!("{answer:#}\n") } else { read(client, answer)? };
        print(&text);
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints to whoever reads, who may have enough of it, as head(1) does.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
