//! The jails of the model: files in a folder that the launcher's process and the host's commands both look at.
//!
//! What must always hold: a jail is made once and removed once, whoever does it; when it has been removed nothing that
//! ran in it runs any more; one that had TCP is dying for a while after that, and holds its root.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How long a jail is dying that had TCP.
pub const DYING: Duration = Duration::from_millis(60);
/// How long a killed process may take to be gone.
const GONE_WAIT: Duration = Duration::from_secs(5);

/// The first user of a function; tools share theirs.
const FUNCTIONS: u32 = 1_398_341_648;

/// A jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jail {
    pub path: PathBuf,
    pub addresses: Vec<String>,
    /// The user of its processes.
    pub user: u32,
}

/// What the launcher is to do wrong when it is next told to make an island.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// It makes no jail, and says so.
    Refuse,
    /// It ends before it makes a jail.
    EndBefore,
    /// It ends when the jail is made.
    EndAfter,
    /// It ends when the program runs.
    EndWhile,
    /// It stands still before it makes a jail, until it is told to go on.
    StandBefore,
    /// It stands still when the jail is made, until it is told to go on.
    StandAfter,
}

#[derive(Clone, Debug)]
pub struct Prison {
    folder: PathBuf,
}

impl Prison {
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub fn create(folder: &Path) -> io::Result<Self> {
        for part in ["jails", "dying", "gone", "tcp", "pids"] {
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

    /// Says that a process, which leads a group of its own, is in a jail.
    pub fn enter(&self, name: &str, pid: i32) {
        // Written aside, so that nobody reads half of a number.
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

    /// All jails with whether they are dying.
    pub fn list(&self) -> Vec<(String, Jail, bool)> {
        let mut found: Vec<(String, Jail, bool)> = Vec::new();
        for (part, dying) in [("jails", false), ("dying", true)] {
            for entry in fs::read_dir(self.folder.join(part)).unwrap().flatten() {
                let age = entry.metadata().and_then(|m| m.modified()).map(|at| at.elapsed());
                if dying && matches!(age, Ok(Ok(age)) if age > DYING) {
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

    /// The addresses that interfaces have, for [`Prison::look_at`].
    pub fn set_addresses(&self, addresses: &[String]) {
        let aside = self.folder.join("addresses.new");
        fs::write(&aside, addresses.join("\n")).unwrap();
        fs::rename(aside, self.folder.join("addresses")).unwrap();
    }

    /// Looks at a jail that is to be made: its address is there, and nobody else has that or its user.
    pub fn look_at(&self, name: &str, jail: &Jail) {
        let there = fs::read_to_string(self.folder.join("addresses")).unwrap_or_default();
        for address in &jail.addresses {
            if !there.lines().any(|other| other == address) {
                self.complain(format!("{name} was made before its address {address}"));
            }
        }
        for (other, theirs, dying) in self.list() {
            // Nothing runs in one that is dying, so its user is nobody.
            if !dying && jail.user >= FUNCTIONS && jail.user == theirs.user {
                self.complain(format!("{name} has the user of {other}"));
            }
            if jail.addresses.iter().any(|address| theirs.addresses.contains(address)) {
                self.complain(format!("{name} has the address of {other}, dying: {dying}"));
            }
        }
    }

    /// Notes that something was done which must never be.
    pub fn complain(&self, what: String) {
        self.append("complaints", &what);
    }

    fn append(&self, file: &str, line: &str) {
        let path = self.folder.join(file);
        let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub fn complaints(&self) -> String {
        fs::read_to_string(self.folder.join("complaints")).unwrap_or_default()
    }

    pub fn order(&self, order: Order) {
        fs::write(self.folder.join("order"), serde_json::to_vec(&order).unwrap()).unwrap();
    }

    /// Takes the order; it is obeyed once.
    pub fn ordered(&self) -> Option<Order> {
        let path = self.folder.join("order");
        let order = serde_json::from_slice(&fs::read(&path).ok()?).ok();
        let _ = fs::remove_file(path);
        order
    }

    pub fn say_launcher(&self) {
        fs::write(self.folder.join("launcher"), std::process::id().to_string()).unwrap();
    }

    /// The last launcher that was started.
    pub fn launcher(&self) -> i32 {
        fs::read_to_string(self.folder.join("launcher")).unwrap().parse().unwrap()
    }

    /// Notes each island for the tests: who it was and what the host looked like.
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

/// Whether a process runs; one that nobody has reaped does not.
pub fn runs(pid: i32) -> bool {
    if kill(Pid::from_raw(pid), None).is_err() {
        return false;
    }
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // After the name, which may hold anything, in parentheses.
    !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim().starts_with('Z'))
}
