//! What a launcher forks: islands with namespaces of their own, and [berths](crate::linux::zygote::process).
//!
//! What must always hold: whoever is forked waits for the byte that says that its user mapping is in force, before it
//! does anything else; if it cannot be given the mapping it is ended, and waited for.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use seccompiler::BpfProgram;

use crate::launcher::uids;
use crate::launcher::wire;
use crate::linux::cgroup::{Cgroup, CgroupSet};
use crate::linux::child::Child;
use crate::linux::confine::NOBODY;
use crate::linux::protocol::{IslandRequest, MADE, Network};
use crate::linux::seccomp::{self, FilterToken};
use crate::linux::sys::{self, Forked, SharedNumber};
use crate::linux::zygote::pool::Zygote;
use crate::linux::zygote::process;

/// What is needed to fork them.
pub(crate) struct Maker {
    /// The host's /proc, held because the functions' root has none.
    proc: OwnedFd,
    groups: Option<CgroupSet>,
    filter: BpfProgram,
    zygote_filter: BpfProgram,
    token: FilterToken,
    /// The id that this launcher's user has in its own user namespace.
    pub(crate) own_id: u32,
}

/// An island whose first process is the launcher's child.
pub(crate) struct Island {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) group: Option<Cgroup>,
}

/// Why something was not made, and the group that was, which is still to be removed.
pub(crate) struct NotMade {
    pub(crate) reason: String,
    pub(crate) group: Option<Cgroup>,
}

impl From<String> for NotMade {
    fn from(reason: String) -> Self {
        Self { reason, group: None }
    }
}

impl Maker {
    pub(crate) fn new(groups: Option<CgroupSet>) -> Result<Self, String> {
        let token = FilterToken::draw().map_err(|error| format!("getrandom: {error}"))?;
        let compiled = |error: seccompiler::BackendError| format!("seccomp: {error}");
        Ok(Self {
            proc: std::fs::File::open("/proc").map_err(|error| format!("/proc: {error}"))?.into(),
            groups,
            filter: seccomp::compile().map_err(compiled)?,
            zygote_filter: seccomp::compile_for_berths(token).map_err(compiled)?,
            token,
            own_id: nix::unistd::getuid().as_raw(),
        })
    }

    /// Removes groups; those stay that the kernel still counts as busy.
    pub(crate) fn remove(&self, ended: &mut Vec<Cgroup>) {
        match &self.groups {
            Some(groups) => ended.retain(|group| !groups.remove(group)),
            None => ended.clear(),
        }
    }

    /// Forks the first process of an island.
    pub(crate) fn island(
        &self,
        prepare: &IslandRequest,
        control: OwnedFd,
    ) -> Result<Island, NotMade> {
        let groups = self.groups.as_ref();
        let group = groups.map(|groups| groups.create(&prepare.id, &prepare.bounds));
        let group = group.transpose().map_err(|error| format!("cgroup: {error}"))?;
        let into = group.as_ref().and_then(Cgroup::for_fork);
        let forked = self.fork(namespaces(prepare), into).and_then(|forked| match forked {
            (Forked::Child, mapped, go_ahead) => {
                drop(go_ahead);
                let (group, filter) = (group.as_ref(), &self.filter);
                Child { prepare, control, group, mapped, filter }.run()
            }
            (Forked::Parent { pid, pidfd }, _, go_ahead) => {
                let id = prepare.host_id;
                let own =
                    [(NOBODY, id.unwrap_or(self.own_id), id.unwrap_or_else(|| self.own_group()))];
                let hand_out = |folder: &OwnedFd| self.hand_network_out(prepare, folder, &control);
                self.release((pid, pidfd), &own, go_ahead, hand_out)
            }
        });
        match forked {
            Ok((pid, pidfd)) => Ok(Island { pid, pidfd, group }),
            Err(reason) => Err(NotMade { reason, group }),
        }
    }

    /// Forks a berth for such islands.
    pub(crate) fn zygote(&self, prepare: &IslandRequest) -> Result<Zygote, NotMade> {
        let (near, far) = wire::pair().map_err(|error| error.to_string())?;
        let island = SharedNumber::new().map_err(|error| format!("shared memory: {error}"))?;
        let groups = self.groups.as_ref();
        let group = groups.map(|groups| groups.create_for_berth(&prepare.id, &prepare.bounds));
        let group = group.transpose().map_err(|error| format!("cgroup: {error}"))?;
        let flags = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        let forked = self.fork(flags, None).and_then(|forked| match forked {
            (Forked::Child, mapped, go_ahead) => {
                drop(go_ahead);
                let zygote = process::Zygote {
                    launcher: far,
                    proc: &self.proc,
                    group: group.as_ref(),
                    bounds: prepare.bounds,
                    is_other_user: prepare.host_id.is_some(),
                    mapped,
                    filter: &self.zygote_filter,
                    token: self.token,
                    island: &island,
                };
                zygote.run()
            }
            (Forked::Parent { pid, pidfd }, _, go_ahead) => {
                let islands =
                    prepare.host_id.map(|id| [(0, uids::BERTHS, uids::BERTHS), (NOBODY, id, id)]);
                let own = [(NOBODY, self.own_id, self.own_group())];
                let ids = islands.as_ref().map_or(&own[..], |both| &both[..]);
                self.release((pid, pidfd), ids, go_ahead, |_| Ok(()))
            }
        });
        match forked {
            Ok(process) => {
                Ok(Zygote::new(process, near, group, (prepare.host_id, prepare.bounds), island))
            }
            Err(reason) => Err(NotMade { reason, group }),
        }
    }

    fn fork(
        &self,
        flags: CloneFlags,
        into: Option<BorrowedFd<'_>>,
    ) -> Result<(Forked, PipeReader, PipeWriter), String> {
        let (mapped, go_ahead) = io::pipe().map_err(|error| error.to_string())?;
        let forked = sys::fork_into(flags, into);
        Ok((forked.map_err(|error| format!("clone3: {error}"))?, mapped, go_ahead))
    }

    /// Writes the mapping (inside, the host's user, the host's group), then lets the new process go on.
    fn release(
        &self,
        (pid, pidfd): (libc::pid_t, OwnedFd),
        ids: &[(u32, u32, u32)],
        mut go_ahead: PipeWriter,
        last: impl FnOnce(&OwnedFd) -> Result<(), String>,
    ) -> Result<(Pid, OwnedFd), String> {
        let pid = Pid::from_raw(pid);
        let released = || {
            let folder = self.folder_of(pid)?;
            self.map(&folder, ids)?;
            last(&folder)?;
            go_ahead.write_all(b"!").map_err(|error| format!("release: {error}"))
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

    fn folder_of(&self, pid: Pid) -> Result<OwnedFd, String> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.proc, pid.to_string().as_str(), flags, Mode::empty())
            .map_err(|error| format!("/proc: {error}"))
    }

    fn map(&self, folder: &OwnedFd, ids: &[(u32, u32, u32)]) -> Result<(), String> {
        if self.own_id != 0 {
            write(folder, "setgroups", "deny")?;
        }
        let users: String =
            ids.iter().map(|(inside, user, _)| format!("{inside} {user} 1\n")).collect();
        let groups: String =
            ids.iter().map(|(inside, _, group)| format!("{inside} {group} 1\n")).collect();
        write(folder, "uid_map", &users)?;
        write(folder, "gid_map", &groups)
    }

    /// What an island has that no berth is the parent of.
    fn hand_network_out(
        &self,
        prepare: &IslandRequest,
        folder: &OwnedFd,
        control: &OwnedFd,
    ) -> Result<(), String> {
        // When the host runs out of memory, an island goes first.
        let _ = write(folder, "oom_score_adj", "1000");
        if !matches!(prepare.network, Network::Address { .. }) {
            return Ok(());
        }
        // The process is our child and waits, so its number is nobody else's.
        let net = openat(folder, "ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|error| format!("ns/net: {error}"))?;
        wire::send(control.as_raw_fd(), &MADE, &[net.as_raw_fd()])
            .map_err(|error| format!("hand the network out: {error}"))
    }

    fn own_group(&self) -> u32 {
        if self.own_id == 0 { 0 } else { nix::unistd::getgid().as_raw() }
    }
}

fn namespaces(prepare: &IslandRequest) -> CloneFlags {
    let all = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if prepare.network == Network::Host { all } else { all | CloneFlags::CLONE_NEWNET }
}

fn write(folder: &OwnedFd, name: &str, text: &str) -> Result<(), String> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let open = |fd: BorrowedFd<'_>| openat(fd, name, flags, Mode::empty());
    let file = open(folder.as_fd()).map_err(|error| format!("{name}: {error}"))?;
    nix::unistd::write(&file, text.as_bytes()).map_err(|error| format!("{name}: {error}"))?;
    Ok(())
}
