//! The launcher: a small process with a single thread that makes islands. It starts once and lives
//! as long as the server.
//!
//! The server starts two launchers. One keeps the host's tree and makes the islands of tools, whose
//! roots it builds from host files. The other has moved into a small root with the template of the
//! functions' roots ([`function_root`]), and has [zygotes](crate::linux::zygote::process) fork the
//! islands of functions without an address. A launcher is the parent of its zygotes and of the
//! islands that have none: it reports each island's end, kills on request, and when the server goes
//! away it kills them all and ends.
//!
//! Invariants: a launcher never waits long for another process, because every report waits for the
//! launcher. A control group is removed only after its island or zygote has ended, again and again
//! until the kernel does not count it as busy. The island of a zygote that was killed becomes the
//! launcher's child, and is reported when it has ended.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::causes;
use nix::sched::CloneFlags;
use nix::sys::wait::wait;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::backend::Exit;
use crate::launcher::process;
use crate::launcher::wire::{self, Event, Incoming, LISTED};
use crate::linux::cgroup::group::Cgroup;
use crate::linux::cgroup::home::CgroupFolders;
use crate::linux::devices::DeviceSource;
use crate::linux::execution::end_of;
use crate::linux::function_root;
use crate::linux::maker::{self, FunctionSetup, Island, MakeError, Maker, NotMade};
use crate::linux::protocol::{ForkRequest, IslandRequest};
use crate::linux::root::RootError;
use crate::linux::sys;
use crate::linux::watch::{Ready, Watch};
use crate::linux::zygote::pool::{Key, Zygote, ZygotePool, ZygoteRemains};

/// The pause before the removal of a busy control group is tried again.
const GROUP_RETRY: Duration = Duration::from_millis(5);
/// How often an ending launcher tries to remove its islands' groups.
const LAST_RETRIES: usize = 200;
/// How late a timer of a function may fire, in nanoseconds, so that the kernel can combine several.
/// While a program starts, Go's runtime has a thread that sleeps for 20 us at a time: with the
/// usual slack of 50 us, its wake-ups take a sixth of the processor time of a short program.
const TIMER_SLACK: libc::c_ulong = 1_000_000;

/// What the server sends to a new launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LauncherSetup {
    pub(crate) root: RootKind,
    pub(crate) home: Option<CgroupFolders>,
}

/// The root that a launcher works in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RootKind {
    /// The host's, for the islands of tools.
    Host,
    /// A small one with the template of the functions' roots.
    Functions {
        zones: Option<PathBuf>,
        /// Functions may have addresses, and need files for names and certificates then.
        addresses: bool,
        /// A zygote may serve another island after a clean one.
        reuse: bool,
    },
}

/// Why a launcher could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LauncherError {
    /// A system call failed.
    #[error("{step} failed")]
    Call {
        /// The step that the call belongs to.
        step: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The server went away before it sent the set-up.
    #[error("the server went away before it sent the launcher's set-up")]
    ServerGone,
    /// The launcher cannot make islands.
    #[error("the launcher cannot make islands")]
    Maker(#[from] MakeError),
    /// The functions' root could not be made.
    #[error("the root of functions could not be made")]
    Root(#[from] RootError),
}

/// Names the step that a failed call belongs to.
fn during<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> LauncherError {
    move |error| LauncherError::Call { step, source: error.into() }
}

type Request = wire::Request<IslandRequest>;

struct Launcher {
    server: OwnedFd,
    maker: Maker,
    watch: Watch,
    zygotes: ZygotePool,
    /// The islands whose first process is a child of the launcher, with their names.
    islands: HashMap<Pid, (String, Island)>,
    /// The groups of ended islands and zygotes that the kernel still counts as busy.
    ended: Vec<Cgroup>,
}

/// Runs a launcher until the server goes away. `server` is the socket that it shares with the
/// server.
pub(crate) fn run(server: OwnedFd) -> Result<(), LauncherError> {
    let mut incoming = Incoming::default();
    let (setup, _) = incoming
        .next::<LauncherSetup>(server.as_raw_fd())
        .map_err(during("receiving the launcher's set-up"))?
        .ok_or(LauncherError::ServerGone)?;
    process::ignore_stops().map_err(during("ignoring signals"))?;
    // The island of a zygote that is killed becomes the launcher's child.
    nix::sys::prctl::set_child_subreaper(true).map_err(during("PR_SET_CHILD_SUBREAPER"))?;
    let groups = setup.home.map(|home| home.open()).transpose();
    let groups = groups.map_err(during("opening the control groups"))?;
    let watch = Watch::new().map_err(during("epoll_create"))?;
    watch.add(&server, Ready::Server).map_err(during("epoll_ctl"))?;
    let (zygotes, islands, ended) = (ZygotePool::default(), HashMap::new(), Vec::new());
    // The functions' root has none.
    let proc = std::fs::File::open("/proc").map_err(during("opening /proc"))?;
    let functions = match setup.root {
        RootKind::Host => None,
        RootKind::Functions { zones, addresses, reuse } => {
            nix::sys::prctl::set_timerslack(TIMER_SLACK).map_err(during("PR_SET_TIMERSLACK"))?;
            let devices = enter_functions_root(zones.as_deref(), addresses)?;
            Some(FunctionSetup { devices, reuse })
        }
    };
    let maker = Maker::new(proc.into(), groups, functions)?;
    let mut launcher = Launcher { server, maker, watch, zygotes, islands, ended };
    launcher.send(&Event::Ready);
    launcher.serve(&mut incoming);
    launcher.end();
    Ok(())
}

/// Takes a mount namespace of its own and, as an ordinary user, the user namespace that owns it, in
/// which this process is root.
fn enter_functions_root(
    zones: Option<&Path>,
    addresses: bool,
) -> Result<DeviceSource, LauncherError> {
    let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
    let own = if user.is_root() { CloneFlags::empty() } else { CloneFlags::CLONE_NEWUSER };
    nix::sched::unshare(own | CloneFlags::CLONE_NEWNS).map_err(during("unshare"))?;
    if !user.is_root() {
        let write = |name, text: String| std::fs::write(format!("/proc/self/{name}"), text);
        write("setgroups", "deny".into())
            .and_then(|()| write("uid_map", format!("0 {user} 1")))
            .and_then(|()| write("gid_map", format!("0 {group} 1")))
            .map_err(during("mapping the user"))?;
    }
    Ok(function_root::enter_launchers_root(zones, addresses)?)
}

impl Launcher {
    fn serve(&mut self, incoming: &mut Incoming) {
        // Requests may have arrived together with the set-up.
        if !self.take_requests(incoming) {
            return;
        }
        while let Ok(ready) = self.wait() {
            for event in ready {
                match event {
                    Ready::Server if !self.take_requests(incoming) => return,
                    Ready::Server => {}
                    Ready::Ended(pid) => self.reap(pid),
                    Ready::ZygoteReport(key) => self.pass_reports(key),
                    Ready::ZygoteEnded(key) => self.reap_zygote(key),
                }
            }
        }
    }

    fn wait(&mut self) -> nix::Result<Vec<Ready>> {
        self.maker.remove(&mut self.ended);
        let now = Instant::now();
        let trim = self.zygotes.trim(now).map(|at| at.saturating_duration_since(now));
        let retry = (!self.ended.is_empty()).then_some(GROUP_RETRY);
        self.watch.wait(trim.into_iter().chain(retry).min())
    }

    /// Handles the requests that have arrived; false once the server has gone away.
    fn take_requests(&mut self, incoming: &mut Incoming) -> bool {
        let server = self.server.as_raw_fd();
        incoming.take_requests(server, |request, fds| self.handle(request, fds))
    }

    fn handle(&mut self, request: Request, fds: Vec<OwnedFd>) {
        match request {
            Request::Kill { id } => self.kill(&id),
            Request::List => self.list(),
            Request::Prepare(mut island) => {
                let fork = ForkRequest { go: island.go.take() };
                let result = match fds.first() {
                    None => Err(MakeError::NoDescriptors.into()),
                    Some(_) if island.fits_a_zygote() => self.place(&island, &fork, &fds),
                    Some(_) if fork.go.is_some() => Err(MakeError::NeedsZygote.into()),
                    Some(_) => self.make(&island, fds),
                };
                if let Err(not_made) = result {
                    self.fail(island.id, not_made);
                }
            }
        }
    }

    fn kill(&mut self, id: &str) {
        if let Some(zygote) = self.zygotes.serving(id) {
            return zygote.kill();
        }
        let own = self.islands.values().find(|(own, _)| own == id);
        if let Some((_, island)) = own {
            sys::kill_pidfd(island.pidfd.as_fd());
        }
    }

    fn list(&self) {
        let own = self.islands.iter().map(|(pid, (id, _))| (id.clone(), pid.as_raw()));
        let islands =
            own.chain(self.zygotes.all().filter_map(Zygote::island)).take(LISTED).collect();
        self.send(&Event::Listed { islands });
    }

    /// Forks an island with namespaces of its own.
    fn make(&mut self, request: &IslandRequest, fds: Vec<OwnedFd>) -> Result<(), NotMade> {
        let control = fds.into_iter().next().ok_or(MakeError::NoDescriptors)?;
        let island = self.maker.island(request, control)?;
        self.adopt(&request.id, island)
    }

    /// Has a zygote fork an island: an idle one, or a new one.
    fn place(
        &mut self,
        request: &IslandRequest,
        fork: &ForkRequest,
        fds: &[OwnedFd],
    ) -> Result<(), NotMade> {
        if let Some(key) = self.zygotes.find(request.host_id, &request.bounds)
            && let Some(zygote) = self.zygotes.get_mut(key)
        {
            match zygote.serve(&request.id, fork, fds) {
                Ok(()) => return Ok(()),
                Err(_) => zygote.abandon(),
            }
        }
        let mut zygote = self.maker.zygote(request)?;
        let served = zygote.serve(&request.id, fork, fds);
        let (key, zygote) = self.zygotes.add(zygote);
        let watched = self
            .watch
            .add(&zygote.pidfd, Ready::ZygoteEnded(key))
            .and_then(|()| self.watch.add_edge(&zygote.socket, Ready::ZygoteReport(key)));
        let placed = served.and(watched);
        if placed.is_err() {
            // A zygote without an island, or whose reports would not arrive.
            sys::kill_pidfd(zygote.pidfd.as_fd());
        }
        Ok(placed.map_err(maker::during("sending the request to a new zygote"))?)
    }

    /// Takes over an island whose first process is a child of the launcher.
    fn adopt(&mut self, id: &str, island: Island) -> Result<(), NotMade> {
        let watched = self.watch.add(&island.pidfd, Ready::Ended(island.pid));
        if watched.is_err() {
            sys::kill_pidfd(island.pidfd.as_fd());
        }
        self.islands.insert(island.pid, (id.to_owned(), island));
        Ok(watched.map_err(maker::during("watching the island"))?)
    }

    fn reap(&mut self, pid: Pid) {
        let Some(exit) = end_of(pid) else { return };
        let Some((id, island)) = self.islands.remove(&pid) else { return };
        self.watch.remove(&island.pidfd);
        let failed = exit.code != Some(0);
        let oom = failed && island.group.as_ref().is_some_and(Cgroup::out_of_memory);
        self.send(&Event::Exited { id, exit: Exit { oom, ..exit } });
        self.ended.extend(island.group);
    }

    /// Passes the reports of a zygote to the server.
    fn pass_reports(&mut self, key: Key) {
        let mut next = || self.zygotes.get_mut(key).and_then(Zygote::next_report);
        while let Some((id, report)) = next() {
            let event = match report.end {
                Ok(exit) => Event::Exited { id, exit },
                Err(error) => Event::Failed { id, error },
            };
            send(&self.server, &event);
        }
    }

    /// Removes a zygote that has ended, and takes over the island that it left.
    fn reap_zygote(&mut self, key: Key) {
        // Its last report may not have been read yet.
        self.pass_reports(key);
        let Some(mut zygote) = self.zygotes.remove(key) else { return };
        self.watch.remove(&zygote.pidfd);
        let _ = end_of(zygote.process);
        let Some((id, remains)) = zygote.remains() else { return self.ended.extend(zygote.group) };
        match remains {
            ZygoteRemains::Running(pid) => return self.end_orphan(&id, pid, zygote.group),
            // If it is not the launcher's child, the zygote has waited for it.
            ZygoteRemains::Ended(pid) => {
                let _ = end_of(pid);
            }
            ZygoteRemains::Killed | ZygoteRemains::Nothing => {}
        }
        let killed = Exit { code: None, signal: Some(libc::SIGKILL), oom: false };
        if let ZygoteRemains::Killed = remains {
            self.ended.extend(zygote.group);
            self.send(&Event::Exited { id, exit: killed });
        } else {
            self.fail(id, NotMade { error: MakeError::ZygoteEnded, group: zygote.group });
        }
    }

    /// Kills an island whose zygote has ended, and takes it over until it has ended.
    fn end_orphan(&mut self, id: &str, pid: Pid, group: Option<Cgroup>) {
        let adopted = match sys::open_process(pid.as_raw()) {
            Ok(pidfd) => {
                sys::kill_pidfd(pidfd.as_fd());
                self.adopt(id, Island { pid, pidfd, group })
            }
            Err(error) => {
                let step = "opening the island of a zygote that has ended";
                Err(NotMade { error: maker::during(step)(error), group })
            }
        };
        if let Err(not_made) = adopted {
            self.fail(id.to_owned(), not_made);
        }
    }

    /// Reports an island that was not made.
    fn fail(&mut self, id: String, NotMade { error, group }: NotMade) {
        self.ended.extend(group);
        self.send(&Event::Failed { id, error: causes::chain(&error) });
    }

    fn send(&self, event: &Event) {
        send(&self.server, event);
    }

    /// Kills all islands and zygotes, waits for them, and removes their groups.
    fn end(&mut self) {
        let islands = self.islands.values().map(|(_, island)| &island.pidfd);
        // A zygote's island ends with the zygote, and becomes the launcher's child.
        for pidfd in islands.chain(self.zygotes.all().map(|zygote| &zygote.pidfd)) {
            sys::kill_pidfd(pidfd.as_fd());
        }
        while wait().is_ok() {}
        let islands = self.islands.drain().filter_map(|(_, (_, island))| island.group);
        self.ended.extend(islands);
        self.ended.extend(self.zygotes.drain().filter_map(|zygote| zygote.group));
        for _ in 0..LAST_RETRIES {
            self.maker.remove(&mut self.ended);
            if self.ended.is_empty() {
                return;
            }
            std::thread::sleep(GROUP_RETRY);
        }
    }
}

/// Sends an event to the server. The send waits while the server does not read, which only the
/// server itself can notice; a failure means that the server is gone, which the next receive shows.
fn send(server: &OwnedFd, event: &Event) {
    let _ = wire::send(server.as_raw_fd(), event, &[]);
}

/// [`run`] on the socket that is this process's stdin, which then reads as empty.
pub(crate) fn run_on_stdin() -> Result<(), LauncherError> {
    run(process::socket_on_stdin().map_err(during("taking the server's socket from stdin"))?)
}
