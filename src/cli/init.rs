//! `sky-island init` and `sky-island destroy`: prepare a FreeBSD host, and undo it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use host::exec::Host;
use server::config::Config;
use server::init::{Init, InitError, Progress};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::check;
use crate::cli::process::complain;
use crate::cli::process::runtime;
use crate::cli::process::say;
use crate::cli::process::start_log;
use crate::cli::settings::ConfigArgs;
use crate::cli::settings::with_config;
use crate::cli::status;

/// How long a thread may take to end after a signal.
const STOP: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(super) struct DestroyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Remove everything that init made. Without --yes, only list it.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(config: Config) -> ExitCode {
    if !cfg!(target_os = "freebsd") {
        println!(
            "init prepares FreeBSD hosts; this host needs no preparation. The result of `sky-island check`:"
        );
        return check::check(&config, false);
    }
    with_init(&config, async |init| {
        init.run().await?;
        println!("this host is prepared; `sky-island check` prints what it can isolate and limit");
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn destroy(args: DestroyArgs) -> ExitCode {
    with_config(args.config.config.as_deref(), |config| {
        if !cfg!(target_os = "freebsd") {
            println!("nothing to remove: init makes nothing on this host");
            return ExitCode::SUCCESS;
        }
        with_init(&config, async |init| {
            if args.yes {
                init.destroy().await?;
                println!("everything that init made is removed");
                return Ok(ExitCode::SUCCESS);
            }
            let removals = init.removals().await?;
            if removals.is_empty() {
                println!("nothing to remove: init has made nothing here");
                return Ok(ExitCode::SUCCESS);
            }
            for removal in &removals {
                println!("{removal}");
            }
            println!("nothing was removed; --yes removes all of these");
            Ok(ExitCode::from(status::USAGE))
        })
    })
}

/// Runs work on the host until the work is done or a signal arrives.
fn with_init(
    config: &Config,
    work: impl AsyncFnOnce(&Init) -> Result<ExitCode, InitError>,
) -> ExitCode {
    start_log("warn");
    let wanted = match config.desired_state() {
        Ok(wanted) => wanted,
        Err(error) => {
            complain(&error);
            return ExitCode::from(status::USAGE);
        }
    };
    let Some(runtime) = runtime() else { return ExitCode::from(status::SERVER) };
    let init = Init::new(wanted, Arc::new(Host), Progress::of_process());
    let result = runtime.block_on(async {
        tokio::select! {
            result = work(&init) => result.unwrap_or_else(|error| {
                complain(&error);
                ExitCode::from(status::SERVER)
            }),
            () = interrupted() => {
                say(format_args!("sky-island: interrupted; run the command again to continue"));
                ExitCode::from(status::SERVER)
            }
        }
    });
    runtime.shutdown_timeout(STOP);
    result
}

/// Resolves at the first SIGTERM, SIGINT or SIGHUP. The work is then dropped, which kills its
/// command.
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
