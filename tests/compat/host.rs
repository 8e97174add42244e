//! The server of the suite: started as in 2017, `sky-island -c config.json`, on the example of 2017
//! as it stands. What a test has to have otherwise comes from the environment: a free port, a state
//! directory, a folder of repositories.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::repositories::Repository;
use crate::same;
use crate::wire::{Answer, Wire};

/// The example of 2017: its keys and values.
const EXAMPLE: &str = include_str!("config.json");
/// The token in it, and the header that carries it.
pub(crate) const TOKEN: &str = "X-Sky-Island-Token: asdfasdfasdfasdf";
/// The origin of a status page that lies elsewhere.
pub(crate) const ORIGIN: &str = "http://status.example";
/// The longest that a start may take, including the check of what the host can isolate.
const START_WAIT: Duration = Duration::from_secs(60);
/// The longest that an end may take after SIGTERM.
const STOP_WAIT: Duration = Duration::from_secs(30);
/// How often something is looked at that is waited for.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// A running server. It is killed with this value where no one called [`Host::stop`].
pub(crate) struct Host {
    child: Mutex<Child>,
    pub(crate) port: u16,
    log: PathBuf,
    _folder: TempDir,
}

impl Host {
    /// Starts it, and has it answer a first call.
    pub(crate) fn start() -> Result<Self, String> {
        let folder = folder().map_err(|e| format!("no temporary folder: {e}"))?;
        let repositories = folder.path().join("repositories");
        for name in ["hello", "faulty"] {
            let path = repositories.join(format!("{name}.git"));
            Repository::of_fixture(&path, name).map_err(|e| format!("{name}: {e}"))?;
        }
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = free.map_err(|e| format!("there is no free port: {e}"))?.port();
        let log = folder.path().join("server.log");
        let child = launch(folder.path(), &repositories, &log, port).map_err(|e| e.to_string())?;
        let host = Self { child: Mutex::new(child), port, log, _folder: folder };
        host.wait_until_healthy()?;
        Ok(host)
    }

    fn wait_until_healthy(&self) -> Result<(), String> {
        let begin = Instant::now();
        while begin.elapsed() < START_WAIT {
            if let Ok(Some(status)) = self.child().try_wait() {
                return Err(format!("the server ended at once with {status}\n{}", self.log()));
            }
            if self.ask("GET", "/healthcheck", &[], "").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            sleep(POLL);
        }
        Err(format!("the server was not healthy after {START_WAIT:?}\n{}", self.log()))
    }

    /// One request on a connection of its own. A body is sent as curl sends one.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> Result<Answer, String> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", self.port);
        let form = "Content-Type: application/x-www-form-urlencoded";
        let length = format!("Content-Length: {}", body.len());
        let of_body: &[&str] = if body.is_empty() { &[] } else { &[form, &length] };
        for line in headers.iter().chain(of_body) {
            head += &format!("{line}\r\n");
        }
        let mut wire = Wire::connect(self.port)?;
        wire.send(format!("{head}\r\n{body}").as_bytes())?;
        wire.answer()
    }

    /// The same with the token, below the admin API.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        self.ask(method, &format!("/api/v1/admin{path}"), &[TOKEN], body)
    }

    /// Calls a function with a body as it stands.
    pub(crate) fn function(&self, body: &str) -> Result<Answer, String> {
        self.ask("POST", "/api/v1/function", &[], body)
    }

    /// Tells the server to end, and fails unless it ends well.
    pub(crate) fn stop(&self) -> Result<(), String> {
        let pid = Pid::from_raw(self.child().id().cast_signed());
        kill(pid, Signal::SIGTERM).map_err(|e| e.to_string())?;
        let begin = Instant::now();
        while begin.elapsed() < STOP_WAIT {
            if let Ok(Some(status)) = self.child().try_wait() {
                return same(status.code(), Some(0)).map_err(|e| format!("{e}\n{}", self.log()));
            }
            sleep(POLL);
        }
        Err(format!("the server still ran {STOP_WAIT:?} after SIGTERM\n{}", self.log()))
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(None)) {
            // A test has failed already when this is reached, so what comes of it is not asked.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn launch(
    folder: &Path,
    repositories: &Path,
    log: &Path,
    port: u16,
) -> Result<Child, std::io::Error> {
    let config = folder.join("config.json");
    fs::write(&config, EXAMPLE)?;
    let mirrors = serde_json::json!([{"prefix": "example.test", "target": repositories}]);
    let log = File::create(log)?;
    Command::new(env!("CARGO_BIN_EXE_sky-island"))
        .arg("-c")
        .arg(config)
        .env("SKY_ISLAND_HTTP_PORT", port.to_string())
        .env("SKY_ISLAND_STATE_DIR", folder.join("state"))
        .env("SKY_ISLAND_SOURCES_ORDER", "git")
        .env("SKY_ISLAND_SOURCES_MIRRORS", mirrors.to_string())
        .env("SKY_ISLAND_CORS_ORIGINS", ORIGIN)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// A folder that islands of another user can read too.
fn folder() -> std::io::Result<TempDir> {
    let readable = fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("sky-compat-").permissions(readable).tempdir()
}
