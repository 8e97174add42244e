//! `sky-island serve`.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{complain, runtime, start_log, status};
use crate::config::Config;

pub(super) fn run(config: Config) -> ExitCode {
    start_log("info");
    let Some(runtime) = runtime() else { return ExitCode::from(status::OURS) };
    let served = runtime.block_on(async {
        let stop = stop_signal();
        crate::server::serve(&config, stop).await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(status::OURS)
        }
    }
}

/// Resolves at the first SIGTERM or SIGINT; the second one ends the program, whose launchers then end all islands.
async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(i32::from(status::OURS));
    });
}
