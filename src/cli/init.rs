//! `sky-island init` and `sky-island destroy`: a FreeBSD host prepared, and freed of that again.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use host::exec::Host;
use server::config::Config;
use server::init::{Init, InitError, Teller};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::check;
use crate::cli::process::complain;
use crate::cli::process::runtime;
use crate::cli::process::start_log;
use crate::cli::settings::ConfigArgs;
use crate::cli::settings::with_config;
use crate::cli::status;

/// How long a thread may take to notice that it was told to stop.
const STOP: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(super) struct DestroyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Remove it, and do not only say what would be removed.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(config: Config) -> ExitCode {
    if !cfg!(target_os = "freebsd") {
        println!(
            "A FreeBSD host is prepared by init; this host needs no preparation. What it can do:"
        );
        return check::check(&config, false);
    }
    with_init(&config, async |init| {
        init.run().await?;
        println!("this host is prepared; `sky-island check` says what it can do");
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn destroy(args: DestroyArgs) -> ExitCode {
    with_config(args.config.config.as_deref(), |config| {
        if !cfg!(target_os = "freebsd") {
            println!("init makes nothing on this host, so there is nothing to remove");
            return ExitCode::SUCCESS;
        }
        with_init(&config, async |init| {
            if args.yes {
                init.destroy().await?;
                println!("what init made is gone");
                return Ok(ExitCode::SUCCESS);
            }
            let removals = init.removals().await?;
            if removals.is_empty() {
                println!("there is nothing that init made");
                return Ok(ExitCode::SUCCESS);
            }
            for removal in &removals {
                println!("{removal}");
            }
            println!("nothing was removed; with --yes, all of these are");
            Ok(ExitCode::from(status::USAGE))
        })
    })
}

/// Does something with the host until it is done or a signal comes.
fn with_init(
    config: &Config,
    work: impl AsyncFnOnce(&Init) -> Result<ExitCode, InitError>,
) -> ExitCode {
    start_log("warn");
    let wanted = match config.wanted() {
        Ok(wanted) => wanted,
        Err(error) => {
            complain(&error);
            return ExitCode::from(status::USAGE);
        }
    };
    let Some(runtime) = runtime() else { return ExitCode::from(status::OURS) };
    let init = Init::new(wanted, Arc::new(Host), Teller::of_process());
    let result = runtime.block_on(async {
        tokio::select! {
            result = work(&init) => result.unwrap_or_else(|error| {
                complain(&error);
                ExitCode::from(status::OURS)
            }),
            () = interrupted() => {
                eprintln!("sky-island: interrupted; run it again to go on");
                ExitCode::from(status::OURS)
            }
        }
    });
    runtime.shutdown_timeout(STOP);
    result
}

/// Resolves at the first SIGTERM, SIGINT or SIGHUP: then the work is dropped, and its command killed with it.
async fn interrupted() {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
