//! Finds this host's server by its state directory.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::server::state::{LockHolder, holder};

use crate::cli::operate::server::{BadServer, Server};

/// How long a server that starts is waited for, and how often it is looked for.
const WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// This host has no server that can be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoServer {
    /// The directory is somebody else's.
    #[error(
        "whether a server runs cannot be seen in its state directory {0}; run this as root or as the server's user, or \
         name a server by --server and its token by --token-file"
    )]
    Hidden(PathBuf, #[source] io::Error),
    /// Nobody has the directory.
    #[error(
        "no server runs with the state directory {0}; start one with `sky-island serve`, name the configuration of the \
         one that runs by -c, or name a server by --server"
    )]
    None(PathBuf),
    /// Whoever has the directory does not serve.
    #[error(
        "what uses the state directory {0} does not serve: a call without a server, or a server that starts or stops; try \
         again when it is done, or name a server by --server"
    )]
    Silent(PathBuf),
    /// What it says is of another version.
    #[error(
        "the server of the state directory {0} does not say where it listens; name it by --server"
    )]
    Unknown(PathBuf, #[source] BadServer),
}

/// The server that has this state directory.
pub(super) fn find(state: &Path) -> Result<Server, NoServer> {
    let began = Instant::now();
    loop {
        match holder(state).map_err(|error| NoServer::Hidden(state.into(), error))? {
            LockHolder::Nobody => return Err(NoServer::None(state.into())),
            LockHolder::Server(place) => {
                return place.parse().map_err(|error| NoServer::Unknown(state.into(), error));
            }
            LockHolder::Silent if began.elapsed() > WAIT => {
                return Err(NoServer::Silent(state.into()));
            }
            LockHolder::Silent => std::thread::sleep(POLL),
        }
    }
}
