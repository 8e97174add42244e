//! `sky-island addresses`: lists the addresses that are taken out of the pools, takes addresses out
//! and puts them back.

use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use host::net::{Pools, WithdrawalError, Withdrawals};
use server::config::Config;

use crate::cli::process::complain;
use crate::cli::process::start_log;
use crate::cli::settings::ConfigArgs;
use crate::cli::settings::with_config;
use crate::cli::status;

#[derive(Args)]
pub(super) struct AddressesArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Take an address out of its pool; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    withdraw: Vec<IpAddr>,
    /// Put an address back into its pool; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    restore: Vec<IpAddr>,
}

pub(super) fn run(args: &AddressesArgs) -> ExitCode {
    start_log("warn");
    with_config(args.config.config.as_deref(), |config| match change(&config, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            let usage = matches!(error, WithdrawalError::Unknown(_));
            ExitCode::from(if usage { status::USAGE } else { status::SERVER })
        }
    })
}

/// Makes the changes, and prints the pools and the withdrawn addresses.
fn change(config: &Config, args: &AddressesArgs) -> Result<(), WithdrawalError> {
    let pools = Pools::new(config.network.pools());
    let withdrawals = Withdrawals::open(config.withdrawals(), pools)?;
    for address in &args.withdraw {
        withdrawals.withdraw(*address)?;
    }
    for address in &args.restore {
        withdrawals.restore(*address)?;
    }
    for pool in withdrawals.pools().pools() {
        println!("pool: {} on {}", pool.network(), pool.interface());
    }
    for address in withdrawals.list() {
        println!("withdrawn: {address}");
    }
    Ok(())
}
