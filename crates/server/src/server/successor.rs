//! The program that takes over when a server makes place, and whether it could.

use std::path::PathBuf;

use common::causes::chain;
use nix::unistd::{AccessFlags, access};

use crate::config::ConfigError;
use crate::config::Inputs;
use crate::listen::{Tls, TlsError};

/// What takes over: the program that is in this one's place by then, with this one's arguments.
#[derive(Clone, Debug)]
pub struct Successor {
    /// Where it is.
    pub program: PathBuf,
    /// Where it gets its configuration from.
    pub inputs: Inputs,
}

/// Why it could not.
#[derive(Debug, thiserror::Error)]
enum CannotStart {
    #[error("{0} cannot be run")]
    Program(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Successor {
    /// Whether it could start, as far as that can be told from here; if not the log says why, and the server goes on.
    pub(super) fn could_start(&self) -> bool {
        let found = self.look();
        if let Err(unfit) = &found {
            tracing::error!(reason = chain(unfit), "nobody can take over; the server goes on");
        }
        found.is_ok()
    }

    fn look(&self) -> Result<(), CannotStart> {
        access(&self.program, AccessFlags::X_OK)
            .map_err(|error| CannotStart::Program(self.program.clone(), error.into()))?;
        let settings = self.inputs.read()?;
        if let Some(tls) = &settings.config().tls {
            Tls::load(&tls.cert, &tls.key)?;
        }
        Ok(())
    }
}
