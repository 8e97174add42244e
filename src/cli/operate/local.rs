//! Finds this host's server by its state directory.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::server::state::{LockHolder, holder};

use crate::cli::operate::server::{BadServer, Server};

/// How long to wait for a server that is starting, and how often to look for it.
const WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// Why this host has no server to ask.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoServer {
    /// This user may not read the directory.
    #[error(
        "the state directory {0} cannot be read, so a server cannot be found there; run this command as root or as the \
         server's user, or name a server by --server and its token by --token-file"
    )]
    Hidden(PathBuf, #[source] io::Error),
    /// No process uses the directory.
    #[error(
        "no server runs with the state directory {0}; start a server with `sky-island serve`, name the configuration of a \
         running server by -c, or name a server by --server"
    )]
    None(PathBuf),
    /// The process that uses the directory does not serve.
    #[error(
        "a process that does not serve uses the state directory {0}: a call without a server, or a server that is starting \
         or stopping; try again when the process has ended, or name a server by --server"
    )]
    Silent(PathBuf),
    /// The server writes its address in another form.
    #[error(
        "the server with the state directory {0} does not say where it listens; name the server by --server"
    )]
    Unknown(PathBuf, #[source] BadServer),
}

/// The server that uses this state directory.
pub(super) fn find(state: &Path) -> Result<Server, NoServer> {
    let began = Instant::now();
    loop {
        match holder(state).map_err(|error| NoServer::Hidden(state.into(), error))? {
            LockHolder::None => return Err(NoServer::None(state.into())),
            LockHolder::Server(name) => {
                return name.parse().map_err(|error| NoServer::Unknown(state.into(), error));
            }
            LockHolder::Silent if began.elapsed() > WAIT => {
                return Err(NoServer::Silent(state.into()));
            }
            LockHolder::Silent => std::thread::sleep(POLL),
        }
    }
}
