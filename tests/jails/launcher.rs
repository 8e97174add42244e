//! The launcher of the model: the same protocol as FreeBSD's, with files for jails and groups of
//! processes in them.
//!
//! Invariants: the launcher reports an exit when the jail is removed and none of its processes is
//! left; when the server goes away, all islands end, and then this process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use common::causes::chain;
use island::Exit;
use island::freebsd::mounts::Mount;
use island::freebsd::params::{Param, Value};
use island::freebsd::parts::Kernel;
use island::freebsd::protocol::JailRequest;
use island::wire::{self, Event, ExecRequest, Incoming, Request};
use nix::sys::signal::{Signal, raise};

use crate::jail_model::{CallFault, Jail, JailModel, LauncherFault, jid};
use crate::tables::{KernelModel, Mounted, Refusal};

/// How often an island that waits for its program checks that its jail is there.
const LOOK: Duration = Duration::from_millis(1);
/// As FreeBSD's launcher: the status of a process that never became its program.
const NOT_STARTED: i32 = 125;
/// An argument that makes the island report a reason, and end.
pub const REFUSES: &str = "refuses";
/// An argument that makes the island open a connection.
pub const CONNECTS: &str = "connects";
/// An argument that makes the island open a connection that its peer never closes.
pub const HALF_CLOSES: &str = "half-closes";

struct Launcher {
    server: Mutex<OwnedFd>,
    jail_model: JailModel,
    tables: KernelModel,
    /// Held during each system call.
    calls: Mutex<()>,
}

/// Runs until the server goes away.
pub fn main(jail_model: &Path) -> ExitCode {
    // Closed on exec, or a program would keep it open when this process has ended.
    let server = io::stdin().as_fd().try_clone_to_owned().unwrap();
    let socket = server.as_raw_fd();
    let model = JailModel::at(jail_model);
    let tables = KernelModel::of(&model, jail_model.parent().unwrap());
    let (server, calls) = (Mutex::new(server), Mutex::default());
    let launcher = Arc::new(Launcher { server, jail_model: model, tables, calls });
    let mut incoming = Incoming::default();
    incoming.next::<serde_json::Value>(socket).unwrap();
    launcher.jail_model.say_launcher();
    launcher.send(&Event::Ready);
    let mut islands: HashMap<String, JoinHandle<()>> = HashMap::new();
    while let Ok(Some((request, fds))) = incoming.next::<Request<JailRequest>>(socket) {
        match request {
            Request::Kill { id } => {
                if islands.contains_key(&id) {
                    launcher.jail_model.remove(&id);
                }
            }
            Request::List => {
                let alive = islands.keys().filter(|id| launcher.jail_model.exists(id));
                let islands = alive.map(|id| (id.clone(), jid(id))).collect();
                launcher.send(&Event::Listed { islands });
            }
            Request::Prepare(prepare) => {
                let control = fds.into_iter().next().unwrap();
                match launcher.prepare(&prepare, control) {
                    Ok(island) => drop(islands.insert(prepare.id, island)),
                    Err(error) => launcher.send(&Event::Failed { id: prepare.id, error }),
                }
            }
        }
    }
    for (id, island) in islands {
        launcher.jail_model.remove(&id);
        let _ = island.join();
    }
    ExitCode::SUCCESS
}

impl Launcher {
    fn send(&self, event: &Event) {
        let _ = wire::send(self.server.lock().unwrap().as_raw_fd(), event, &[]);
    }

    fn prepare(
        self: &Arc<Self>,
        prepare: &JailRequest,
        control: OwnedFd,
    ) -> Result<JoinHandle<()>, String> {
        let fault = self.jail_model.take_launcher_fault();
        match fault {
            Some(LauncherFault::Refuse) => {
                return Err("jail_set: Resource temporarily unavailable".into());
            }
            Some(LauncherFault::EndBefore) => die(),
            Some(LauncherFault::StopBefore) => raise(Signal::SIGSTOP).unwrap(),
            _ => {}
        }
        let jail = jail(prepare);
        let restricted = |param: &Param| param.name.starts_with("ip");
        if jail.vnet && prepare.jail.iter().any(restricted) {
            return Err("jail_set: vnet jails cannot have IP address restrictions".into());
        }
        self.jail_model.look_at(&prepare.id, &jail);
        let mut kernel = ModelKernel(self.clone());
        let mut made = prepare.parts.make(&mut kernel).map_err(|error| chain(&error))?;
        if let Err(error) = self.jail_model.make(&prepare.id, &jail) {
            let _ = made.undo(&mut kernel);
            return Err(error);
        }
        self.jail_model.note(&prepare.id, &jail);
        match fault {
            Some(LauncherFault::EndAfter) => die(),
            Some(LauncherFault::StopAfter) => raise(Signal::SIGSTOP).unwrap(),
            _ => {}
        }
        let (me, id) = (self.clone(), prepare.id.clone());
        Ok(std::thread::spawn(move || {
            let exit = me.live(&id, &jail.path, control, fault);
            me.jail_model.end_processes(&id);
            me.jail_model.remove(&id);
            // The server finds the folder of what is left.
            let _ = made.undo(&mut kernel);
            me.send(&Event::Exited { id, exit });
        }))
    }

    /// An island from its making to its end.
    fn live(&self, id: &str, root: &Path, control: OwnedFd, fault: Option<LauncherFault>) -> Exit {
        let killed = Exit { code: None, signal: Some(libc::SIGKILL), oom: false };
        let left = |code| Exit { code: Some(code), signal: None, oom: false };
        let mut incoming = Incoming::default();
        let (go, fds) = loop {
            match incoming.next_now::<ExecRequest>(control.as_raw_fd()) {
                Ok(Some(message)) => break message,
                // The server no longer wants it.
                Ok(None) => return left(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return left(NOT_STARTED),
            }
            if !self.jail_model.exists(id) {
                return killed;
            }
            std::thread::sleep(LOOK);
        };
        let has = |action: &str| go.args.iter().any(|arg| arg == action);
        if has(CONNECTS) {
            self.jail_model.connected(id);
        }
        if has(HALF_CLOSES) {
            self.jail_model.half_closed(id);
        }
        let started = if has(REFUSES) {
            Err("exec function: Exec format error".into())
        } else {
            start(&go, fds, root)
        };
        let mut child = match started {
            Ok(child) => child,
            Err(reason) => {
                let _ = wire::send(control.as_raw_fd(), &reason, &[]);
                return left(NOT_STARTED);
            }
        };
        drop(control);
        self.jail_model.enter(id, child.id() as i32);
        if fault == Some(LauncherFault::EndWhile) {
            die();
        }
        if !self.jail_model.exists(id) {
            self.jail_model.end_processes(id);
        }
        let status = child.wait().unwrap();
        Exit { code: status.code(), signal: status.signal(), oom: false }
    }
}

/// The kernel that the launcher makes the parts of jails on.
struct ModelKernel(Arc<Launcher>);

impl ModelKernel {
    fn call(&self, act: impl FnOnce(&Launcher) -> Result<(), Refusal>) -> io::Result<()> {
        let _one = self.0.calls.lock().unwrap();
        let fault = self.0.jail_model.take_call_fault();
        match fault {
            Some(CallFault::Fails) => return Err(io::ErrorKind::ResourceBusy.into()),
            Some(CallFault::EndBefore) => die(),
            Some(CallFault::EndAfter) | None => {}
        }
        let result = act(&self.0);
        if fault.is_some() {
            die();
        }
        result.map_err(|refusal| match refusal {
            Refusal::Missing(_) => io::ErrorKind::NotFound.into(),
            Refusal::NotDistinct | Refusal::NotMounted => io::ErrorKind::InvalidInput.into(),
            Refusal::Busy => io::ErrorKind::ResourceBusy.into(),
        })
    }
}

impl Kernel for ModelKernel {
    fn mount(&mut self, what: &Mount, at: &Path) -> io::Result<()> {
        let given = what.parameters(at);
        let value = |wanted: &str| {
            let found = given.iter().find(|(name, _)| *name == wanted).unwrap();
            found.1.as_ref().unwrap().to_str().unwrap().to_owned()
        };
        let option = |(name, value): &(&str, Option<std::ffi::OsString>)| match value {
            Some(value) => format!("{name}={}", value.display()),
            None => (*name).to_owned(),
        };
        let options: Vec<_> = given[3..].iter().map(option).collect();
        let what = Mounted {
            kind: value("fstype"),
            source: value("from"),
            at: value("fspath").into(),
            options: options.join(","),
            covered: None,
        };
        self.call(|launcher| launcher.tables.mount(what))
    }

    fn unmount(&mut self, at: &Path) -> io::Result<()> {
        self.call(|launcher| match launcher.tables.unmount(at) {
            Err(Refusal::NotMounted | Refusal::Missing(_)) => Ok(()),
            unmounted => unmounted,
        })
    }

    fn add_rule(&mut self, rule: &str) -> io::Result<()> {
        self.call(|launcher| {
            launcher.tables.add_rule(rule);
            Ok(())
        })
    }

    fn remove_rules(&mut self, subject: &str) -> io::Result<()> {
        self.call(|launcher| {
            launcher.tables.remove_rules(subject);
            Ok(())
        })
    }

    fn remove_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.call(|_| match std::fs::remove_dir(folder) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(_) => Err(Refusal::Busy),
        })
    }
}

/// Ends as a crash would, its islands' processes left as they are.
fn die() -> ! {
    let _ = raise(Signal::SIGKILL);
    unreachable!("a process survived SIGKILL")
}

fn jail(prepare: &JailRequest) -> Jail {
    let (path, addresses, user) = (PathBuf::new(), Vec::new(), prepare.user);
    let mut jail = Jail { path, addresses, user, vnet: false };
    for param in &prepare.jail {
        match (&*param.name, &param.value) {
            ("name", Value::Text(name)) => assert_eq!(*name, prepare.id),
            ("path", Value::Text(path)) => jail.path = path.into(),
            ("vnet", Value::Number(1)) => jail.vnet = true,
            (_, Value::Address4(address)) => jail.addresses.push(address.to_string()),
            (_, Value::Address6(address)) => jail.addresses.push(address.to_string()),
            _ => {}
        }
    }
    jail
}

/// The programs of the model are scripts, which a shell reads; they lie where the real ones would.
fn start(go: &ExecRequest, fds: Vec<OwnedFd>, root: &Path) -> Result<Child, String> {
    let mut fds = fds.into_iter();
    let mut stream = || fds.next().ok_or("the program came without its descriptors");
    let (stdin, stdout, stderr) = (stream()?, stream()?, stream()?);
    let channel = fds.next();
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let program = below(go.program.as_deref().ok_or("the model runs no program of a descriptor")?);
    File::open(&program).map_err(|error| format!("exec {}: {error}", program.display()))?;
    let mut shell = Command::new("/bin/sh");
    if let Some(channel) = channel {
        // SAFETY: dup2(2) may be called between fork and exec; the child owns its copy of the
        // descriptor with that number.
        unsafe { shell.pre_exec(move || take(&channel)) };
    }
    shell
        .arg(program)
        .args(&go.args[1..])
        .env_clear()
        .envs(go.env.iter().filter_map(|pair| pair.split_once('=')))
        .env("PATH", "/bin:/usr/bin")
        .env("ROOT", root)
        .current_dir(below(&go.folder))
        .process_group(0)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| format!("exec: {error}"))
}

/// Gives the call channel the number that FreeBSD's launcher gives it.
fn take(channel: &OwnedFd) -> io::Result<()> {
    const CHANNEL: i32 = 3;
    let result = match channel.as_raw_fd() {
        // SAFETY: plain integers.
        CHANNEL => unsafe { libc::fcntl(CHANNEL, libc::F_SETFD, 0) },
        // SAFETY: plain integers.
        other => unsafe { libc::dup2(other, CHANNEL) },
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
