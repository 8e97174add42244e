//! `sky-island serve`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::{complain, runtime, start_log, status};
use crate::config::Config;
use crate::server::{Ended, Orders, Successor, serve};

/// How long what still runs in the background may take before the program ends, or becomes another.
const RUNTIME_WAIT: Duration = Duration::from_secs(5);

/// Serves with a configuration, which was read from `path`.
pub(super) fn run(config: Config, path: Option<&Path>) -> ExitCode {
    start_log("info");
    // Asked before it can have been replaced by another one.
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            complain(&error);
            return ExitCode::from(status::OURS);
        }
    };
    let successor = Successor { program, config: path.map(PathBuf::from) };
    let Some(runtime) = runtime() else { return ExitCode::from(status::OURS) };
    let served = runtime.block_on(async {
        let orders = Orders::catch().inspect_err(|error| complain(error)).ok()?;
        serve(&config, &successor, orders).await.inspect_err(|error| complain(error)).ok()
    });
    runtime.shutdown_timeout(RUNTIME_WAIT);
    match served {
        Some(Ended::Stopped) => ExitCode::SUCCESS,
        Some(Ended::PassedOn(sockets)) => {
            // Comes back only with an error.
            let Err(error) = sockets.pass_on(&successor.program);
            complain(&error);
            ExitCode::from(status::OURS)
        }
        None => ExitCode::from(status::OURS),
    }
}
