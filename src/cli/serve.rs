//! `sky-island serve`.

use std::future::Future;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::{complain, runtime, start_log, status};
use crate::config::Config;

pub(super) fn run(config: Config) -> ExitCode {
    start_log("info");
    let Some(runtime) = runtime() else { return ExitCode::from(status::OURS) };
    let served = runtime.block_on(async {
        let stop = stop_signal().inspect_err(|error| complain(error)).ok()?;
        // Nobody's terminal is the server's, and whoever turns its log over may signal it instead of its supervisor:
        // caught from here to the end, and nothing comes of it.
        let _hangup = signal(SignalKind::hangup());
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

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
