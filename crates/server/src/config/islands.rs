//! What the configuration says about islands to whatever makes them.

use std::path::PathBuf;

use host::layout::LayoutError;
use host::net::Pools;
use island::{Jails, Options};

use crate::config::Config;
use crate::config::units::Bytes;

/// The file of the state directory in which aliases are remembered.
const LEDGER: &str = "aliases";
/// The file of the state directory that says which addresses are taken out of the pools.
const WITHDRAWN: &str = "withdrawn";
/// The folder of the state directory in which a program is compiled to be measured.
const MEASURE: &str = "measure";

impl Config {
    /// What a backend of islands needs to know. `zones` is Go's archive of time zones, `ahead` how many islands are made
    /// ahead of calls.
    pub fn island_options(
        &self,
        zones: Option<PathBuf>,
        ahead: usize,
    ) -> Result<Options, LayoutError> {
        // The link stays good when the program is replaced; elsewhere there is none.
        let own = PathBuf::from("/proc/self/exe");
        let launcher =
            if cfg!(target_os = "linux") { own } else { std::env::current_exe().unwrap_or(own) };
        let jails = cfg!(target_os = "freebsd").then(|| self.jail_options()).transpose()?;
        let function = self.function_limits();
        let pools = Pools::new(self.network.pools());
        Ok(Options { launcher, zones, function, ahead, pools, jails })
    }

    fn jail_options(&self) -> Result<Jails, LayoutError> {
        Ok(Jails {
            layout: self.layout()?,
            ledger: self.state_dir().join(LEDGER),
            require_limits: self.jails.require_limits,
            address_space: self.jails.address_space.map(Bytes::get),
            scratch: self.state_dir().join(MEASURE),
            sweep: true,
        })
    }

    /// The file that says which addresses are taken out of the pools.
    pub fn withdrawals(&self) -> PathBuf {
        self.state_dir().join(WITHDRAWN)
    }

    /// The go command: as configured, or on FreeBSD the build jail's, or none to look for it.
    pub fn go_command(&self) -> Option<PathBuf> {
        let jail = || {
            let command = self.layout().ok()?.goroot().join("bin/go");
            (cfg!(target_os = "freebsd") && command.exists()).then_some(command)
        };
        self.go.command.clone().or_else(jail)
    }
}
