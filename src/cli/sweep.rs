//! `sky-island sweep`: removes what a crash left behind, on a FreeBSD host on which no server runs.

use std::process::ExitCode;

use island::sweep;
use server::config::Config;
use server::state::State;

use crate::cli::process::complain;
use crate::cli::process::runtime;
use crate::cli::process::start_log;
use crate::cli::status;

pub(super) fn run(config: Config) -> ExitCode {
    start_log("warn");
    if cfg!(not(target_os = "freebsd")) {
        println!(
            "nothing to sweep: on this host islands end with their server, and the next start removes the rest"
        );
        return ExitCode::SUCCESS;
    }
    match swept(&config) {
        Ok(clean) if clean => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(status::SERVER),
        Err(error) => {
            complain(&*error);
            ExitCode::from(status::SERVER)
        }
    }
}

/// Removes what is left behind; whether nothing remains.
fn swept(config: &Config) -> Result<bool, Box<dyn std::error::Error>> {
    // The lock of the state directory: a running server has it, and no server starts without it.
    let _state = State::open(config.state_dir())?;
    let options = config.island_options(None, 0)?;
    let runtime = runtime().ok_or("the sweep could not start")?;
    let swept = runtime.block_on(sweep(&options))?;
    for island in &swept.gone {
        println!("removed: {island}");
    }
    for island in &swept.busy {
        println!("still busy, run sweep again: {island}");
    }
    for dataset in &swept.foreign {
        println!("foreign, left alone: {dataset}");
    }
    if swept.gone.is_empty() && swept.busy.is_empty() {
        println!("nothing was left behind");
    }
    Ok(swept.busy.is_empty())
}
