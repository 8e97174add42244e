//! The processes that a launcher forks: islands with namespaces of their own, and
//! [zygotes](crate::linux::zygote::process).
//!
//! Invariants: a forked process waits for one byte, which says that its user mapping is in force,
//! before it does anything else. A process that cannot be given the mapping is killed and waited
//! for.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::launcher::uids;
use crate::launcher::wire;
use crate::linux::cgroup::error::CgroupError;
use crate::linux::cgroup::group::{Cgroup, CgroupSet};
use crate::linux::child::Child;
use crate::linux::confine::UNPRIVILEGED;
use crate::linux::devices::DeviceSource;
use crate::linux::fork::{self, Forked, SharedNumber};
use crate::linux::protocol::{IslandRequest, MADE, Network};
use crate::linux::seccomp::caller::{Caller, FunctionCaller};
use crate::linux::seccomp::{Filter, FilterToken};
use crate::linux::sys;
use crate::linux::zygote::pool::Zygote;
use crate::linux::zygote::process;

/// The user of zygotes on the host, which is the user of no island.
const ZYGOTES: u32 = uids::FIRST + 3;

/// Why a launcher could not make an island or a zygote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// The control group could not be made.
    #[error("the control group could not be made")]
    Group(#[from] CgroupError),
    /// A system call failed.
    #[error("{step} failed")]
    Call {
        /// The step that the call belongs to.
        step: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The system-call filter does not compile.
    #[error("the system-call filter does not compile")]
    Filter(#[from] seccompiler::BackendError),
    /// The launcher makes islands of tools.
    #[error("a launcher of tools' islands has no zygotes")]
    NoZygotes,
    /// The request came without descriptors.
    #[error("the request came without descriptors")]
    NoDescriptors,
    /// The request carries a program, and only a zygote could execute the program.
    #[error("an island outside a zygote takes its program from its control socket only")]
    NeedsZygote,
    /// The zygote of an island ended before it reported the island's end.
    #[error("the island's zygote ended unexpectedly")]
    ZygoteEnded,
}

/// Names the step that a failed call belongs to.
pub(crate) fn during<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> MakeError {
    move |error| MakeError::Call { step, source: error.into() }
}

/// What a launcher needs to fork.
pub(crate) struct Maker {
    /// The host's /proc, held because the functions' root has none.
    proc: OwnedFd,
    groups: Option<CgroupSet>,
    /// The filter of islands without a zygote.
    filter: Filter,
    /// None in a launcher of tools' islands.
    functions: Option<Functions>,
    /// The id of this launcher's user in the launcher's user namespace.
    pub(crate) own_id: u32,
}

/// How the islands of functions are made.
#[derive(Clone, Copy)]
pub(crate) struct FunctionSetup {
    pub(crate) devices: DeviceSource,
    /// A zygote may serve another island after a clean one.
    pub(crate) reuse: bool,
}

/// What a launcher of functions' islands needs besides.
struct Functions {
    setup: FunctionSetup,
    filter: Filter,
    token: FilterToken,
}

impl Functions {
    fn new(setup: FunctionSetup, caller: FunctionCaller) -> Result<Self, MakeError> {
        let token = FilterToken::draw().map_err(during("getrandom"))?;
        Ok(Self { setup, filter: Filter::of_zygotes(token, caller)?, token })
    }
}

/// An island whose first process is the launcher's child.
pub(crate) struct Island {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) group: Option<Cgroup>,
}

/// Why an island or a zygote was not made, and its control group if that was.
pub(crate) struct NotMade {
    pub(crate) error: MakeError,
    /// The group, which is still to be removed.
    pub(crate) group: Option<Cgroup>,
}

impl<E: Into<MakeError>> From<E> for NotMade {
    fn from(error: E) -> Self {
        Self { error: error.into(), group: None }
    }
}

impl Maker {
    /// `proc` is the host's /proc. `functions` says how islands of functions are made, in a
    /// launcher that makes such.
    pub(crate) fn new(
        proc: OwnedFd,
        groups: Option<CgroupSet>,
        functions: Option<FunctionSetup>,
    ) -> Result<Self, MakeError> {
        let of_functions = |setup: FunctionSetup| FunctionCaller {
            has_network: false,
            has_own_devices: setup.devices == DeviceSource::Made,
            is_counted: groups.is_some(),
        };
        let caller = functions.map_or(Caller::Tool, |setup| {
            // A function that reaches no network has a zygote.
            Caller::Function(FunctionCaller { has_network: true, ..of_functions(setup) })
        });
        let functions = functions.map(|setup| Functions::new(setup, of_functions(setup)));
        Ok(Self {
            proc,
            filter: Filter::new(caller)?,
            functions: functions.transpose()?,
            groups,
            own_id: nix::unistd::getuid().as_raw(),
        })
    }

    /// Removes groups from the list and from the host; a group that the kernel still counts as busy
    /// stays on both.
    pub(crate) fn remove(&self, ended: &mut Vec<Cgroup>) {
        match &self.groups {
            Some(groups) => ended.retain(|group| !groups.remove(group)),
            None => ended.clear(),
        }
    }

    /// Forks the first process of an island.
    pub(crate) fn island(
        &self,
        request: &IslandRequest,
        control: OwnedFd,
    ) -> Result<Island, NotMade> {
        let groups = self.groups.as_ref();
        let group = groups
            .map(|groups| groups.create(&request.id, &request.bounds, request.share()))
            .transpose()?;
        let into = group.as_ref().and_then(Cgroup::for_fork);
        let devices = self.functions.as_ref().map(|functions| functions.setup.devices.devices());
        let devices = devices.transpose().map_err(during("making the device files"));
        let forked = devices.and_then(|devices| Ok((devices, self.fork(namespaces(), into)?)));
        let forked = forked.and_then(|(devices, forked)| match forked {
            (Forked::Child, mapped, go_ahead) => {
                drop(go_ahead);
                let (group, filter) = (group.as_ref(), &self.filter);
                Child { request, control, group, mapped, filter, devices }.run()
            }
            (Forked::Parent { pid, pidfd }, _, go_ahead) => {
                let id = request.host_id;
                let own = [(
                    UNPRIVILEGED,
                    id.unwrap_or(self.own_id),
                    id.unwrap_or_else(|| self.own_group()),
                )];
                let hand_out = |folder: &OwnedFd| self.hand_network_out(request, folder, &control);
                self.release((pid, pidfd), &own, go_ahead, hand_out)
            }
        });
        match forked {
            Ok((pid, pidfd)) => Ok(Island { pid, pidfd, group }),
            Err(error) => Err(NotMade { error, group }),
        }
    }

    /// Forks a zygote for islands like this one.
    pub(crate) fn zygote(&self, request: &IslandRequest) -> Result<Zygote, NotMade> {
        let functions = self.functions.as_ref().ok_or(MakeError::NoZygotes)?;
        let (near, far) = wire::pair().map_err(during("socketpair"))?;
        let island = SharedNumber::new().map_err(during("mapping shared memory"))?;
        let groups = self.groups.as_ref();
        let group = groups
            .map(|groups| groups.create_for_zygote(&request.id, &request.bounds))
            .transpose()?;
        let flags = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        let devices = functions.setup.devices.devices().map_err(during("making the device files"));
        let forked = devices.and_then(|devices| Ok((devices, self.fork(flags, None)?)));
        let forked = forked.and_then(|(devices, forked)| match forked {
            (Forked::Child, mapped, go_ahead) => {
                drop(go_ahead);
                let zygote = process::Zygote {
                    devices,
                    launcher: far,
                    proc: &self.proc,
                    group: group.as_ref(),
                    bounds: request.bounds,
                    is_other_user: request.host_id.is_some(),
                    reuse: functions.setup.reuse,
                    mapped,
                    filter: &functions.filter,
                    token: functions.token,
                    island: &island,
                };
                zygote.run()
            }
            (Forked::Parent { pid, pidfd }, _, go_ahead) => {
                let islands =
                    request.host_id.map(|id| [(0, ZYGOTES, ZYGOTES), (UNPRIVILEGED, id, id)]);
                let own = [(UNPRIVILEGED, self.own_id, self.own_group())];
                let ids = islands.as_ref().map_or(&own[..], |both| &both[..]);
                self.release((pid, pidfd), ids, go_ahead, |_| Ok(()))
            }
        });
        match forked {
            Ok(process) => {
                Ok(Zygote::new(process, near, group, (request.host_id, request.bounds), island))
            }
            Err(error) => Err(NotMade { error, group }),
        }
    }

    fn fork(
        &self,
        flags: CloneFlags,
        into: Option<BorrowedFd<'_>>,
    ) -> Result<(Forked, PipeReader, PipeWriter), MakeError> {
        let (mapped, go_ahead) = io::pipe().map_err(during("pipe"))?;
        // SAFETY: a launcher has a single thread: it starts no runtime and no other thread.
        let forked = unsafe { fork::fork_into(flags, into) };
        Ok((forked.map_err(during("clone3"))?, mapped, go_ahead))
    }

    /// Writes the mapping (inside, the host's user, the host's group), then lets the new process
    /// continue.
    fn release(
        &self,
        (pid, pidfd): (libc::pid_t, OwnedFd),
        ids: &[(u32, u32, u32)],
        mut go_ahead: PipeWriter,
        last: impl FnOnce(&OwnedFd) -> Result<(), MakeError>,
    ) -> Result<(Pid, OwnedFd), MakeError> {
        let pid = Pid::from_raw(pid);
        let released = || {
            let folder = self.folder_of(pid)?;
            self.map(&folder, ids)?;
            last(&folder)?;
            go_ahead.write_all(b"!").map_err(during("releasing the new process"))
        };
        match released() {
            Ok(()) => Ok((pid, pidfd)),
            Err(error) => {
                sys::kill_pidfd(pidfd.as_fd());
                let _ = waitpid(pid, None);
                Err(error)
            }
        }
    }

    fn folder_of(&self, pid: Pid) -> Result<OwnedFd, MakeError> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.proc, pid.to_string().as_str(), flags, Mode::empty())
            .map_err(during("opening the new process's folder in /proc"))
    }

    fn map(&self, folder: &OwnedFd, ids: &[(u32, u32, u32)]) -> Result<(), MakeError> {
        if self.own_id != 0 {
            write(folder, "setgroups", "deny").map_err(during("writing setgroups"))?;
        }
        let users: String =
            ids.iter().map(|(inside, user, _)| format!("{inside} {user} 1\n")).collect();
        let groups: String =
            ids.iter().map(|(inside, _, group)| format!("{inside} {group} 1\n")).collect();
        write(folder, "uid_map", &users).map_err(during("writing uid_map"))?;
        write(folder, "gid_map", &groups).map_err(during("writing gid_map"))
    }

    /// Sets the out-of-memory score of an island without a zygote, and sends the island's network
    /// namespace to the server if the island has an address.
    fn hand_network_out(
        &self,
        request: &IslandRequest,
        folder: &OwnedFd,
        control: &OwnedFd,
    ) -> Result<(), MakeError> {
        // When the host runs out of memory, the kernel kills an island first.
        let _ = write(folder, "oom_score_adj", "1000");
        if !matches!(request.network, Network::Address { .. }) {
            return Ok(());
        }
        // The process is a child that waits, so no other process can have its pid.
        let net = openat(folder, "ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(during("opening ns/net"))?;
        // The first message on an empty socket never waits for room.
        wire::send(control.as_raw_fd(), &MADE, &[net.as_raw_fd()])
            .map_err(during("sending the network namespace"))
    }

    fn own_group(&self) -> u32 {
        if self.own_id == 0 { 0 } else { nix::unistd::getgid().as_raw() }
    }
}

/// The namespaces of an island without a zygote.
fn namespaces() -> CloneFlags {
    CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWNET
}

fn write(folder: &OwnedFd, name: &str, text: &str) -> nix::Result<()> {
    let file = openat(folder, name, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(&file, text.as_bytes())?;
    Ok(())
}
