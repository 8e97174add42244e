//! `sky-island serve`.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use clap::Args;

use super::overrides::Overrides;
use super::{ConfigArgs, complain, config_status, runtime, start_log, status};
use crate::config::Inputs;

#[derive(Args, Default)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    overrides: Overrides,
}

impl ServeArgs {
    /// As `-c` alone has it.
    pub(super) fn with_file(config: Option<PathBuf>) -> Self {
        Self { config: ConfigArgs { config }, overrides: Overrides::default() }
    }
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let inputs = Inputs::of_process(args.config.config.as_deref(), args.overrides.into());
    let settings = match inputs.read() {
        Ok(settings) => settings,
        Err(error) => return config_status(&error),
    };
    start_log("info");
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    let Some(runtime) = runtime() else { return ExitCode::from(status::OURS) };
    let served = runtime.block_on(async {
        let stop = stop_signal().inspect_err(|error| complain(error)).ok()?;
        // Caught from here on: one that comes before the server is ready has the file read once more when it is.
        let hangup = signal(SignalKind::hangup()).inspect_err(|error| complain(error)).ok()?;
        crate::server::serve(settings, hangup, stop).await.inspect_err(|error| complain(error)).ok()
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
