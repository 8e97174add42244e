//! What a test's servers share, a folder with a repository and a state directory, and the servers
//! themselves.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Client, WAIT};
use crate::git_repo::BareRepo;

/// A user and group that do not exist.
const SOMEBODY: u32 = 64_322;
/// How often something is looked at that is waited for.
const POLL: Duration = Duration::from_millis(20);
/// How long a call that was sent may take to run.
pub(super) const HEAD_START: Duration = Duration::from_millis(700);
/// Makes the socket that is its stdin a passed one.
const PASS: &str =
    r#"export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=test.socket; exec "$@" 3<&0 0</dev/null"#;

/// A folder that servers run in.
pub(super) struct Host {
    folder: TempDir,
    program: PathBuf,
    user: Option<u32>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::of(None)
    }

    /// One whose servers are an ordinary user's, where the suite is root.
    pub(super) fn of_ordinary_user() -> Self {
        Self::of(nix::unistd::getuid().is_root().then_some(SOMEBODY))
    }

    fn of(user: Option<u32>) -> Self {
        let readable = fs::Permissions::from_mode(0o755);
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("sky-doors-").permissions(readable).tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faulty");
        let repository = BareRepo::create(&folder.path().join("repositories/faulty.git"));
        repository.commit_folder("master", &fixture);
        let built = PathBuf::from(env!("CARGO_BIN_EXE_sky-island"));
        let program = match user {
            // The checkout may be closed to others.
            Some(user) => {
                let copy = folder.path().join("sky-island");
                fs::copy(built, &copy).unwrap();
                fs::create_dir(folder.path().join("run")).unwrap();
                std::os::unix::fs::chown(folder.path().join("run"), Some(user), Some(user))
                    .unwrap();
                copy
            }
            None => {
                fs::create_dir(folder.path().join("run")).unwrap();
                built
            }
        };
        Self { folder, program, user }
    }

    /// A path that servers may write.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("run").join(name)
    }

    /// Starts a server with these keys besides the usual ones, and waits until it takes
    /// connections.
    pub(super) fn start(&self, keys: &Value) -> Server {
        let server = self.launch(keys, Command::new(&self.program));
        server.wait_for("sky-island serves", 1);
        server
    }

    /// Likewise with a socket that this process keeps.
    pub(super) fn start_on(&self, keys: &Value, listener: &TcpListener) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", PASS, "sh"]).arg(&self.program);
        command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
        let server = self.launch(keys, command);
        server.wait_for("sky-island serves", 1);
        server
    }

    fn launch(&self, keys: &Value, mut command: Command) -> Server {
        let number = fs::read_dir(self.folder.path()).unwrap().count();
        let mut config = json!({
            "state_dir": self.path("state"),
            "go": {"warm": false},
            "jails": {"exec_timeout": "60s"},
            "limits": {"queue_wait": "60s"},
            "sources": {
                "order": ["git"],
                "mirrors": [{"prefix": "example.test", "target": self.folder.path().join("repositories")}],
            },
        });
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        let path = self.folder.path().join(format!("config-{number}.json"));
        fs::write(&path, config.to_string()).unwrap();
        let log = self.folder.path().join(format!("log-{number}"));
        command.args(["serve", "-c"]).arg(&path).current_dir("/");
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        command.env("HOME", self.folder.path().join("run"));
        command.stderr(File::create(&log).unwrap()).stdout(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        Server { child: command.spawn().unwrap(), log, config: path }
    }
}

/// A running server.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    config: PathBuf,
}

impl Server {
    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits until its log has a text so many times.
    pub(super) fn wait_for(&self, text: &str, times: usize) {
        let begin = Instant::now();
        while self.log().matches(text).count() < times {
            assert!(begin.elapsed() < WAIT, "no {text:?} in {}", self.log());
            thread::sleep(POLL);
        }
    }

    /// Writes over its configuration file.
    pub(super) fn configure(&self, text: &str) {
        fs::write(&self.config, text).unwrap();
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for its end, which has to be a good one without anything left running, and says how
    /// long it took.
    pub(super) fn ended_well(mut self) -> Duration {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.log());
                return begin.elapsed();
            }
            assert!(begin.elapsed() < WAIT, "it still runs: {}", self.log());
            thread::sleep(POLL);
        }
    }

    /// The processes that are its children; none where there is no /proc to tell.
    pub(super) fn children(&self) -> Vec<PathBuf> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = fs::read_dir(tasks).into_iter().flatten().flatten();
        let children =
            tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        children
            .flat_map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .filter(|process| !process.is_empty())
            .map(|process| Path::new("/proc").join(process))
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address without a listener a moment ago.
pub(super) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Has the fixture fetched and built, so that the next call of a function is a quick one.
pub(super) fn warm(address: SocketAddr, functions: &[&str]) {
    for function in functions {
        Client::connect(address).unwrap().call(function).unwrap().data();
    }
}
