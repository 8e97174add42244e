//! `sky-island fetch-worker`: what runs on a fetch island. A job comes in as JSON, its answer goes out.

use std::process::ExitCode;

use super::{complain, status};
use crate::source::{Job, worker};

pub(super) fn run() -> ExitCode {
    let answer =
        serde_json::from_reader::<_, Job>(std::io::stdin().lock()).map(|job| worker::run(&job));
    let written =
        answer.and_then(|answer| serde_json::to_writer(std::io::stdout().lock(), &answer));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(status::OURS)
        }
    }
}
