//! `sky-island serve`: serves calls until a signal stops the server or hands over to another
//! program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use server::config::Inputs;
use server::log;
use server::serve::{Ended, Signals, Successor, serve};

use crate::cli::check::check;
use crate::cli::overrides::Overrides;
use crate::cli::process::complain;
use crate::cli::process::runtime;
use crate::cli::settings::ConfigArgs;
use crate::cli::settings::config_status;
use crate::cli::status;

/// How long background work may take to end before the program ends or hands over.
const RUNTIME_WAIT: Duration = Duration::from_secs(5);

#[derive(Args, Default)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    overrides: Overrides,
    /// Serve nothing: say on stdout why this program could not serve here.
    #[arg(long, hide = true)]
    prove: bool,
}

impl ServeArgs {
    /// The arguments of `sky-island -c`.
    pub(super) fn with_file(config: Option<PathBuf>) -> Self {
        Self { config: ConfigArgs { config }, overrides: Overrides::default(), prove: false }
    }
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let inputs = Inputs::of_process(args.config.config.as_deref(), args.overrides.into());
    let settings = match inputs.read() {
        Ok(settings) => settings,
        Err(error) => return config_status(&error),
    };
    if args.prove {
        return check(settings.config(), true);
    }
    let config = &settings.config().log;
    if let Err(error) = log::start(config.level.as_str(), config.file.as_deref()) {
        complain(&error);
        return ExitCode::from(status::USAGE);
    }
    log::panics();
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    // Read now, before an installation can replace the program's file.
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            complain(&error);
            return ExitCode::from(status::SERVER);
        }
    };
    let successor = Successor { program, inputs };
    let Some(runtime) = runtime() else { return ExitCode::from(status::SERVER) };
    let served = runtime.block_on(async {
        let signals = Signals::catch().inspect_err(|error| complain(error)).ok()?;
        serve(settings, &successor, signals).await.inspect_err(|error| complain(error)).ok()
    });
    runtime.shutdown_timeout(RUNTIME_WAIT);
    log::flush();
    match served {
        Some(Ended::Stopped) => ExitCode::SUCCESS,
        Some(Ended::HandedOver(sockets)) => {
            if let Err(error) = Signals::block() {
                complain(&error);
            }
            // Returns only with an error.
            let Err(error) = sockets.exec(&successor.program);
            complain(&error);
            ExitCode::from(status::SERVER)
        }
        None => ExitCode::from(status::SERVER),
    }
}
