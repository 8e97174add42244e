//! `sky-island serve`.

use std::future::Future;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::{complain, runtime, status};
use crate::config::Config;
use crate::log;

pub(super) fn run(config: Config) -> ExitCode {
    if let Err(error) = log::start(config.log.level.as_str(), config.log.file.as_deref()) {
        complain(&error);
        return ExitCode::from(status::USAGE);
    }
    log::panics();
    let Some(runtime) = runtime() else { return ExitCode::from(status::OURS) };
    let served = runtime.block_on(async {
        let stop = stop_signal().inspect_err(|error| complain(error)).ok()?;
        // Nobody's terminal is the server's, and whoever turns its log over may signal it instead of its supervisor: caught
        // from here to the end.
        reopen_on_hangup().inspect_err(|error| complain(error)).ok()?;
        crate::server::serve(&config, stop).await.inspect_err(|error| complain(error)).ok()
    });
    served.map_or(ExitCode::from(status::OURS), |()| ExitCode::SUCCESS)
}

/// Catches SIGTERM and SIGINT from now on. The future resolves at the first one, be it from before the server was ready;
/// the second one ends the program, whose launchers then end all islands.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, stop) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        // Without a receiver the server ends already.
        let _ = sender.send(());
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(i32::from(status::OURS));
    });
    Ok(async move {
        // The sender is kept until it is used.
        let _ = stop.await;
    })
}

/// Opens the log's file anew at each SIGHUP from now on.
fn reopen_on_hangup() -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if let Err(error) = log::reopen() {
                let reason = crate::causes::chain(&error);
                tracing::warn!(%reason, "the log stays in the file that was open");
            }
        }
    });
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
