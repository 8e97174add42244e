//! A prepared model host with foreign jails, mounts and addresses, and the backend that runs on it.
//!
//! Invariants: at rest the host looks as it did before the first island.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use host::layout::{Layout, Release};
use host::net::{AddressState, Family, Interface, Lease, PoolSettings, Pools};
use island::freebsd::{FreeBsd, HostEnvironment};
use island::{
    Backend, Bind, Bounds, Ending, Islands, Jails, Limits, Options, Outcome, Program, Purpose,
    Resources, Rights, Spec, StartError, ToolRights,
};
use tokio::runtime::Runtime;

use crate::host::{Host, Pool, System};
use crate::jail_model::{Jail, JailModel};
use crate::tables::{KernelModel, Mounted};

/// The program of the model's islands: a script that performs its arguments.
const PROGRAM: &str = r#"
for action; do
    case $action in
    out=*) printf %s "${action#out=}" ;;
    err=*) printf %s "${action#err=}" >&2 ;;
    exit=*) exit "${action#exit=}" ;;
    signal=*) kill -"${action#signal=}" $$ ;;
    sleep=*) sleep "${action#sleep=}" ;;
    spam) while :; do printf %4096s x; done ;;
    line)
        printf r >&3
        length=$(head -c 4 <&3 | od -An -tu4 | tr -d ' ')
        [ -n "$length" ] || exit 0
        head -c "$length" <&3
        printf d >&3
        ;;
    cat) cat ;;
    read=*) cat "$ROOT${action#read=}" ;;
    write=*) printf written > "$ROOT${action#write=}" ;;
    esac
done
"#;
/// The user of the first function; a function that runs alone has it.
pub const FIRST_USER: u32 = 1_398_341_648;
/// How long a host may take to be at rest.
const REST: Duration = Duration::from_secs(10);
/// How long an island may take that does not wait for a deadline.
const PATIENCE: Duration = Duration::from_secs(20);

static LAUNCHER: OnceLock<tempfile::TempPath> = OnceLock::new();

pub struct Lab {
    folder: tempfile::TempDir,
    pub host: Host,
    pub jail_model: JailModel,
    program: Arc<File>,
    before: Vec<String>,
}

/// The backend in a lab.
pub struct Bench {
    pub backend: Arc<FreeBsd>,
    pub islands: Islands,
    pub pools: Pools,
}

/// A runtime of its own.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub fn limits() -> Limits {
    let resources = Resources {
        memory: 64 << 20,
        processes: 20,
        processor_time: Some(PATIENCE),
        tmp: 1 << 20,
        disk: None,
    };
    let bounds = Bounds { deadline: PATIENCE, output: 1 << 20 };
    Limits { resources, bounds }
}

fn script(text: &str) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Arc::new(file)
}

/// On the model nothing is mounted, but a clone's folder is there exactly as long as the clone.
fn open(folder: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_DIRECTORY).open(folder)
}

impl Lab {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("si-jails-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let jail_model = JailModel::create(&at("jail_model")).unwrap();
        let mut pool = Pool::new("zroot/jails", &at("jails"), &at("snapshots"));
        for name in ["releases", "artifacts", "run"] {
            pool.add(&format!("zroot/jails/{name}"));
        }
        for name in ["releases/15.1-RELEASE", "build"] {
            let root = pool.add(&format!("zroot/jails/{name}"));
            ["dev", "tmp", "bin"].iter().for_each(|name| fs::create_dir(root.join(name)).unwrap());
            fs::write(root.join("bin/tool"), PROGRAM).unwrap();
            pool.snapshot(&format!("zroot/jails/{name}@p1"));
        }
        let tables = KernelModel::of(&jail_model, folder.path());
        let mut system = System::new(pool, jail_model.clone(), tables, at("jails/run"));
        others(&mut system, &at("others"));
        symlink(LAUNCHER.get().unwrap(), at("launcher")).unwrap();
        let program = script(PROGRAM);
        let mut lab =
            Self { folder, host: Host::new(system), jail_model, program, before: Vec::new() };
        lab.before = lab.picture();
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder to show to tools.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub fn environment(&self) -> HostEnvironment {
        let host = self.host.clone();
        let counters = Arc::new(move |subject: &str| host.system(|it| it.counters(subject)));
        HostEnvironment { exec: Arc::new(self.host.clone()), root: true, open, counters }
    }

    pub fn options(&self) -> Options {
        let pool = |network: &str| {
            let settings = PoolSettings {
                interface: Interface::parse("em1").unwrap(),
                network: network.parse().unwrap(),
                span: None,
                exclude: Vec::new(),
                gateway: None,
                dns: Vec::new(),
            };
            host::net::Pool::new(settings).unwrap()
        };
        let release = Release::parse("15.1-RELEASE").unwrap();
        Options {
            launcher: self.path("launcher"),
            zones: None,
            function: limits().resources,
            ahead: 0,
            jails: Some(Jails {
                layout: Layout::new("zroot", Some(&self.path("jails")), release).unwrap(),
                ledger: self.path("aliases"),
                require_limits: false,
                address_space: Some(1 << 30),
                scratch: "/nowhere".into(),
                sweep: true,
                vnet: false,
            }),
            pools: Pools::new(vec![pool("10.9.0.0/27"), pool("fd00:9::/124")]),
            reuse: Default::default(),
        }
    }

    pub async fn try_start(&self, options: Options) -> Result<Bench, StartError> {
        let pools = options.pools.clone();
        let backend = FreeBsd::start_on(options, self.environment()).await?;
        Ok(Bench { islands: Islands::new(backend.clone()), backend, pools })
    }

    pub async fn start(&self) -> Bench {
        self.try_start(self.options()).await.unwrap()
    }

    /// A function that performs these actions.
    pub fn function(&self, actions: &[&str]) -> Spec {
        with(Spec::function(self.program.clone(), limits()), actions)
    }

    /// As [`Lab::function`], with a program that was not called before.
    pub fn new_function(&self, number: usize, actions: &[&str]) -> Spec {
        with(Spec::function(script(&format!("{PROGRAM}# {number}\n")), limits()), actions)
    }

    /// A tool that performs these actions and sees these folders.
    pub fn tool(&self, binds: Vec<Bind>, actions: &[&str]) -> Spec {
        let rights =
            ToolRights { purpose: Purpose::Build, binds, overlay: None, background: false };
        let mut tool = Spec::function(self.program.clone(), limits());
        tool.setup.rights = Rights::Tool(rights);
        tool.program = Program::Path("/bin/tool".to_owned());
        with(tool, actions)
    }

    /// The commands since the first ones.
    pub fn log_since(&self, first: usize) -> Vec<String> {
        self.host.log().split_off(first)
    }

    /// All that there is on the host.
    pub fn picture(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.host.system(|system| {
            let run = "zroot/jails/run";
            let datasets = system.pool.datasets.keys().filter(|name| name.starts_with(run));
            let aliases = system.addresses.iter().map(|it| format!("{it:?}"));
            let (mounts, rules) = system.tables.with(|it| (it.mounts.clone(), it.rules.clone()));
            let mounts = mounts.into_iter().map(|mount| format!("{mount:?}"));
            datasets.cloned().chain(aliases).chain(mounts).chain(rules).collect()
        });
        let jails = self.jail_model.list().into_iter();
        lines.extend(jails.map(|(name, jail, dying)| format!("{name} {jail:?} dying {dying}")));
        lines.extend(self.jail_model.processes().iter().map(|pid| format!("process {pid}")));
        let folder = fs::read_dir(self.path("jails/run")).unwrap().flatten();
        lines.extend(folder.map(|entry| entry.path().display().to_string()));
        let ledger = fs::read_to_string(self.path("aliases")).unwrap_or_default();
        lines.extend(ledger.lines().skip(1).map(|line| format!("ledger {line}")));
        lines.extend(self.jail_model.violations().lines().map(|line| format!("violation: {line}")));
        lines.sort();
        lines
    }

    /// Waits until nothing is left of any island.
    pub async fn at_rest(&self, bench: &Bench, what: &str) {
        self.host_at_rest(what).await;
        let until = Instant::now() + REST;
        let busy = || {
            let leased =
                bench.pools.list().into_iter().filter(|it| !matches!(it.state, AddressState::Free));
            let leased =
                leased.filter(|it| !["10.9.0.2", "10.9.0.3"].contains(&&*it.address.to_string()));
            let listed = bench.backend.list().into_iter().map(|id| id.to_string());
            listed
                .chain(leased.map(|it| format!("{} {:?}", it.address, it.state)))
                .collect::<Vec<_>>()
        };
        while !busy().is_empty() {
            assert!(Instant::now() < until, "{what}: {:?} are not removed", busy());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Nothing comes later either.
        assert_eq!(self.picture(), self.before, "{what}");
    }

    /// Nothing is left at this very moment.
    pub fn is_at_rest(&self, what: &str) {
        assert_eq!(self.picture(), self.before, "{what}");
    }

    /// Waits until the host looks as it did before the first island.
    pub async fn host_at_rest(&self, what: &str) {
        let until = Instant::now() + REST;
        while self.picture() != self.before {
            if Instant::now() > until {
                let left = self.picture();
                let extra: Vec<_> = left.iter().filter(|it| !self.before.contains(it)).collect();
                let lost: Vec<_> = self.before.iter().filter(|it| !left.contains(it)).collect();
                panic!("{what}: left: {extra:#?}, lost: {lost:#?}, after {:#?}", self.host.log());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The next call works and has the first user, because no other island has it any more.
    pub async fn next_works(&self, bench: &Bench, what: &str) {
        let outcome = bench.run(&self.function(&["out=next"])).await;
        let outcome = outcome.unwrap_or_else(|error| panic!("{what}: the next call: {error}"));
        assert_eq!((outcome.ending, &*outcome.stdout), (Ending::Exited(0), &b"next"[..]), "{what}");
        let (_, jail) = self.jail_model.noted().pop().unwrap();
        assert_eq!(jail.user, FIRST_USER, "{what}");
        self.at_rest(bench, &format!("{what}, and the next call")).await;
    }
}

impl Bench {
    pub fn lease(&self) -> Option<Arc<Lease>> {
        self.lease_of(Family::V4)
    }

    pub fn lease_of(&self, family: Family) -> Option<Arc<Lease>> {
        Some(Arc::new(self.pools.lease(family).unwrap()))
    }

    /// Resolves when the backend knows of no island any more.
    pub async fn idle(&self) {
        while !self.backend.list().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Runs an island, which is not to take longer than tests have patience.
    pub async fn run(&self, spec: &Spec) -> Result<Outcome, StartError> {
        let run = tokio::time::timeout(PATIENCE * 2, self.islands.run(spec));
        run.await.expect("the island ends")
    }
}

fn with(mut spec: Spec, actions: &[&str]) -> Spec {
    spec.args.extend(actions.iter().map(|action| (*action).to_owned()));
    spec
}

pub fn bind(source: PathBuf, target: &str, writable: bool) -> Bind {
    Bind { source, target: target.into(), writable }
}

/// Jails, mounts, rules and addresses of other programs, some of them in the folder of the islands.
/// The backend must not touch them.
fn others(system: &mut System, folder: &Path) {
    system.pool.add("zroot/jails/run/www");
    system.pool.add("zroot/jails/run/with space");
    let at = system.run.join("www/dev");
    fs::create_dir(&at).unwrap();
    let (kind, source) = ("devfs".to_owned(), "devfs".to_owned());
    let options = "ruleset=4".to_owned();
    let devices = Mounted { kind, source, at, options, covered: None };
    fs::create_dir_all(folder).unwrap();
    let jail = |path: PathBuf, address: &str| Jail {
        path,
        addresses: vec![address.into()],
        user: 0,
        vnet: false,
    };
    system.jail_model.make("www", &jail(system.run.join("www"), "10.9.0.3")).unwrap();
    // It has the name of an island, but of one of another server.
    system.jail_model.make("si_0123abcd_9", &jail(folder.to_owned(), "10.0.2.16")).unwrap();
    system.tables.with(|tables| {
        tables.mounts.push(devices);
        tables.rules.push("jail:www:maxproc:deny=5".into());
    });
    system.addresses.insert("em0".into(), vec!["10.0.2.15".into(), "10.0.2.16".into()]);
    system.addresses.insert("em1".into(), vec!["10.9.0.2".into(), "10.9.0.3".into()]);
    system.say_addresses();
}

/// Writes the launcher of all labs: a script that runs this program with the folder of the jails.
/// Call it before the first process is started: a process that has the file open for writing would
/// make its execution fail.
pub fn write_launcher() {
    let mut file = tempfile::Builder::new()
        .prefix("si-jails-launcher-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempfile()
        .unwrap();
    let own = std::env::current_exe().unwrap();
    let text = format!("#!/bin/sh\nexec '{}' \"$1\" \"${{0%/*}}/jail_model\"\n", own.display());
    file.write_all(text.as_bytes()).unwrap();
    LAUNCHER.set(file.into_temp_path()).unwrap();
}

/// Removes the launcher that [`write_launcher`] has written.
pub fn remove_launcher() {
    fs::remove_file(LAUNCHER.get().unwrap()).unwrap();
}
