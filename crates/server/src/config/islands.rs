//! The options of a backend of islands, as the configuration says.

use std::path::PathBuf;

use host::layout::LayoutError;
use host::net::Pools;
use island::{Jails, Options};

use crate::config::schema::Config;
use crate::config::units::Bytes;

/// The file of the state directory that lists the aliases that the server added to interfaces.
const LEDGER: &str = "aliases";
/// The file of the state directory that lists the addresses that are withdrawn from the pools.
const WITHDRAWN: &str = "withdrawn";
/// The folder of the state directory in which `jails.address_space` is measured.
const MEASURE: &str = "measure";

impl Config {
    /// The options of a backend. `zones` is Go's archive of time zones, `ahead` the number of
    /// islands that are made ahead of calls.
    pub fn island_options(
        &self,
        zones: Option<PathBuf>,
        ahead: usize,
    ) -> Result<Options, LayoutError> {
        // On Linux this link leads to the running program even after its file was replaced.
        let own = PathBuf::from("/proc/self/exe");
        let launcher =
            if cfg!(target_os = "linux") { own } else { std::env::current_exe().unwrap_or(own) };
        let jails = cfg!(target_os = "freebsd").then(|| self.jail_options()).transpose()?;
        let function = self.function_limits().resources;
        let pools = Pools::new(self.network.pools());
        let reuse = self.island.reuse.into();
        Ok(Options { launcher, zones, function, ahead, pools, jails, reuse })
    }

    fn jail_options(&self) -> Result<Jails, LayoutError> {
        Ok(Jails {
            layout: self.layout()?,
            ledger: self.state_dir().join(LEDGER),
            require_limits: self.jails.require_limits,
            address_space: self.jails.address_space.map(Bytes::get),
            scratch: self.state_dir().join(MEASURE),
            sweep: true,
            vnet: self.jails.vnet,
        })
    }

    /// The file that lists the addresses that are withdrawn from the pools.
    pub fn withdrawals(&self) -> PathBuf {
        self.state_dir().join(WITHDRAWN)
    }

    /// The go command: as configured, or on FreeBSD the one of the build jail; none where it has to
    /// be found in PATH.
    pub fn go_command(&self) -> Option<PathBuf> {
        let jail = || {
            let command = self.layout().ok()?.goroot().join("bin/go");
            (cfg!(target_os = "freebsd") && command.exists()).then_some(command)
        };
        self.go.command.clone().or_else(jail)
    }
}
