//! The options of subcommands that ask a running server: the server, its token, and the form of the
//! output.

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

/// The server, its token, and the form of the output.
#[derive(Args)]
pub(crate) struct ServerArgs {
    /// The server: http(s)://HOST:PORT, HOST:PORT or unix:/PATH; without --server,
    /// SKY_ISLAND_SERVER names the server, or the server of this host is used.
    #[arg(long, value_name = "SERVER", global = true)]
    server: Option<Server>,
    /// The file with the server's token; without it, the token comes from the configuration or the
    /// state directory.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// The configuration file of this host's server; without -c, SKY_ISLAND_CONFIG names the file,
    /// or no file is read.
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

    /// Prints an answer: as JSON, or as `read` renders it for people.
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

/// Prints to stdout. A reader that stops early, such as head(1), is not an error.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
