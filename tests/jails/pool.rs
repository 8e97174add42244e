//! zfs(8) of the model: datasets and snapshots are folders, and its messages are those of OpenZFS
//! 2.4.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use host::exec::Output;

use super::{bad, good};

/// A file system.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    pub origin: Option<String>,
    /// Where its contents are while it is not mounted.
    unmounted: Option<PathBuf>,
    pub properties: BTreeMap<String, String>,
}

impl Dataset {
    fn property(&self, name: &str) -> &str {
        self.properties.get(name).map_or("-", String::as_str)
    }
}

/// All datasets and snapshots. Mount points are inherited: `zroot/jails` lies in one folder, all
/// others below it.
pub struct Pool {
    pub datasets: BTreeMap<String, Dataset>,
    pub snapshots: BTreeMap<String, PathBuf>,
    pub imported: bool,
    root: String,
    folder: PathBuf,
    /// Where snapshots are kept.
    kept: PathBuf,
    counter: u32,
}

impl Pool {
    pub fn new(root: &str, folder: &Path, kept: &Path) -> Self {
        fs::create_dir_all(kept).unwrap();
        let mut pool = Self {
            datasets: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            imported: true,
            root: root.to_owned(),
            folder: folder.to_owned(),
            kept: kept.to_owned(),
            counter: 0,
        };
        pool.add(root);
        pool
    }

    pub fn folder_of(&self, dataset: &str) -> PathBuf {
        let below = dataset.strip_prefix(&self.root).unwrap();
        self.folder.join(below.trim_start_matches('/'))
    }

    /// Makes a dataset; whatever its name.
    pub fn add(&mut self, name: &str) -> PathBuf {
        let folder = self.folder_of(name);
        fs::create_dir_all(&folder).unwrap();
        self.datasets.insert(name.to_owned(), Dataset::default());
        folder
    }

    pub fn snapshot(&mut self, name: &str) -> Output {
        let (dataset, _) = name.split_once('@').unwrap();
        if !self.datasets.contains_key(dataset) {
            return bad(2, &format!("cannot open '{dataset}': dataset does not exist\nusage:"));
        }
        if self.snapshots.contains_key(name) {
            return bad(1, &format!("cannot create snapshot '{name}': dataset already exists"));
        }
        self.counter += 1;
        let copy = self.kept.join(self.counter.to_string());
        copy_folder(&self.folder_of(dataset), &copy);
        self.snapshots.insert(name.to_owned(), copy);
        good("")
    }

    /// Runs `zfs` with these arguments. `busy` says whether something holds a folder.
    pub fn run(&mut self, words: &[&str], busy: impl Fn(&Path) -> bool) -> Output {
        match words {
            ["clone", options @ .., origin, name] => self.clone(options, origin, name),
            ["snapshot", name] => self.snapshot(name),
            ["destroy", name] if name.contains('@') => self.destroy_snapshot(name),
            ["destroy", name] => self.destroy(name, false, busy),
            ["destroy", "-r", name] => self.destroy(name, true, busy),
            ["set", pairs @ .., name] => self.set(pairs, name),
            ["get", "-H", "-p", "-o", "value", property, name] => match self.datasets.get(*name) {
                Some(found) => good(&format!("{}\n", found.property(property))),
                None => bad(1, &format!("cannot open '{name}': dataset does not exist")),
            },
            ["get", "-H", "-p", "-r", "-t", "filesystem", "-o", "name,value", property, root] => {
                let below = self.datasets.iter().filter(|(name, _)| name.starts_with(root));
                let line = |(name, it): (&String, &Dataset)| {
                    format!("{name}\t{}\n", it.property(property))
                };
                good(&below.map(line).collect::<String>())
            }
            ["unmount", name] => self.unmount(name, busy),
            ["mount", name] => self.mount(name),
            ["list", "-H", "-o", "name", "-t", "snapshot", name] => {
                match self.snapshots.contains_key(*name) {
                    true => good(&format!("{name}\n")),
                    false => bad(1, &format!("cannot open '{name}': dataset does not exist")),
                }
            }
            [
                "list",
                "-H",
                "-p",
                "-o",
                "name,type,used,available,mountpoint,origin",
                "-t",
                "filesystem,snapshot",
                "-r",
                name,
            ] => self.list(name),
            ["list", "-H", "-p", "-o", _, "-t", "filesystem,snapshot", name] => {
                match self.imported {
                    true => good(&format!("{name}\tfilesystem\t1\t1\t/{name}\t-\n")),
                    false => bad(1, &format!("cannot open '{name}': dataset does not exist")),
                }
            }
            _ => panic!("the model knows no `zfs {}`", words.join(" ")),
        }
    }

    fn clone(&mut self, options: &[&str], origin: &str, name: &str) -> Output {
        if self.datasets.contains_key(name) {
            return bad(1, &format!("cannot create '{name}': dataset already exists"));
        }
        let Some(copy) = self.snapshots.get(origin).cloned() else {
            return bad(1, &format!("cannot open '{origin}': dataset does not exist"));
        };
        let parent = name.rsplit_once('/').unwrap().0;
        if !self.datasets.contains_key(parent) {
            return bad(1, &format!("cannot create '{name}': parent does not exist"));
        }
        let mut dataset = Dataset { origin: Some(origin.to_owned()), ..Default::default() };
        for pair in options.chunks(2) {
            assert_eq!(pair[0], "-o");
            let (property, value) = pair[1].split_once('=').unwrap();
            dataset.properties.insert(property.to_owned(), value.to_owned());
        }
        copy_folder(&copy, &self.folder_of(name));
        self.datasets.insert(name.to_owned(), dataset);
        good("")
    }

    fn set(&mut self, pairs: &[&str], name: &str) -> Output {
        let Some(dataset) = self.datasets.get_mut(name) else {
            return bad(1, &format!("cannot open '{name}': dataset does not exist"));
        };
        for pair in pairs {
            let (property, value) = pair.split_once('=').unwrap();
            dataset.properties.insert(property.to_owned(), value.to_owned());
        }
        good("")
    }

    /// The folder stays, and is empty.
    fn unmount(&mut self, name: &str, busy: impl Fn(&Path) -> bool) -> Output {
        let kept = self.kept.join(format!("unmounted-{}", name.replace('/', "-")));
        let folder = self.folder_of(name);
        let Some(dataset) = self.datasets.get_mut(name) else {
            return bad(1, &format!("cannot open '{name}': dataset does not exist"));
        };
        if dataset.unmounted.is_some() {
            return bad(1, &format!("cannot unmount '{name}': not currently mounted"));
        }
        if busy(&folder) {
            let at = folder.display();
            return bad(1, &format!("cannot unmount '{at}': pool or dataset is busy"));
        }
        fs::rename(&folder, &kept).unwrap();
        fs::create_dir(&folder).unwrap();
        dataset.unmounted = Some(kept);
        good("")
    }

    fn mount(&mut self, name: &str) -> Output {
        let folder = self.folder_of(name);
        let Some(dataset) = self.datasets.get_mut(name) else {
            return bad(1, &format!("cannot open '{name}': dataset does not exist"));
        };
        let Some(kept) = dataset.unmounted.take() else {
            return bad(1, &format!("cannot mount '{name}': filesystem already mounted"));
        };
        fs::remove_dir(&folder).unwrap();
        fs::rename(kept, folder).unwrap();
        good("")
    }

    fn clones_of(&self, snapshot: &str) -> Vec<String> {
        let of = |dataset: &Dataset| dataset.origin.as_deref() == Some(snapshot);
        self.datasets.iter().filter(|(_, it)| of(it)).map(|(name, _)| name.clone()).collect()
    }

    fn destroy_snapshot(&mut self, name: &str) -> Output {
        if !self.snapshots.contains_key(name) {
            return bad(1, "could not find any snapshots to destroy; check snapshot names.");
        }
        let clones = self.clones_of(name);
        if !clones.is_empty() {
            let said = format!(
                "cannot destroy '{name}': snapshot has dependent clones\n\
                 use '-R' to destroy the following datasets:\n{}",
                clones.join("\n")
            );
            return bad(1, &said);
        }
        fs::remove_dir_all(self.snapshots.remove(name).unwrap()).unwrap();
        good("")
    }

    fn destroy(&mut self, name: &str, tree: bool, busy: impl Fn(&Path) -> bool) -> Output {
        if !self.datasets.contains_key(name) {
            return bad(1, &format!("cannot open '{name}': dataset does not exist"));
        }
        let own = |other: &&String| {
            other.strip_prefix(name).is_some_and(|rest| rest.starts_with(['/', '@']))
        };
        let mut below: Vec<String> = self.datasets.keys().filter(own).cloned().collect();
        below.extend(self.snapshots.keys().filter(own).cloned());
        if !tree && !below.is_empty() {
            let said = format!(
                "cannot destroy '{name}': filesystem has children\n\
                 use '-r' to destroy the following datasets:\n{}",
                below.join("\n")
            );
            return bad(1, &said);
        }
        let clones = below.iter().flat_map(|snapshot| self.clones_of(snapshot));
        let clones: Vec<_> = clones.filter(|clone| !below.contains(clone)).collect();
        if !clones.is_empty() {
            let said = format!(
                "cannot destroy '{name}': filesystem has dependent clones\n\
                 use '-R' to destroy the following datasets:\n{}",
                clones.join("\n")
            );
            return bad(1, &said);
        }
        let folder = self.folder_of(name);
        if busy(&folder) {
            let at = folder.display();
            return bad(1, &format!("cannot unmount '{at}': pool or dataset is busy"));
        }
        for gone in below.iter().chain([&name.to_owned()]) {
            if let Some(kept) = self.datasets.remove(gone).and_then(|it| it.unmounted) {
                fs::remove_dir_all(kept).unwrap();
            }
            if let Some(copy) = self.snapshots.remove(gone) {
                fs::remove_dir_all(copy).unwrap();
            }
        }
        fs::remove_dir_all(folder).unwrap();
        good("")
    }

    fn list(&self, root: &str) -> Output {
        if !self.datasets.contains_key(root) {
            return bad(1, &format!("cannot open '{root}': dataset does not exist"));
        }
        let below = |name: &&String| {
            let rest = name.strip_prefix(root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '@']))
        };
        let mut text = String::new();
        for name in self.datasets.keys().filter(below) {
            let (at, dataset) = (self.folder_of(name), &self.datasets[name]);
            let origin = dataset.origin.as_deref().unwrap_or("-");
            text += &format!("{name}\tfilesystem\t24576\t5720754176\t{}\t{origin}\n", at.display());
        }
        for name in self.snapshots.keys().filter(below) {
            text += &format!("{name}\tsnapshot\t0\t-\t-\t-\n");
        }
        good(&text)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
