//! The program that takes over when a server hands its sockets over, and whether it could start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use common::causes::chain;
use nix::unistd::{AccessFlags, access};
use tokio::process::Command;
use tokio::time::timeout;

use crate::config::ConfigError;
use crate::config::Inputs;
use crate::listen::{Tls, TlsError};

/// How long the new program may take to prove that it could serve.
const PROOF_WAIT: Duration = Duration::from_secs(30);
/// How much of what the new program says goes to the log, in characters.
const SAID_CHARS: usize = 2000;
/// The subcommand that serves, and the option that has it prove itself instead.
const SERVE: &str = "serve";
const PROVE: &str = "--prove";
/// Variables of the service manager, which are about this process.
const OF_THIS_PROCESS: [&str; 6] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

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
    #[error("{0} could not serve here: {1}")]
    Proof(PathBuf, String),
    #[error("{0} did not say within {PROOF_WAIT:?} that it could serve")]
    Late(PathBuf),
}

impl Successor {
    /// Whether the successor could start, as far as this process can tell. Where it could not, the
    /// log says why.
    pub(super) async fn could_start(&self) -> bool {
        let checked = match self.check() {
            Ok(()) => self.prove().await,
            unusable => unusable,
        };
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

    /// Runs the new program beside this one, without serving: it reads the configuration, finds the
    /// toolchain, starts launchers and makes an island.
    async fn prove(&self) -> Result<(), CannotStart> {
        let failed = |error| CannotStart::Program(self.program.clone(), error);
        let mut command = Command::new(&self.program);
        command.args(proof_arguments(std::env::args_os())).stdin(Stdio::null()).kill_on_drop(true);
        for name in OF_THIS_PROCESS {
            command.env_remove(name);
        }
        let Ok(output) = timeout(PROOF_WAIT, command.output()).await else {
            return Err(CannotStart::Late(self.program.clone()));
        };
        let output = output.map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said: String = String::from_utf8_lossy(&said).trim().chars().take(SAID_CHARS).collect();
        let reason = if said.is_empty() { output.status.to_string() } else { said };
        Err(CannotStart::Proof(self.program.clone(), reason))
    }
}

/// The arguments of a proof, from those of this process. `sky-island -c FILE` serves too.
fn proof_arguments(own: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = own.skip(1).collect();
    if arguments.first().is_none_or(|first| first != SERVE) {
        arguments.insert(0, SERVE.into());
    }
    arguments.push(PROVE.into());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_has_the_arguments_of_the_server() {
        for (own, expected) in [
            ("sky-island serve -c a.json --listen :1", "serve -c a.json --listen :1 --prove"),
            ("sky-island -c a.json", "serve -c a.json --prove"),
            ("sky-island", "serve --prove"),
        ] {
            let arguments = proof_arguments(own.split(' ').map(OsString::from));
            let expected: Vec<_> = expected.split(' ').map(OsString::from).collect();
            assert_eq!(arguments, expected, "{own}");
        }
    }
}
