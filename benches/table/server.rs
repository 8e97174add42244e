//! The release server on a state directory of its own: started as an operator would, asked over
//! loopback, ended by SIGTERM.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::client::Client;

/// The longest that a start may take.
const START_WAIT: Duration = Duration::from_secs(60);
/// How often it is looked whether the server listens.
const START_POLL: Duration = Duration::from_micros(500);
/// The longest that an end may take, the server's own grace included.
const STOP_WAIT: Duration = Duration::from_secs(60);
const STOP_POLL: Duration = Duration::from_millis(20);

/// The program that is measured.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("SKY_ISLAND_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_sky-island").into())
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From its start until it took a connection.
    pub(crate) listening: Duration,
    /// From its start until it had answered its first call.
    pub(crate) answering: Duration,
}

impl Server {
    /// Starts one whose state and log lie in `folder`, and makes a call. Modules of `bench.test`
    /// come from the git host at `mirror`; what the bench does not decide is as in the file `base`.
    pub(crate) fn start(
        folder: &Path,
        base: Option<&Path>,
        mirror: &str,
        call: &[u8],
    ) -> Result<Self, String> {
        let told = |what: &str, e: std::io::Error| format!("{what}: {e}");
        fs::create_dir_all(folder).map_err(|e| told("the server's folder", e))?;
        let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|probe| probe.local_addr());
        let address = address.map_err(|e| told("no free port", e))?;
        let config = folder.join("config.json");
        let mut text = base.map_or(Ok(json!({})), read)?;
        lay_over(&mut text, configuration(address, &folder.join("state"), mirror));
        fs::write(&config, text.to_string()).map_err(|e| told("the configuration", e))?;
        let log = File::options().create(true).append(true).open(folder.join("log"));
        let log = log.map_err(|e| told("the server's log", e))?;
        let began = Instant::now();
        let child = Command::new(program())
            .args(["serve", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| told("the server does not start", e))?;
        crate::interrupt::remember(child.id());
        let folder = folder.to_owned();
        let (listening, answering) = (Duration::ZERO, Duration::ZERO);
        let mut server = Self { child, folder, address, listening, answering };
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > START_WAIT || !matches!(server.child.try_wait(), Ok(None)) {
                return Err(format!("the server does not listen\n{}", server.log()));
            }
            std::thread::sleep(START_POLL);
        }
        server.listening = began.elapsed();
        server.client()?.call(call)?;
        server.answering = began.elapsed();
        Ok(server)
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection to it.
    pub(crate) fn client(&self) -> Result<Client, String> {
        Client::connect(self.address)
    }

    /// Where its caches lie.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// What it says that this host lacks for islands that are as closed as they can be.
    pub(crate) fn missing(&self) -> Vec<String> {
        let log = self.log();
        let said = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        said.filter_map(|line| Some(line["fields"]["missing"].as_str()?.to_owned())).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it, and fails unless it ends well.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        match self.end() {
            Some(true) => Ok(()),
            _ => Err(format!("the server did not end well\n{}", self.log())),
        }
    }

    /// Whether it has ended well; `None` when it had to be killed.
    fn end(&mut self) -> Option<bool> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).ok()?);
        let began = Instant::now();
        let mut told = false;
        while began.elapsed() < STOP_WAIT {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status.success());
            }
            // Only a child that was not waited for can be told, so the id is still its own.
            if !told {
                told = kill(pid, Signal::SIGTERM).is_ok();
            }
            std::thread::sleep(STOP_POLL);
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.end().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        crate::interrupt::forget(self.child.id());
    }
}

/// The configuration in a file.
fn read(path: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Sets keys of a configuration, those of inner sections one by one.
fn lay_over(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// Everything as it comes, but for what would let the server work while another is measured, or let
/// go of what is measured.
fn configuration(address: SocketAddr, state: &Path, mirror: &str) -> Value {
    json!({
        "listen": address,
        "state_dir": state,
        "go": {"warm": false},
        "limits": {"artifact_cache": "1TiB"},
        "sources": {"mirrors": [{"prefix": crate::world::HOST, "target": mirror}]},
    })
}
