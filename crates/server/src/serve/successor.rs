//! The program that takes over when a server hands its sockets over, and whether it could start.

use std::path::PathBuf;

use common::causes::chain;
use nix::unistd::{AccessFlags, access};

use crate::config::ConfigError;
use crate::config::Inputs;
use crate::listen::{Tls, TlsError};

/// The program that takes over: the one that is then at the path of this one, with the arguments of
/// this one.
#[derive(Clone, Debug)]
pub struct Successor {
    /// The path of the program.
    pub program: PathBuf,
    /// The inputs of its configuration.
    pub inputs: Inputs,
}

/// Why the successor could not start.
#[derive(Debug, thiserror::Error)]
enum CannotStart {
    #[error("{0} cannot be run; install the program there")]
    Program(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Successor {
    /// Whether the successor could start, as far as this process can tell. Where it could not, the
    /// log says why.
    pub(super) fn could_start(&self) -> bool {
        let checked = self.check();
        if let Err(error) = &checked {
            let reason = chain(error);
            tracing::error!(
                reason,
                "no hand-over: the new program could not start; the server goes on"
            );
        }
        checked.is_ok()
    }

    fn check(&self) -> Result<(), CannotStart> {
        access(&self.program, AccessFlags::X_OK)
            .map_err(|error| CannotStart::Program(self.program.clone(), error.into()))?;
        let settings = self.inputs.read()?;
        if let Some(tls) = &settings.config().tls {
            Tls::load(&tls.cert, &tls.key)?;
        }
        Ok(())
    }
}
