//! Which server a subcommand asks, its token, and how its answer is printed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use ureq::http::HeaderName;

use crate::cli::operate::client::{AskError, Client};
use crate::cli::operate::failed::Failed;
use crate::cli::operate::server::Server;
use crate::cli::operate::{local, token};
use crate::cli::settings::settings;

/// Which server, what opens it, and how its answer is shown.
#[derive(Args)]
pub(crate) struct ServerArgs {
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
    pub(super) json: bool,
}

impl ServerArgs {
    pub(super) fn client(&self) -> Result<Client, Failed> {
        let settings = settings(self.config.as_deref())?;
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
    pub(super) fn show(
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

/// Prints to stdout. A reader that stops early, as head(1) does, is no error.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
