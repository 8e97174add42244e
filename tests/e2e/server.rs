//! A server of the suite's own: started on a free port, asked over HTTP, ended by SIGTERM.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::client::Client;

/// The longest that a start may take, including the check of what the host can isolate.
const START_WAIT: Duration = Duration::from_secs(60);
/// The longest that an end may take after SIGTERM.
const STOP_WAIT: Duration = Duration::from_secs(30);
/// How often something is looked at that is waited for.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// How much of the server's log a failure shows.
const LOG_TAIL: usize = 2_000;

/// The program under test.
pub(crate) fn binary() -> Result<PathBuf, String> {
    std::env::var_os("SKY_ISLAND_BIN")
        .map(PathBuf::from)
        .or_else(|| option_env!("CARGO_BIN_EXE_sky-island").map(PathBuf::from))
        .ok_or_else(|| "SKY_ISLAND_BIN has to name the sky-island program".to_owned())
}

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// The sources in their order.
    pub order: Vec<&'static str>,
    /// Prefixes of import paths and where they are fetched from.
    pub mirrors: Vec<(String, String)>,
    /// What differs from the default limits.
    pub limits: Value,
    /// How long a version keeps its meaning.
    pub expiration: Option<&'static str>,
    /// The addresses that it lends.
    pub network: Value,
    /// The token of its admin API.
    pub token: Option<&'static str>,
    /// A unix socket to listen on besides the port.
    pub unix: Option<PathBuf>,
    /// Sections of the configuration that are none of these.
    pub sections: Vec<(&'static str, Value)>,
    pub top: Vec<(&'static str, Value)>,
}

impl Setup {
    pub(crate) fn new(order: &[&'static str]) -> Self {
        let limits = json!({"queue_wait": "60s"});
        let (mirrors, network) = (Vec::new(), json!({}));
        let (sections, top, token, unix) = (Vec::new(), Vec::new(), None, None);
        Self {
            order: order.to_vec(),
            mirrors,
            limits,
            expiration: None,
            network,
            token,
            unix,
            sections,
            top,
        }
    }

    pub(crate) fn mirror(mut self, prefix: &str, target: impl Into<String>) -> Self {
        self.mirrors.push((prefix.to_owned(), target.into()));
        self
    }

    pub(crate) fn expiration(mut self, span: &'static str) -> Self {
        self.expiration = Some(span);
        self
    }

    pub(crate) fn limits(mut self, limits: Value) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// Keys of a section, beside the ones that the suite sets.
    pub(crate) fn section(mut self, name: &'static str, keys: Value) -> Self {
        self.sections.push((name, keys));
        self
    }

    /// A key outside all sections.
    pub(crate) fn top(mut self, name: &'static str, value: Value) -> Self {
        self.top.push((name, value));
        self
    }

    pub(crate) fn unix(mut self, socket: &Path) -> Self {
        self.unix = Some(socket.to_owned());
        self
    }

    pub(crate) fn network(mut self, network: Value) -> Self {
        self.network = network;
        self
    }

    /// Writes the configuration file of a server with this port into a folder.
    pub(crate) fn write(&self, folder: &Path, port: u16) -> io::Result<PathBuf> {
        let mirror =
            |(prefix, target): &(String, String)| json!({"prefix": prefix, "target": target});
        let port = format!("127.0.0.1:{port}");
        let listen = match &self.unix {
            Some(socket) => json!([port, format!("unix:{}", socket.display())]),
            None => json!(port),
        };
        let mut config = json!({
            "listen": listen,
            "state_dir": folder.join("state"),
            // Nothing may run in the background when the leftovers are counted.
            "go": {"warm": false},
            "jails": {"cache_default_expiration": self.expiration.unwrap_or("8h")},
            "limits": self.limits,
            // Nor may an island stay warm for long.
            "standby": {"idle": "1s"},
            "network": self.network,
            "admin_api_token": self.token,
            "sources": {
                "order": self.order,
                "mirrors": self.mirrors.iter().map(mirror).collect::<Vec<_>>(),
            },
        });
        for (name, value) in &self.top {
            config[name] = value.clone();
        }
        for (name, keys) in &self.sections {
            for (key, value) in keys.as_object().into_iter().flatten() {
                config[name][key] = value.clone();
            }
        }
        let path = folder.join("config.json");
        fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
        Ok(path)
    }
}

/// The file of its output.
const LOG: &str = "server.log";

/// A running server. It is killed with this value where no one called [`Server::stop`].
#[derive(Debug)]
pub(crate) struct Server {
    child: Mutex<Child>,
    pid: u32,
    port: u16,
    log: PathBuf,
    state: PathBuf,
    pub client: Client,
}

impl Server {
    /// Starts a server whose state lies below `folder`, and waits until it is healthy.
    pub(crate) fn start(folder: &Path, setup: &Setup) -> Result<Self, String> {
        let output = File::options().create(true).append(true).open(folder.join(LOG));
        let output = output.map_err(|e| format!("the log cannot be opened: {e}"))?;
        Self::start_with_log(folder, setup, output.into())
    }

    /// The same, with this for its stdout and stderr.
    pub(crate) fn start_with_log(
        folder: &Path,
        setup: &Setup,
        output: OwnedFd,
    ) -> Result<Self, String> {
        let port = free_port().map_err(|e| format!("there is no free port: {e}"))?;
        let config = setup.write(folder, port).map_err(|e| format!("no configuration: {e}"))?;
        let (state, log) = (folder.join("state"), folder.join(LOG));
        let program = binary()?;
        let child = Command::new(&program)
            .arg("serve")
            .arg("-c")
            .arg(&config)
            // A group of its own, so that a test can signal all of it as a terminal does.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(|e| e.to_string())?)
            .stderr(output)
            .spawn()
            .map_err(|e| format!("{} does not start: {e}", program.display()))?;
        let (pid, client) = (child.id(), Client::new(port));
        let server = Self { child: Mutex::new(child), pid, port, log, state, client };
        server.wait_until_healthy()?;
        Ok(server)
    }

    fn wait_until_healthy(&self) -> Result<(), String> {
        let begin = Instant::now();
        while begin.elapsed() < START_WAIT {
            if let Some(status) = self.ended() {
                return Err(format!("the server ended at once with {status}\n{}", self.log_tail()));
            }
            if self.client.get("/healthcheck").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            sleep(POLL);
        }
        Err(format!("the server was not healthy after {START_WAIT:?}\n{}", self.log_tail()))
    }

    fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().expect("no test panics with the lock").try_wait().ok().flatten()
    }

    /// Tells the server to end, waits for it, and gives its status.
    pub(crate) fn stop(&self) -> Result<ExitStatus, String> {
        if let Some(status) = self.ended() {
            return Err(format!("the server had ended before, with {status}\n{}", self.log_tail()));
        }
        kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGTERM).map_err(|e| e.to_string())?;
        let begin = Instant::now();
        while begin.elapsed() < STOP_WAIT {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            sleep(POLL);
        }
        Err(format!("the server still ran {STOP_WAIT:?} after SIGTERM\n{}", self.log_tail()))
    }

    /// Ends the server and fails unless its status is 0.
    pub(crate) fn stop_well(&self) -> Result<(), String> {
        match self.stop()? {
            status if status.success() => Ok(()),
            status => Err(format!("the server ended with {status}\n{}", self.log_tail())),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The folder of its caches and scratch files.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let tail = log.len().saturating_sub(LOG_TAIL);
        let begin = (tail..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
        format!("its log ends:\n{}", &log[begin..])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if matches!(child.try_wait(), Ok(None)) {
            // A test has failed already when this is reached, so what comes of it is not asked.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port without a listener a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
