//! The mounts and the rules of the model's kernel: a file that the launcher's process and the
//! host's commands change, one after the other.
//!
//! Invariants: a mount in an island's root is that island's alone; nothing is unmounted while its
//! jail lives, nor before what is mounted in it; the rules of a jail stay while it lives.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::jail_model::JailModel;

/// A mount of another file system than ZFS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    pub kind: String,
    pub source: String,
    pub at: PathBuf,
    pub options: String,
    /// What lay there as an entry of a view.
    pub covered: Option<PathBuf>,
}

impl Mounted {
    fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|other| other == option)
    }

    /// `rw` unless it is read-only.
    pub fn access(&self) -> &'static str {
        if self.has("ro") { "ro" } else { "rw" }
    }
}

/// What the kernel has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tables {
    pub mounts: Vec<Mounted>,
    pub rules: Vec<String>,
}

/// Why the kernel does nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A folder is not there.
    Missing(String),
    /// A folder would lie below itself.
    NotDistinct,
    /// There is a folder, and nothing is mounted on it.
    NotMounted,
    Busy,
}

#[derive(Clone, Debug)]
pub struct KernelModel {
    jails: JailModel,
    folder: PathBuf,
    /// Where the roots of islands lie.
    run: PathBuf,
}

impl KernelModel {
    /// The kernel of a lab, beside whose `jails/run` is the folder of its jails.
    pub fn of(jails: &JailModel, lab: &Path) -> Self {
        Self { jails: jails.clone(), folder: lab.to_owned(), run: lab.join("jails/run") }
    }

    /// Looks at the tables and changes them.
    pub fn with<T>(&self, act: impl FnOnce(&mut Tables) -> T) -> T {
        let lock = File::create(self.folder.join("tables.lock")).unwrap();
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
        let (file, aside) = (self.folder.join("tables"), self.folder.join("tables.new"));
        let before = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                b"{\"mounts\":[],\"rules\":[]}".to_vec()
            }
            before => before.unwrap(),
        };
        let mut tables = serde_json::from_slice(&before).unwrap();
        let result = act(&mut tables);
        let after = serde_json::to_vec(&tables).unwrap();
        if after != before {
            // A rename, because a launcher may be killed at any time.
            fs::write(&aside, after).unwrap();
            fs::rename(&aside, file).unwrap();
        }
        result
    }

    /// The mounts, the oldest first.
    pub fn mounts(&self) -> Vec<Mounted> {
        self.with(|tables| tables.mounts.clone())
    }

    /// The living jail whose root a path lies in.
    fn living(&self, at: &Path) -> Option<String> {
        let found = self.jails.list().into_iter();
        found.filter(|(_, jail, dying)| !dying && at.starts_with(&jail.path)).map(|it| it.0).next()
    }

    /// Whether a folder is a part of a mount, or is shown by one.
    pub fn holds(&self, folder: &Path) -> bool {
        let shown = |it: &Mounted| it.kind == "nullfs" && Path::new(&it.source).starts_with(folder);
        self.mounts().iter().any(|it| it.at.starts_with(folder) || shown(it))
    }

    /// A living jail that has a view of this folder.
    pub fn user_of(&self, folder: &Path) -> Option<String> {
        let mounts = self.mounts();
        let mut views = mounts.iter().filter(|it| Path::new(&it.source) == folder);
        views.find_map(|it| self.living(&it.at))
    }

    pub fn mount(&self, what: Mounted) -> Result<(), Refusal> {
        self.with(|tables| self.mount_in(tables, what))
    }

    fn mount_in(&self, tables: &mut Tables, mut what: Mounted) -> Result<(), Refusal> {
        let at = what.at.clone();
        if !at.is_dir() {
            return Err(Refusal::Missing(at.display().to_string()));
        }
        if what.kind == "nullfs" {
            let source = Path::new(&what.source);
            if !source.is_dir() {
                return Err(Refusal::Missing(what.source));
            }
            if source.starts_with(&at) || at.starts_with(source) {
                return Err(Refusal::NotDistinct);
            }
            let twice = |other: &&Mounted| {
                other.source == what.source && other.has("rw") && self.living(&other.at).is_some()
            };
            if what.has("rw")
                && let Some(other) = tables.mounts.iter().find(twice)
            {
                let (source, place) = (&what.source, at.display());
                self.jails
                    .report_violation(format!("{source} is writable on {place} and {other:?}"));
            }
            if at.parent() == Some(&self.run) {
                self.show(&what, &at);
            } else if fs::remove_dir(&at).is_ok() {
                // What lies below is seen by the island's program, which is no further away than a
                // folder.
                std::os::unix::fs::symlink(source, &at).unwrap();
            }
        } else if let Ok(entry) = fs::read_link(&at) {
            fs::remove_file(&at).unwrap();
            fs::create_dir(&at).unwrap();
            what.covered = Some(entry);
        }
        tables.mounts.push(what);
        Ok(())
    }

    /// Makes a root a view: each entry is one of the source, until something is mounted on it.
    fn show(&self, what: &Mounted, at: &Path) {
        if !(what.has("ro") && what.has("nosuid")) {
            self.jails.report_violation(format!("the root {what:?} can be written"));
        }
        for entry in fs::read_dir(&what.source).unwrap().flatten() {
            std::os::unix::fs::symlink(entry.path(), at.join(entry.file_name())).unwrap();
        }
    }

    pub fn unmount(&self, at: &Path) -> Result<(), Refusal> {
        self.with(|tables| self.unmount_in(tables, at))
    }

    fn unmount_in(&self, tables: &mut Tables, at: &Path) -> Result<(), Refusal> {
        let place = at.display();
        let Some(found) = tables.mounts.iter().rposition(|mount| mount.at == at) else {
            return Err(match at.symlink_metadata() {
                Ok(_) => Refusal::NotMounted,
                Err(_) => Refusal::Missing(place.to_string()),
            });
        };
        // On the host, force may succeed here. The model is harsher and refuses.
        if let Some(jail) = self.living(at) {
            self.jails.report_violation(format!("{place} was to be unmounted while {jail} lives"));
            return Err(Refusal::Busy);
        }
        let above = |mount: &&Mounted| mount.at != at && mount.at.starts_with(at);
        if tables.mounts[found..].iter().any(|mount| above(&mount)) {
            return Err(Refusal::Busy);
        }
        let gone = tables.mounts.remove(found);
        match (gone.kind.as_str(), gone.covered) {
            (_, Some(entry)) => {
                fs::remove_dir_all(at).unwrap();
                std::os::unix::fs::symlink(entry, at).unwrap();
            }
            ("nullfs", None) if at.parent() == Some(&self.run) => {
                for entry in fs::read_dir(at).unwrap().flatten() {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
            ("nullfs", None) if fs::remove_file(at).is_ok() => fs::create_dir(at).unwrap(),
            ("tmpfs", None) => {
                fs::remove_dir_all(at).unwrap();
                fs::create_dir(at).unwrap();
            }
            _ => {}
        }
        Ok(())
    }

    pub fn add_rule(&self, rule: &str) {
        self.with(|tables| tables.rules.push(rule.to_owned()));
    }

    /// Removes the rules of a subject such as `jail:NAME`. False where there are none.
    pub fn remove_rules(&self, subject: &str) -> bool {
        let of = format!("{subject}:");
        let name = subject.trim_start_matches("jail:");
        if self.jails.exists(name) {
            self.jails.report_violation(format!("the rules of {name} go while it lives"));
        }
        self.with(|tables| {
            let before = tables.rules.len();
            tables.rules.retain(|rule| !rule.starts_with(&of));
            tables.rules.len() < before
        })
    }
}
