//! `sky-island fetch-worker` and `build-worker`: the programs of fetch and build islands. Each
//! reads its job as JSON.

use std::io::Read;
use std::process::ExitCode;

use fetch_job::FetchJob;

use crate::cli::process::complain;
use crate::cli::status;

/// Runs a fetch job, and prints its answer as JSON.
pub(super) fn fetch() -> ExitCode {
    let answer = serde_json::from_reader::<_, FetchJob>(std::io::stdin().lock())
        .map(|job| fetch_worker::run(&job));
    let written =
        answer.and_then(|answer| serde_json::to_writer(std::io::stdout().lock(), &answer));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(status::SERVER)
        }
    }
}

/// Replays a build trace, and exits as its last command did.
pub(super) fn build() -> ExitCode {
    let mut trace = Vec::new();
    let read = std::io::stdin().read_to_end(&mut trace).map_err(Into::into);
    match read.and_then(|_| server::compile::replay(&trace)) {
        Ok(code) => {
            let code = code.and_then(|code| u8::try_from(code).ok());
            ExitCode::from(code.unwrap_or(status::SERVER))
        }
        Err(error) => {
            complain(&error);
            ExitCode::from(status::SERVER)
        }
    }
}
