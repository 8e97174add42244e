//! The jails of the model: files in a folder that the launcher's process and the host's commands
//! use.
//!
//! Invariants: a jail is made once and removed once; no process of a removed jail runs; a jail that
//! had TCP is dying for a while after its removal, and keeps its root busy; where the peer never
//! closes, the jail is dying until its connection is dropped.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How long a jail that had TCP is dying.
pub const DYING: Duration = Duration::from_millis(60);
/// How long a killed process may take to be gone.
const GONE_WAIT: Duration = Duration::from_secs(5);

/// What is noted of a jail whose peer does not close.
const HALF_CLOSED: &[u8] = b"half-closed";

/// The first user of a function; tools share theirs.
const FUNCTIONS: u32 = 1_398_341_648;

/// A jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jail {
    pub path: PathBuf,
    pub addresses: Vec<String>,
    /// The user of its processes.
    pub user: u32,
    /// It has a network stack of its own.
    pub vnet: bool,
}

/// A fault of the launcher at its next request to make an island.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LauncherFault {
    /// It makes no jail, and reports that.
    Refuse,
    /// It ends before it makes a jail.
    EndBefore,
    /// It ends when the jail is made.
    EndAfter,
    /// It ends when the program runs.
    EndWhile,
    /// It stops before it makes a jail, until a signal continues it.
    StopBefore,
    /// It stops after it has made the jail, until a signal continues it.
    StopAfter,
}

/// A fault of one of the system calls by which the launcher makes and undoes the parts of jails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallFault {
    /// It fails.
    Fails,
    /// The launcher ends before it.
    EndBefore,
    /// The launcher ends after it.
    EndAfter,
}

#[derive(Clone, Debug)]
pub struct JailModel {
    folder: PathBuf,
}

impl JailModel {
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub fn create(folder: &Path) -> io::Result<Self> {
        for part in ["jails", "dying", "gone", "tcp", "held", "pids"] {
            fs::create_dir_all(folder.join(part))?;
        }
        Ok(Self::at(folder))
    }

    fn file(&self, part: &str, name: &str) -> PathBuf {
        self.folder.join(part).join(name)
    }

    /// jail_set(2) with JAIL_CREATE.
    pub fn make(&self, name: &str, jail: &Jail) -> Result<(), String> {
        if !jail.path.is_dir() {
            return Err(format!("path {}: No such file or directory", jail.path.display()));
        }
        let aside = self.file("gone", &format!("{name}.new"));
        fs::write(&aside, serde_json::to_vec(jail).unwrap()).map_err(|e| e.to_string())?;
        // Unlike a rename, a link does not replace.
        let linked = fs::hard_link(&aside, self.file("jails", name));
        fs::remove_file(&aside).map_err(|e| e.to_string())?;
        linked.map_err(|_| format!("jail \"{name}\" already exists"))
    }

    pub fn exists(&self, name: &str) -> bool {
        self.file("jails", name).exists()
    }

    /// jail_remove(2): ends what runs inside. False where there is no such jail.
    pub fn remove(&self, name: &str) -> bool {
        let (jail, gone) = (self.file("jails", name), self.file("gone", name));
        if self.file("tcp", name).exists()
            && let Ok(text) = fs::read(&jail)
        {
            if fs::read(self.file("tcp", name)).is_ok_and(|text| text == HALF_CLOSED) {
                fs::write(self.file("held", name), "").unwrap();
            }
            fs::write(self.file("dying", name), text).unwrap();
        }
        if fs::rename(&jail, &gone).is_err() {
            return false;
        }
        self.end_processes(name);
        for part in ["gone", "tcp", "pids"] {
            let _ = fs::remove_file(self.file(part, name));
        }
        true
    }

    /// Kills what runs in a jail and waits for its end.
    pub fn end_processes(&self, name: &str) {
        let Some(pid) = self.process(name) else { return };
        let until = Instant::now() + GONE_WAIT;
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        while runs(pid) {
            assert!(Instant::now() < until, "{pid} of {name} does not end");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Notes that a process, which leads a group of its own, is in a jail.
    pub fn enter(&self, name: &str, pid: i32) {
        // A rename is atomic, so a reader never sees half of a number.
        let aside = self.file("gone", &format!("{name}.pid"));
        fs::write(&aside, pid.to_string()).unwrap();
        fs::rename(&aside, self.file("pids", name)).unwrap();
    }

    pub fn process(&self, name: &str) -> Option<i32> {
        fs::read_to_string(self.file("pids", name)).ok()?.parse().ok()
    }

    /// Says that a jail has had a connection.
    pub fn connected(&self, name: &str) {
        fs::write(self.file("tcp", name), "").unwrap();
    }

    /// Says that a jail has a connection whose peer will never close it.
    pub fn half_closed(&self, name: &str) {
        fs::write(self.file("tcp", name), HALF_CLOSED).unwrap();
    }

    /// The addresses of dying jails that have a half-closed connection.
    pub fn half_closed_addresses(&self) -> Vec<String> {
        let held = |name: &str| self.file("held", name).exists();
        let dying = self.list().into_iter().filter(|(name, _, dying)| *dying && held(name));
        dying.flat_map(|(_, jail, _)| jail.addresses).collect()
    }

    /// net.inet.tcp.drop: closes the half-closed connections of an address. False where there is
    /// none.
    pub fn drop_connections(&self, address: &str) -> bool {
        let of = |(_, jail, dying): &(String, Jail, bool)| {
            *dying && jail.addresses.iter().any(|other| other == address)
        };
        let found = self.list().into_iter().filter(of);
        found.filter(|(name, ..)| fs::remove_file(self.file("held", name)).is_ok()).count() > 0
    }

    /// All jails with whether they are dying.
    pub fn list(&self) -> Vec<(String, Jail, bool)> {
        let mut found: Vec<(String, Jail, bool)> = Vec::new();
        for (part, dying) in [("jails", false), ("dying", true)] {
            for entry in fs::read_dir(self.folder.join(part)).unwrap().flatten() {
                let age = entry.metadata().and_then(|m| m.modified()).map(|at| at.elapsed());
                let held = self.folder.join("held").join(entry.file_name()).exists();
                if dying && !held && matches!(age, Ok(Ok(age)) if age > DYING) {
                    let _ = fs::remove_file(entry.path());
                    continue;
                }
                let Ok(text) = fs::read(entry.path()) else { continue };
                let name = entry.file_name().into_string().unwrap();
                // One that is being removed is listed once.
                if let Ok(jail) = serde_json::from_slice(&text)
                    && !(dying && found.iter().any(|(other, ..)| *other == name))
                {
                    found.push((name, jail, dying));
                }
            }
        }
        found
    }

    /// Whether a jail, living or dying, has its root here.
    pub fn holds(&self, root: &Path) -> bool {
        self.list().iter().any(|(_, jail, _)| jail.path == root)
    }

    /// The processes that are said to be in jails and still run.
    pub fn processes(&self) -> Vec<i32> {
        let entries = fs::read_dir(self.folder.join("pids")).unwrap().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| self.process(&name)).filter(|pid| runs(*pid)).collect()
    }

    /// The addresses that interfaces have, for [`JailModel::look_at`].
    pub fn set_addresses(&self, addresses: &[String]) {
        let aside = self.folder.join("addresses.new");
        fs::write(&aside, addresses.join("\n")).unwrap();
        fs::rename(aside, self.folder.join("addresses")).unwrap();
    }

    /// Checks a jail that is to be made: its address is on an interface, and no other jail has its
    /// address or its user.
    pub fn look_at(&self, name: &str, jail: &Jail) {
        let there = fs::read_to_string(self.folder.join("addresses")).unwrap_or_default();
        for address in &jail.addresses {
            if !there.lines().any(|other| other == address) {
                self.report_violation(format!("{name} was made before its address {address}"));
            }
        }
        for (other, theirs, dying) in self.list() {
            // Nothing runs in a dying jail, so its user is free.
            if !dying && jail.user >= FUNCTIONS && jail.user == theirs.user {
                self.report_violation(format!("{name} has the user of {other}"));
            }
            if jail.addresses.iter().any(|address| theirs.addresses.contains(address)) {
                self.report_violation(format!("{name} has the address of {other}, dying: {dying}"));
            }
        }
    }

    /// Notes that the backend broke a rule.
    pub fn report_violation(&self, what: String) {
        self.append("violations", &what);
    }

    fn append(&self, file: &str, line: &str) {
        let path = self.folder.join(file);
        let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub fn violations(&self) -> String {
        fs::read_to_string(self.folder.join("violations")).unwrap_or_default()
    }

    pub fn set_launcher_fault(&self, fault: LauncherFault) {
        fs::write(self.folder.join("launcher_fault"), serde_json::to_vec(&fault).unwrap()).unwrap();
    }

    /// Takes the fault, which happens once.
    pub fn take_launcher_fault(&self) -> Option<LauncherFault> {
        let path = self.folder.join("launcher_fault");
        let fault = serde_json::from_slice(&fs::read(&path).ok()?).ok();
        let _ = fs::remove_file(path);
        fault
    }

    /// Has the launcher's system call with this number, counted from now, go wrong.
    pub fn set_call_fault(&self, number: usize, fault: CallFault) {
        self.write_call_fault(&(number, fault));
    }

    fn write_call_fault(&self, fault: &(usize, CallFault)) {
        let (file, aside) = (self.folder.join("call_fault"), self.folder.join("call_fault.new"));
        fs::write(&aside, serde_json::to_vec(fault).unwrap()).unwrap();
        fs::rename(aside, file).unwrap();
    }

    /// Takes the fault, if it is that of the present call. One call at a time may do this.
    pub fn take_call_fault(&self) -> Option<CallFault> {
        let path = self.folder.join("call_fault");
        let (left, fault): (usize, CallFault) =
            serde_json::from_slice(&fs::read(&path).ok()?).unwrap();
        if left > 0 {
            self.write_call_fault(&(left - 1, fault));
            return None;
        }
        let _ = fs::remove_file(path);
        Some(fault)
    }

    /// How many calls are left before the fault, which does not come any more; none where it has
    /// come.
    pub fn forget_call_fault(&self) -> Option<usize> {
        let path = self.folder.join("call_fault");
        let (left, _): (usize, CallFault) = serde_json::from_slice(&fs::read(&path).ok()?).unwrap();
        fs::remove_file(path).unwrap();
        Some(left)
    }

    pub fn say_launcher(&self) {
        fs::write(self.folder.join("launcher"), std::process::id().to_string()).unwrap();
    }

    /// The last launcher that was started.
    pub fn launcher(&self) -> i32 {
        fs::read_to_string(self.folder.join("launcher")).unwrap().parse().unwrap()
    }

    /// Notes a jail for the tests.
    pub fn note(&self, name: &str, jail: &Jail) {
        self.append("log", &format!("{name} {}", serde_json::to_string(jail).unwrap()));
    }

    /// The jails that there have been.
    pub fn noted(&self) -> Vec<(String, Jail)> {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let line = |line: &str| {
            let (name, jail) = line.split_once(' ').unwrap();
            (name.to_owned(), serde_json::from_str(jail).unwrap())
        };
        log.lines().map(line).collect()
    }
}

/// The number of a jail of this name.
pub fn jid(name: &str) -> i32 {
    let number = name.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    (number % 1_000_000 + 1) as i32
}

/// Whether a process runs; a zombie does not.
pub fn runs(pid: i32) -> bool {
    if kill(Pid::from_raw(pid), None).is_err() {
        return false;
    }
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // After the name, which may hold anything, in parentheses.
    !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim().starts_with('Z'))
}
