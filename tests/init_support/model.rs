//! ZFS as far as init uses it, on plain folders: datasets, snapshots, clones, properties, and its
//! errors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use host::exec::Output;

#[derive(Clone, Default)]
struct Node {
    properties: BTreeMap<String, String>,
    origin: Option<String>,
}

/// One pool, `tank`. Snapshots lie in a folder of their own.
pub struct Model {
    store: PathBuf,
    nodes: Mutex<BTreeMap<String, Node>>,
    /// How many removals are still refused, because something uses the dataset.
    busy: Mutex<u32>,
}

type Answer = Result<String, String>;

impl Model {
    pub fn new(store: &Path) -> Self {
        fs::create_dir_all(store).unwrap();
        let nodes = BTreeMap::from([("tank".to_owned(), Node::default())]);
        Self { store: store.to_owned(), nodes: Mutex::new(nodes), busy: Mutex::default() }
    }

    /// Refuses so many removals, as ZFS does while something uses the dataset.
    pub fn keep_busy(&self, times: u32) {
        *self.busy.lock().unwrap() = times;
    }

    /// How many removals are still to be refused.
    pub fn is_busy(&self) -> u32 {
        *self.busy.lock().unwrap()
    }

    /// What `zfs` with these words answers.
    pub fn answer(&self, words: &[String]) -> Output {
        let result = match words[0].as_str() {
            "create" => self.make(&words[1..], false),
            "clone" => self.make(&words[1..], true),
            "snapshot" => self.snapshot(&words[1]),
            "destroy" => self.destroy(&words[1]),
            "rename" => self.rename(&words[1], &words[2]),
            "set" => self.set(&words[1..]),
            "get" => self.get(words),
            "list" => self.list(words),
            other => panic!("the model knows no zfs {other}"),
        };
        match result {
            Ok(stdout) => Output { code: Some(0), stdout, stderr: String::new() },
            Err(stderr) => Output { code: Some(1), stdout: String::new(), stderr },
        }
    }

    /// Every dataset and snapshot with its properties and origin.
    pub fn listing(&self) -> Vec<String> {
        let nodes = self.nodes.lock().unwrap();
        nodes
            .iter()
            .map(|(name, node)| format!("{name} {:?} {:?}", node.properties, node.origin))
            .collect()
    }

    fn make(&self, words: &[String], clone: bool) -> Answer {
        let mut node = Node::default();
        let mut names = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "-o" {
                let (key, value) = words.next().unwrap().split_once('=').unwrap();
                node.properties.insert(key.to_owned(), value.to_owned());
            } else {
                names.push(word.clone());
            }
        }
        let name = names.pop().unwrap();
        let mut nodes = self.nodes.lock().unwrap();
        if nodes.contains_key(&name) {
            return Err(format!("cannot create '{name}': dataset already exists"));
        }
        if !nodes.contains_key(name.rsplit_once('/').unwrap().0) {
            return Err(format!("cannot create '{name}': parent does not exist"));
        }
        if clone {
            let origin = names.pop().unwrap();
            if !nodes.contains_key(&origin) {
                return Err(format!("cannot open '{origin}': dataset does not exist"));
            }
            node.origin = Some(origin);
        }
        let origin = node.origin.clone();
        nodes.insert(name.clone(), node);
        let folder = folder(&nodes, &name).expect("a made dataset is mounted");
        fs::create_dir_all(&folder).unwrap();
        if let Some(origin) = origin {
            copy(&self.store.join(origin.replace('/', "+")), &folder);
        }
        Ok(String::new())
    }

    fn snapshot(&self, name: &str) -> Answer {
        let mut nodes = self.nodes.lock().unwrap();
        if nodes.contains_key(name) {
            return Err(format!("cannot create snapshot '{name}': dataset already exists"));
        }
        let from = folder(&nodes, name.split('@').next().unwrap()).unwrap();
        copy(&from, &self.store.join(name.replace('/', "+")));
        nodes.insert(name.to_owned(), Node::default());
        Ok(String::new())
    }

    fn destroy(&self, name: &str) -> Answer {
        let mut nodes = self.nodes.lock().unwrap();
        if !nodes.contains_key(name) {
            return Err(format!("cannot open '{name}': dataset does not exist"));
        }
        if nodes.values().any(|node| node.origin.as_deref() == Some(name)) {
            return Err(format!("cannot destroy '{name}': snapshot has dependent clones"));
        }
        if below(&nodes, name).next().is_some() {
            return Err(format!("cannot destroy '{name}': filesystem has children"));
        }
        let mut busy = self.busy.lock().unwrap();
        if *busy > 0 {
            *busy -= 1;
            return Err(format!("cannot unmount '/{name}': pool or dataset is busy"));
        }
        let path = match name.contains('@') {
            true => self.store.join(name.replace('/', "+")),
            false => folder(&nodes, name).unwrap(),
        };
        fs::remove_dir_all(path).unwrap();
        nodes.remove(name);
        Ok(String::new())
    }

    fn rename(&self, from: &str, to: &str) -> Answer {
        let mut nodes = self.nodes.lock().unwrap();
        if nodes.contains_key(to) {
            return Err(format!("cannot rename '{from}': dataset already exists"));
        }
        let old = folder(&nodes, from).unwrap();
        let moved: Vec<String> = below(&nodes, from).chain([from]).map(str::to_owned).collect();
        for name in moved {
            let new = name.replacen(from, to, 1);
            let node = nodes.remove(&name).unwrap();
            if name.contains('@') {
                let at = |name: &str| self.store.join(name.replace('/', "+"));
                fs::rename(at(&name), at(&new)).unwrap();
                for node in nodes.values_mut().filter(|n| n.origin.as_deref() == Some(&name)) {
                    node.origin = Some(new.clone());
                }
            }
            nodes.insert(new, node);
        }
        fs::rename(old, folder(&nodes, to).unwrap()).unwrap();
        Ok(String::new())
    }

    fn set(&self, words: &[String]) -> Answer {
        let (name, pairs) = words.split_last().unwrap();
        let mut nodes = self.nodes.lock().unwrap();
        let node =
            nodes.get_mut(name).ok_or(format!("cannot open '{name}': dataset does not exist"))?;
        for pair in pairs {
            let (key, value) = pair.split_once('=').unwrap();
            node.properties.insert(key.to_owned(), value.to_owned());
        }
        Ok(String::new())
    }

    fn get(&self, words: &[String]) -> Answer {
        let [.., property, root] = words else { panic!("{words:?}") };
        let nodes = self.nodes.lock().unwrap();
        if !nodes.contains_key(root) {
            return Err(format!("cannot open '{root}': dataset does not exist"));
        }
        let inherited = |name: &str, property: &str| {
            let mut at = Some(name);
            while let Some(here) = at {
                if let Some(value) = nodes[here].properties.get(property) {
                    return value.clone();
                }
                at = here.rsplit_once('/').map(|(parent, _)| parent);
            }
            "-".to_owned()
        };
        let value = |name: &str, property: &str| match property {
            "mounted" => "yes".to_owned(),
            "mountpoint" => {
                folder(&nodes, name).map_or("none".into(), |at| at.display().to_string())
            }
            _ => inherited(name, property),
        };
        if !words.iter().any(|word| word == "-r") {
            return Ok(property.split(',').map(|one| value(root, one) + "\n").collect());
        }
        let below = below(&nodes, root).filter(|name| !name.contains('@'));
        let names = [root.as_str()].into_iter().chain(below);
        Ok(names.map(|name| format!("{name}\t{}\n", value(name, property))).collect())
    }

    fn list(&self, words: &[String]) -> Answer {
        let nodes = self.nodes.lock().unwrap();
        let root = words.last().unwrap();
        if !nodes.contains_key(root) {
            return Err(format!("cannot open '{root}': dataset does not exist"));
        }
        let deep = words.iter().any(|word| word == "-r");
        let names = deep.then(|| below(&nodes, root)).into_iter().flatten();
        let long = words.iter().any(|word| word.starts_with("name,"));
        let mut text = String::new();
        for name in [root.as_str()].into_iter().chain(names) {
            if !long {
                text += &format!("{name}\n");
                continue;
            }
            let origin = nodes[name].origin.as_deref().unwrap_or("-");
            text += &match folder(&nodes, name).filter(|_| !name.contains('@')) {
                Some(at) => {
                    format!("{name}\tfilesystem\t1\t5720754176\t{}\t{origin}\n", at.display())
                }
                None if name.contains('@') => format!("{name}\tsnapshot\t0\t-\t-\t-\n"),
                None => format!("{name}\tfilesystem\t1\t5720754176\tnone\t-\n"),
            };
        }
        Ok(text)
    }
}

/// Where a dataset is mounted: at its own mount point, or below its parent's.
fn folder(nodes: &BTreeMap<String, Node>, name: &str) -> Option<PathBuf> {
    if let Some(at) = nodes.get(name)?.properties.get("mountpoint") {
        return Some(at.into());
    }
    let (parent, element) = name.rsplit_once('/')?;
    Some(folder(nodes, parent)?.join(element))
}

/// The names of what lies below a dataset, snapshots included.
fn below<'a>(nodes: &'a BTreeMap<String, Node>, name: &str) -> impl Iterator<Item = &'a str> {
    let starts = [format!("{name}/"), format!("{name}@")];
    nodes.keys().map(String::as_str).filter(move |key| starts.iter().any(|s| key.starts_with(s)))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(copied.unwrap().success(), "{from:?} to {to:?}");
}
