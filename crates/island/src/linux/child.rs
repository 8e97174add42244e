//! The first process of an island without a [zygote](crate::linux::zygote::process), from its fork
//! to its exec.
//!
//! The process starts in new namespaces as a copy of its launcher, builds the island's file system,
//! drops its rights, and then waits on its control socket for the request that names its program
//! ([`ExecRequest`](crate::launcher::wire::ExecRequest)). It runs only code of this program up to
//! the exec.
//!
//! The order of the steps matters. Host files are opened while the process still has the launcher's
//! user. The island's user makes the mounts, because the mounted files must belong to that user.
//! Capabilities go after the last mount. The system-call filter comes before the wait, so that it
//! costs a call no time. Landlock comes last, because only the request says which program may be
//! executed.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use common::causes;
use landlock::RulesetCreated;

use crate::launcher::process;
use crate::launcher::wire;
use crate::linux::cgroup::group::Cgroup;
use crate::linux::devices::Devices;
use crate::linux::execution::{
    Execution, FirstProcessError, HOSTNAME, during, leave_launchers_signals,
};
use crate::linux::function_root::{enter_own_root, mount_names};
use crate::linux::loopback;
use crate::linux::protocol::{IslandRequest, Network};
use crate::linux::root::{RootSources, mount_tmp};
use crate::linux::seccomp::{Filter, FilterToken};
use crate::linux::{confine, sys};

/// What a new first process is given.
pub(crate) struct Child<'a> {
    pub(crate) request: &'a IslandRequest,
    pub(crate) control: OwnedFd,
    /// The control group for the island's processes.
    pub(crate) group: Option<&'a Cgroup>,
    /// One byte arrives here once the launcher has written the user mapping.
    pub(crate) mapped: std::io::PipeReader,
    pub(crate) filter: &'a Filter,
    /// The device files of a function.
    pub(crate) devices: Option<Devices>,
}

impl Child<'_> {
    /// Becomes an island and then its program. This function never returns, so that no owner of a
    /// descriptor is dropped that [`sys::close_all_from`] has closed.
    pub(crate) fn run(mut self) -> ! {
        let control = self.control.as_raw_fd();
        let Err(error) = self.become_island();
        // The server reads the reason after the launcher has reported the exit. A server that is
        // gone does not need the reason.
        let _ = wire::send(control, &causes::chain(&error), &[]);
        sys::exit_now(process::NOT_STARTED)
    }

    fn become_island(&mut self) -> Result<std::convert::Infallible, FirstProcessError> {
        let mut byte = [0];
        self.mapped.read_exact(&mut byte).map_err(during("waiting for the launcher"))?;
        // The process has allocated nothing for the island yet, so the group counts all of it.
        self.group.map_or(Ok(()), Cgroup::join_late).map_err(during("joining the cgroup"))?;
        let rules = self.settle()?;
        let execution = Execution::receive(&self.control, rules)?;
        // SAFETY: `receive` has left the program's descriptor open.
        let error = unsafe { execution.begin() };
        Err(execution.failure(error))
    }

    /// Everything that does not depend on the program.
    fn settle(&self) -> Result<RulesetCreated, FirstProcessError> {
        leave_launchers_signals()?;
        nix::unistd::sethostname(HOSTNAME).map_err(during("sethostname"))?;
        if self.request.network == Network::Loopback {
            loopback::raise()?;
        }
        let writable = self.build_root()?;
        if self.request.background {
            confine::yield_processor()?;
        }
        confine::limit(&self.request.bounds, self.group.is_some())?;
        confine::keep_privileges_from_programs()?;
        confine::drop_privileges(FilterToken::NONE)?;
        // SAFETY: this process leaves by an exec or by `exit_now`, so it drops no owner of a
        // descriptor that is closed; of those it uses only `control`, which stays open.
        unsafe { sys::close_all_from(process::LINE + 1, &[self.control.as_raw_fd()]) };
        let rules = confine::file_rules(&writable, self.request.network != Network::None)?;
        confine::filter_calls(self.filter)?;
        Ok(rules)
    }

    /// Returns the folders that the island may write.
    fn build_root(&self) -> Result<Vec<PathBuf>, FirstProcessError> {
        let Some(root) = &self.request.root else {
            confine::become_nobody(FilterToken::NONE)?;
            self.devices.as_ref().map_or(Ok(()), enter_own_root)?;
            mount_tmp(&self.request.bounds, FilterToken::NONE)?;
            if let Network::Address { dns } = &self.request.network {
                mount_names(dns)?;
            }
            return Ok(vec!["/tmp".into()]);
        };
        let sources = RootSources::open(root)?;
        confine::become_nobody(FilterToken::NONE)?;
        sources.enter(root)?;
        let bound = root.binds.iter().filter(|bind| bind.writable).map(|bind| bind.target.clone());
        Ok(bound.chain(root.overlay.as_ref().map(|overlay| overlay.target.clone())).collect())
    }
}
