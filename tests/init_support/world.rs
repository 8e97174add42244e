//! A host to prepare: a site with archives, a pool, and what the host looks like afterwards.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::exec::{Command, ExecError, Executor, Host, Output};
use host::layout::{Layout, Release};
use server::init::{
    DesiredGo, DesiredState, DiskSpace, GoVersion, Init, InitError, Machine, Mirror, Progress,
    Removal, SetName, Sha256,
};

use super::faults::{Fault, Faulty};
use super::model::Model;
use super::site::Site;
use super::tarball::{Member, tar};

pub const RELEASE: &str = "15.1-RELEASE";
const SET_PATH: &str = "/releases/amd64/amd64/15.1-RELEASE";

/// Where the datasets are.
pub enum Pool {
    /// On folders.
    Model(Model),
    /// In this pool of this host.
    Real(String),
}

/// The host.
pub struct World {
    pub site: Site,
    pub folder: tempfile::TempDir,
    pub pool: Arc<Pool>,
    pub wanted: DesiredState,
}

/// What a run says and how it ends.
pub struct BuildOutput {
    pub result: Result<(), InitError>,
    pub said: String,
    pub commands: Vec<String>,
}

#[derive(Clone, Default)]
struct Page(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub fn sum_of(bytes: &[u8]) -> Sha256 {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Sha256::of_file(&mut file, |_| true).unwrap()
}

/// A base system in little: folders, a set-id program, a hard link, a symbolic link, and something
/// large.
pub fn base_archive() -> Vec<u8> {
    let large: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
    tar(&[
        Member::Folder("./etc", 0o755),
        Member::Folder("./bin", 0o755),
        Member::Folder("./usr", 0o755),
        Member::Folder("./usr/local", 0o755),
        Member::Folder("./usr/lib", 0o755),
        Member::Folder("./tmp", 0o1777),
        Member::Folder("./dev", 0o755),
        Member::Folder("./root", 0o750),
        Member::File("./usr/lib/large", 0o644, &large),
        Member::File("./etc/passwd", 0o644, b"root:*:0:0::0:0:Charlie &:/root:/bin/sh\n"),
        Member::File("./bin/su", 0o4555, b"#!su\n"),
        Member::Hard("./bin/su2", "./bin/su"),
        Member::Symbolic("./sys", "usr/src/sys"),
    ])
}

pub fn lib32_archive() -> Vec<u8> {
    tar(&[
        Member::Folder("./usr/lib32", 0o755),
        Member::File("./usr/lib32/libc.so.7", 0o444, b"32"),
    ])
}

pub fn go_archive(version: &str) -> Vec<u8> {
    go_archive_for(version, "freebsd_amd64")
}

pub fn go_archive_for(version: &str, system: &str) -> Vec<u8> {
    let text = format!("go{version}\ntime 2026-01-01T00:00:00Z\n");
    tar(&[
        Member::Folder("go", 0o755),
        Member::Folder("go/bin", 0o755),
        Member::Folder("go/pkg", 0o755),
        Member::Folder("go/pkg/tool", 0o755),
        Member::Folder(&format!("go/pkg/tool/{system}"), 0o755),
        Member::File("go/VERSION", 0o644, text.as_bytes()),
        Member::File("go/bin/go", 0o755, b"#!go\n"),
    ])
}

impl World {
    /// One on folders, with updates.
    pub fn model() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::Model(Model::new(&folder.path().join("store")));
        let jails = folder.path().join("jails");
        Self::with(folder, pool, "tank", &jails)
    }

    /// One in a pool of this host; whatever lies in its `jails` goes.
    pub fn real(pool: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let jails = PathBuf::from("/").join(pool).join("jails");
        let world = Self::with(folder, Pool::Real(pool.to_owned()), pool, &jails);
        world.clear();
        world
    }

    /// How many worlds like this one there can be at a time.
    pub fn at_a_time(&self) -> usize {
        match *self.pool {
            Pool::Model(_) => 4,
            Pool::Real(_) => 1,
        }
    }

    fn with(folder: tempfile::TempDir, pool: Pool, dataset: &str, jails: &Path) -> Self {
        let etc = folder.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(etc.join("resolv.conf"), "nameserver 10.0.2.3\n").unwrap();
        std::fs::write(folder.path().join("Berlin"), "TZif2...").unwrap();
        std::os::unix::fs::symlink(folder.path().join("Berlin"), etc.join("localtime")).unwrap();
        let site = Site::start();
        let release = Release::parse(RELEASE).unwrap();
        let mirror = Mirror::parse(&site.url()).unwrap();
        let wanted = DesiredState {
            layout: Layout::new(dataset, Some(jails), release).unwrap(),
            compression: Some(true),
            sets: vec![SetName::base(), SetName::parse("lib32").unwrap()],
            set_dir: None,
            release_mirror: mirror.clone(),
            update: true,
            go: DesiredGo { version: version("1.27.3"), mirror, archive: None, sum: None },
            dns: Vec::new(),
            machine: Machine::of("x86_64").unwrap(),
            etc,
            state_dir: folder.path().join("state"),
            lock: folder.path().join("lock"),
            user: 0,
            space: DiskSpace { base: 1 << 20, build: 1 << 20 },
        };
        let world = Self { site, folder, pool: Arc::new(pool), wanted };
        world.publish();
        world
    }

    /// Puts the archives and their sums onto the site.
    fn publish(&self) {
        let mut manifest = String::new();
        for (name, bytes) in [("base", base_archive()), ("lib32", lib32_archive())] {
            manifest += &format!("{name}.txz\t{}\t12\t{name}\t\"A set\"\ton\n", sum_of(&bytes));
            self.site.put(&format!("{SET_PATH}/{name}.txz"), bytes);
        }
        self.site.put(&format!("{SET_PATH}/MANIFEST"), manifest);
        let mut releases = Vec::new();
        for version in ["1.27.3", "1.27.4"] {
            let (name, bytes) = (format!("go{version}.freebsd-amd64.tar.gz"), go_archive(version));
            releases.push(serde_json::json!({"version": format!("go{version}"), "files": [
                {"filename": name, "sha256": sum_of(&bytes).to_string()}]}));
            self.site.put(&format!("/{name}"), bytes);
        }
        self.site.put("/?mode=json&include=all", serde_json::to_vec(&releases).unwrap());
    }

    fn init(&self, fault: Option<Fault>) -> (Init, Faulty, Page) {
        let faulty = Faulty::new(Lab(self.pool.clone()), fault);
        let page = Page::default();
        let progress = Progress::new(page.clone(), false);
        (Init::new(self.wanted.clone(), Arc::new(faulty.clone()), progress), faulty, page)
    }

    /// Runs init, with one command failing or without.
    pub fn run(&self, fault: Option<Fault>) -> BuildOutput {
        let (init, faulty, page) = self.init(fault);
        let result = runtime().block_on(init.run());
        self.ran(result, &faulty, &page)
    }

    /// Runs init and drops it after so many commands were begun.
    pub fn run_until(&self, count: usize) -> Vec<String> {
        let (init, faulty, _) = self.init(Some(Fault::drop_at(count)));
        let dropped = faulty.dropped();
        runtime().block_on(async {
            tokio::select! {
                _ = init.run() => {}
                () = dropped => {}
            }
        });
        faulty.commands()
    }

    /// Runs destroy, with one command failing or without.
    pub fn destroy(&self, fault: Option<Fault>) -> BuildOutput {
        let (init, faulty, page) = self.init(fault);
        let result = runtime().block_on(init.destroy());
        self.ran(result, &faulty, &page)
    }

    /// What destroy would remove.
    pub fn removals(&self) -> Result<Vec<Removal>, InitError> {
        runtime().block_on(self.init(None).0.removals())
    }

    /// Runs one zfs command as an admin would.
    pub fn zfs(&self, words: &[&str]) -> Output {
        let command = Command::program("zfs").args(words.iter().copied());
        let output = runtime().block_on(Lab(self.pool.clone()).run(&command)).unwrap();
        assert_eq!(output.code, Some(0), "{words:?}: {}", output.stderr);
        output
    }

    /// Begins anew.
    pub fn clear(&self) {
        let jails = self.wanted.layout.jails();
        let command = Command::program("zfs").args(["destroy", "-R", jails.as_str()]);
        if let Pool::Real(_) = &*self.pool {
            let _ = runtime().block_on(Host.run(&command));
            assert!(!self.wanted.layout.folder().exists(), "the folder of the jails is left");
        }
    }

    /// Every dataset with what matters of it.
    pub fn datasets(&self) -> Vec<String> {
        match &*self.pool {
            Pool::Model(model) => model.listing().iter().map(|line| self.anywhere(line)).collect(),
            Pool::Real(pool) => {
                let columns =
                    "name,origin,mountpoint,compression,atime,setuid,sync,sky-island:made";
                let words = ["list", "-H", "-o", columns, "-t", "all", "-r", pool.as_str()];
                self.zfs(&words).stdout.lines().map(str::to_owned).collect()
            }
        }
    }

    /// Every file below a folder, with its mode, links and content.
    pub fn files(&self, folder: &Path) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        collect(folder, folder, &mut found);
        found
    }

    fn ran(&self, result: Result<(), InitError>, faulty: &Faulty, page: &Page) -> BuildOutput {
        let said = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let commands = faulty.commands().iter().map(|command| self.anywhere(command)).collect();
        BuildOutput { result, said, commands }
    }

    /// A text without the name of this world's folder.
    fn anywhere(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "FOLDER")
    }

    /// What the host looks like: datasets and files.
    pub fn look(&self) -> (Vec<String>, BTreeMap<String, String>) {
        (self.datasets(), self.files(self.wanted.layout.folder()))
    }
}

pub fn version(text: &str) -> GoVersion {
    GoVersion::parse(text).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let mode = metadata.permissions().mode();
        let what = if metadata.is_dir() {
            collect(root, &path, found);
            "folder".to_owned()
        } else if metadata.is_symlink() {
            format!("to {:?}", std::fs::read_link(&path).unwrap())
        } else {
            format!("{} links {}", sum_of(&std::fs::read(&path).unwrap()), metadata.nlink())
        };
        found.insert(name, format!("{mode:o} {what}"));
    }
}

/// Runs what this host has, and answers for what only FreeBSD has.
#[derive(Clone)]
pub struct Lab(Arc<Pool>);

impl Executor for Lab {
    fn run<'a>(
        &'a self,
        command: &'a Command,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>> {
        let words: Vec<String> =
            command.vector().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let said =
            |stdout: &str| Output { code: Some(0), stdout: stdout.into(), stderr: String::new() };
        let answer = match (words[0].as_str(), &*self.0) {
            ("zfs", Pool::Model(model)) => model.answer(&words[1..]),
            ("kldstat", _) => said(""),
            ("sysctl", _) if words[2] == "kern.racct.enable" => said("1\n"),
            ("sysctl", _) => said("15.1-RELEASE-p2\n"),
            ("jls", _) => said(r#"{"__version": "2", "jail-information": {"jail": []}}"#),
            ("freebsd-update", _) => {
                update(&words);
                said("Installing updates... done.\n")
            }
            _ => return Host.run(command),
        };
        Box::pin(async move { Ok(answer) })
    }
}

/// What freebsd-update leaves: a changed file, and its own work.
fn update(words: &[String]) {
    let value = |option: &str| {
        let at = words.iter().position(|word| word == option).unwrap();
        PathBuf::from(&words[at + 1])
    };
    assert_eq!(value("--currently-running"), Path::new(RELEASE));
    std::fs::write(value("-b").join("etc/motd"), "patched\n").unwrap();
    std::fs::write(value("-d").join("tag"), "freebsd-update|amd64|15.1-RELEASE|2|...").unwrap();
}
