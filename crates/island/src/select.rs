//! Which backend makes the islands: the only file that knows which there are, and on which systems.
//!
//! A configuration with jails asks for jails, any other for namespaces.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use crate::backend::{Backend, Finding, Options, StartError};
use crate::freebsd::{self, FreeBsd};
#[cfg(target_os = "linux")]
use crate::linux::{self, Linux};

/// Starts the backend that the configuration asks for.
pub async fn choose(options: Options) -> Result<Arc<dyn Backend>, StartError> {
    match options.jails {
        Some(_) => Ok(FreeBsd::start(options).await?),
        None => namespaces(options).await,
    }
}

#[cfg(target_os = "linux")]
async fn namespaces(options: Options) -> Result<Arc<dyn Backend>, StartError> {
    Ok(Linux::start(options).await?)
}

#[cfg(not(target_os = "linux"))]
async fn namespaces(_: Options) -> Result<Arc<dyn Backend>, StartError> {
    let why = "namespaces need Linux; configure jails with jails.filesystem_dataset";
    Err(StartError::Unsupported(why.to_owned()))
}

/// What this host isolates and limits, for a host on which no backend starts.
pub async fn findings(options: &Options) -> Vec<Finding> {
    match options.jails {
        #[cfg(target_os = "linux")]
        None => linux::findings().await,
        _ => freebsd::findings(options).await,
    }
}

/// Whether islands can have addresses, found out without a change to this host; none where no pool
/// is configured.
pub async fn addresses(pools: &host::net::Pools) -> Option<Finding> {
    #[cfg(target_os = "linux")]
    return linux::network::finding(pools).await;
    #[cfg(not(target_os = "linux"))]
    return freebsd::addresses(pools).await;
}

/// Is a launcher of islands until the server goes away: the hidden subcommand `launcher`, whose
/// stdin is the socket.
pub fn run_launcher() -> ExitCode {
    #[cfg(target_os = "linux")]
    let ended = linux::launcher::run_on_stdin();
    #[cfg(target_os = "freebsd")]
    let ended = freebsd::launcher::run_on_stdin();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A stderr that is closed or full is no reason to panic.
            let _ = writeln!(
                std::io::stderr(),
                "sky-island launcher: {}",
                common::causes::chain(&error)
            );
            ExitCode::FAILURE
        }
    }
}
