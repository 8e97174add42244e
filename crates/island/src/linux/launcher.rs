//! The resident process that makes islands: small, single-threaded, and started once.
//!
//! The server starts two. One stands in the host's tree and makes the islands of tools, whose roots it builds from
//! host files. The other has moved into the root that all functions share, and has [berths](crate::linux::zygote::process) fork the
//! islands of functions, but for those with an address. A launcher is the parent of berths and of the other islands: it
//! reports each island's end, kills on request, and when the server goes away it kills them all and ends.
//!
//! What must always hold: a launcher does nothing that takes long, for every end waits for it; a group is removed only
//! after its island or berth has ended, and is tried again until the kernel lets go; the island of a berth that was
//! killed becomes the launcher's own child, and is reported when it has ended.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sched::CloneFlags;
use nix::sys::wait::wait;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::backend::Exit;
use crate::launcher::process;
use crate::launcher::wire::{self, Event, Incoming, LISTED};
use crate::linux::cgroup::{Cgroup, CgroupHome};
use crate::linux::maker::{Island, Maker, NotMade};
use crate::linux::protocol::{ForkRequest, IslandRequest};
use crate::linux::watch::{Ready, Watch};
use crate::linux::zygote::pool::{Key, Zygote, ZygotePool, ZygoteRemains};
use crate::linux::{child, root, sys};

/// How often a group that is still busy is tried again.
const GROUP_RETRY: Duration = Duration::from_millis(5);
/// How long an ending launcher waits for the kernel to let go of its islands' groups.
const LAST_RETRIES: usize = 200;
/// How late a timer of a function may be, in nanoseconds, so that the kernel can let several end at once. Go's runtime has
/// a thread that sleeps for 20 us at a time while a program starts: with the 50 us that processes have otherwise, its
/// waking takes a sixth of the processor time of a short program.
const TIMER_SLACK: libc::c_ulong = 1_000_000;

/// What a launcher is told when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LauncherSetup {
    pub(crate) place: RootKind,
    pub(crate) home: Option<CgroupHome>,
}

/// Which root a launcher stands in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RootKind {
    /// The host's, for the islands of tools.
    Host,
    /// The functions' own.
    Functions {
        zones: Option<PathBuf>,
        /// Some of them have an address, and want names and certificates.
        addresses: bool,
    },
}

type Request = wire::Request<IslandRequest>;

struct Launcher {
    server: OwnedFd,
    maker: Maker,
    watch: Watch,
    zygotes: ZygotePool,
    /// Those whose first process is a child of this one, with their names.
    islands: HashMap<Pid, (String, Island)>,
    /// Groups whose island or berth has ended but which the kernel still counts as busy.
    ended: Vec<Cgroup>,
}

/// Runs a launcher until the server goes away. `server` is the socket that it shares with the server.
pub(crate) fn run(server: OwnedFd) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut incoming = Incoming::default();
    let (orders, _) = incoming
        .next::<LauncherSetup>(server.as_raw_fd())
        .map_err(|e| text(&e))?
        .ok_or("the server went away")?;
    process::ignore_stops().map_err(|e| text(&e))?;
    // The island of a berth that is killed comes to us.
    nix::sys::prctl::set_child_subreaper(true).map_err(|e| text(&e))?;
    let groups = orders.home.map(|home| home.open()).transpose().map_err(|e| text(&e))?;
    let watch = Watch::new().map_err(|e| text(&e))?;
    watch.add(&server, Ready::Server).map_err(|e| text(&e))?;
    let (zygotes, islands, ended) = (ZygotePool::default(), HashMap::new(), Vec::new());
    let maker = Maker::new(groups)?;
    let mut launcher = Launcher { server, maker, watch, zygotes, islands, ended };
    if let RootKind::Functions { zones, addresses } = orders.place {
        nix::sys::prctl::set_timerslack(TIMER_SLACK).map_err(|e| text(&e))?;
        launcher.enter_functions_root(zones.as_deref(), addresses)?;
    }
    launcher.send(&Event::Ready);
    launcher.serve(&mut incoming);
    launcher.end();
    Ok(())
}

impl Launcher {
    /// Takes a mount namespace of its own and, as an ordinary user, the user namespace that owns it.
    fn enter_functions_root(
        &mut self,
        zones: Option<&Path>,
        addresses: bool,
    ) -> Result<(), String> {
        let root = self.maker.own_id == 0;
        let user = if root { CloneFlags::empty() } else { CloneFlags::CLONE_NEWUSER };
        let group = nix::unistd::getgid().as_raw();
        nix::sched::unshare(user | CloneFlags::CLONE_NEWNS).map_err(|e| format!("unshare: {e}"))?;
        if !root {
            let write = |name, text: String| std::fs::write(format!("/proc/self/{name}"), text);
            write("setgroups", "deny".into())
                .and_then(|()| write("uid_map", format!("0 {} 1", self.maker.own_id)))
                .and_then(|()| write("gid_map", format!("0 {group} 1")))
                .map_err(|e| format!("map the user: {e}"))?;
            self.maker.own_id = 0;
        }
        root::enter_function_root(zones, addresses)
    }

    fn serve(&mut self, incoming: &mut Incoming) {
        // Requests may have come in together with the orders.
        if !self.take_requests(incoming) {
            return;
        }
        while let Ok(ready) = self.wait() {
            for event in ready {
                match event {
                    Ready::Server if !self.take_requests(incoming) => return,
                    Ready::Server => {}
                    Ready::Ended(pid) => self.reap(pid),
                    Ready::ExecProgress(key) => self.hear(key),
                    Ready::BerthEnded(key) => self.reap_berth(key),
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

    /// Handles what the server has said; false once it has gone away.
    fn take_requests(&mut self, incoming: &mut Incoming) -> bool {
        let server = self.server.as_raw_fd();
        incoming.take_requests(server, |request, fds| self.handle(request, fds))
    }

    fn handle(&mut self, request: Request, fds: Vec<OwnedFd>) {
        match request {
            Request::Kill { id } => self.kill(&id),
            Request::List => self.list(),
            Request::Prepare(mut prepare) => {
                let take = ForkRequest { go: prepare.go.take() };
                let result = match fds.first() {
                    Some(_) if prepare.fits_a_berth() => self.lodge(&prepare, &take, &fds),
                    Some(_) if take.go.is_some() => Err("it fits no berth".to_owned().into()),
                    Some(_) => self.make(&prepare, fds),
                    None => Err("the request came without descriptors".to_owned().into()),
                };
                if let Err(NotMade { reason: error, group }) = result {
                    self.ended.extend(group);
                    self.send(&Event::Failed { id: prepare.id, error });
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
            own.chain(self.zygotes.all().filter_map(Zygote::serves)).take(LISTED).collect();
        self.send(&Event::Listed { islands });
    }

    /// Forks an island with namespaces of its own, and all else.
    fn make(&mut self, prepare: &IslandRequest, fds: Vec<OwnedFd>) -> Result<(), NotMade> {
        let control = fds.into_iter().next().ok_or_else(|| "no control socket".to_owned())?;
        let island = self.maker.island(prepare, control)?;
        self.own(&prepare.id, island)
    }

    /// Has a berth fork an island: one that is free, or a new one.
    fn lodge(
        &mut self,
        prepare: &IslandRequest,
        take: &ForkRequest,
        fds: &[OwnedFd],
    ) -> Result<(), NotMade> {
        if let Some(key) = self.zygotes.find(prepare.host_id, &prepare.bounds)
            && let Some(zygote) = self.zygotes.get_mut(key)
        {
            match zygote.take(&prepare.id, take, fds) {
                Ok(()) => return Ok(()),
                Err(_) => zygote.let_go(),
            }
        }
        let mut zygote = self.maker.zygote(prepare)?;
        let taken = zygote.take(&prepare.id, take, fds);
        let (key, zygote) = self.zygotes.add(zygote);
        let watched = self
            .watch
            .add(&zygote.pidfd, Ready::BerthEnded(key))
            .and_then(|()| self.watch.add_news(&zygote.socket, Ready::ExecProgress(key)));
        let lodged = taken.and(watched);
        if lodged.is_err() {
            // One that has no island, or that nobody would hear.
            sys::kill_pidfd(zygote.pidfd.as_fd());
        }
        lodged.map_err(|error| format!("a new berth: {error}").into())
    }

    /// Takes an island on that is a child of this process.
    fn own(&mut self, id: &str, island: Island) -> Result<(), NotMade> {
        let watched = self.watch.add(&island.pidfd, Ready::Ended(island.pid));
        if watched.is_err() {
            sys::kill_pidfd(island.pidfd.as_fd());
        }
        self.islands.insert(island.pid, (id.to_owned(), island));
        watched.map_err(|error| format!("watch an island: {error}").into())
    }

    fn reap(&mut self, pid: Pid) {
        let Some(exit) = child::end_of(pid) else { return };
        let Some((id, island)) = self.islands.remove(&pid) else { return };
        self.watch.remove(&island.pidfd);
        let failed = exit.code != Some(0);
        let oom = failed && island.group.as_ref().is_some_and(Cgroup::out_of_memory);
        self.send(&Event::Exited { id, exit: Exit { oom, ..exit } });
        self.ended.extend(island.group);
    }

    /// Passes on what a berth has to say.
    fn hear(&mut self, key: Key) {
        while let Some((id, report)) = self.zygotes.get_mut(key).and_then(|zygote| zygote.hear()) {
            self.send(&match report.end {
                Ok(exit) => Event::Exited { id, exit },
                Err(error) => Event::Failed { id, error },
            });
        }
    }

    /// Buries a berth, and takes on the island that it left.
    fn reap_berth(&mut self, key: Key) {
        // What it said last is still to be heard.
        self.hear(key);
        let Some(mut zygote) = self.zygotes.remove(key) else { return };
        self.watch.remove(&zygote.pidfd);
        let _ = child::end_of(zygote.process);
        let Some((id, left)) = zygote.left() else { return self.ended.extend(zygote.group) };
        match left {
            ZygoteRemains::Running(pid) => return self.adopt(&id, pid, zygote.group),
            // If it is not ours the berth has waited for it.
            ZygoteRemains::Ended(pid) => {
                let _ = child::end_of(pid);
            }
            ZygoteRemains::Killed | ZygoteRemains::Nothing => {}
        }
        self.ended.extend(zygote.group);
        let killed = Exit { code: None, signal: Some(libc::SIGKILL), oom: false };
        self.send(&match left {
            ZygoteRemains::Killed => Event::Exited { id, exit: killed },
            _ => Event::Failed { id, error: "its berth has ended".into() },
        });
    }

    fn adopt(&mut self, id: &str, pid: Pid, group: Option<Cgroup>) {
        let adopted = match sys::open_process(pid.as_raw()) {
            Ok(pidfd) => {
                sys::kill_pidfd(pidfd.as_fd());
                self.own(id, Island { pid, pidfd, group })
            }
            Err(error) => Err(NotMade { reason: format!("its berth has ended: {error}"), group }),
        };
        if let Err(NotMade { reason: error, group }) = adopted {
            self.ended.extend(group);
            self.send(&Event::Failed { id: id.to_owned(), error });
        }
    }

    fn send(&self, event: &Event) {
        // A failure means that the server is gone, which the next receive sees.
        let _ = wire::send(self.server.as_raw_fd(), event, &[]);
    }

    /// Leaves nothing behind.
    fn end(&mut self) {
        let islands = self.islands.values().map(|(_, island)| &island.pidfd);
        // A berth's island ends with it, and comes to us to be waited for.
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

/// [`run`] on the socket that is this process's stdin, which then reads as empty.
pub(crate) fn run_on_stdin() -> Result<(), String> {
    run(process::socket_on_stdin().map_err(|error| error.to_string())?)
}
