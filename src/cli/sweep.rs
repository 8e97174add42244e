//! `sky-island sweep`: gives back what a crash left, on a FreeBSD host on which no server runs.

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
            "nothing to sweep: here islands end with their server, and the next start sees to the rest"
        );
        return ExitCode::SUCCESS;
    }
    match swept(&config) {
        Ok(clean) if clean => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(status::OURS),
        Err(error) => {
            complain(&*error);
            ExitCode::from(status::OURS)
        }
    }
}

/// Whether nothing is left.
fn swept(config: &Config) -> Result<bool, Box<dyn std::error::Error>> {
    // As long as this is held no server starts, and where one runs it holds it.
    let _state = State::open(config.state_dir())?;
    let options = config.island_options(None, 0)?;
    let runtime = runtime().ok_or("no runtime")?;
    let swept = runtime.block_on(sweep(&options))?;
    for island in &swept.gone {
        println!("gone: {island}");
    }
    for island in &swept.busy {
        println!("still busy, run sweep again: {island}");
    }
    for dataset in &swept.foreign {
        println!("not ours, left alone: {dataset}");
    }
    if swept.gone.is_empty() && swept.busy.is_empty() {
        println!("nothing was left");
    }
    Ok(swept.busy.is_empty())
}
