//! The running server and the service manager that started it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// The longest that a start or a stop may take.
const WAIT: Duration = Duration::from_secs(60);

/// A server with a folder of its own, and a manager that listens to it.
struct Managed {
    folder: tempfile::TempDir,
    server: Child,
    manager: UnixDatagram,
    address: SocketAddr,
}

impl Managed {
    fn start() -> Self {
        Self::start_watched(None)
    }

    /// Starts one that has to say within so long, again and again, that it works.
    fn start_watched(within: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(WAIT)).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = json!({
            "listen": address, "state_dir": folder.path().join("state"), "go": {"warm": false},
        });
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let mut command = program();
        if let Some(within) = within {
            command.env("WATCHDOG_USEC", within.as_micros().to_string());
        }
        let server = command
            .args(["serve", "-c"])
            .arg(folder.path().join("config.json"))
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { folder, server, manager, address }
    }

    /// What the server tells its manager next.
    fn told(&self) -> String {
        let mut buffer = [0; 512];
        match self.manager.recv(&mut buffer) {
            Ok(length) => String::from_utf8(buffer[..length].to_vec()).unwrap(),
            Err(error) => panic!("{error}: {}", self.log()),
        }
    }

    fn wait_for(&self, name: &str) {
        let begin = Instant::now();
        while !self.folder.path().join(name).exists() {
            assert!(begin.elapsed() < WAIT, "no {name}: {}", self.log());
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.server.id().cast_signed()), signal).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn is_healthy(&self) -> io::Result<bool> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.write_all(
            b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    }

    fn ended_well(&mut self) {
        let begin = Instant::now();
        while begin.elapsed() < WAIT {
            if let Some(status) = self.server.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.log());
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it still runs: {}", self.log());
    }

    fn check(&self, config: &Path) -> Output {
        program().args(["check", "--quiet", "-c"]).arg(config).output().unwrap()
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sky-island"));
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
    command
}

#[test]
fn a_server_tells_its_manager_when_it_listens_and_when_it_stops() {
    let mut managed = Managed::start();
    assert_eq!(managed.told(), "READY=1\n");
    assert!(managed.is_healthy().unwrap(), "{}", managed.log());
    managed.signal(Signal::SIGTERM);
    assert_eq!(managed.told(), "STOPPING=1\n");
    managed.ended_well();
}

#[test]
fn a_server_that_is_told_to_stop_while_it_starts_stops_in_order() {
    let mut managed = Managed::start();
    // Its signals are caught before it makes anything; the lock is the first thing that it makes.
    managed.wait_for("state/lock");
    managed.signal(Signal::SIGTERM);
    assert_eq!(managed.told(), "READY=1\n");
    assert_eq!(managed.told(), "STOPPING=1\n");
    managed.ended_well();
}

#[test]
fn a_hangup_is_told_as_a_reload() {
    let mut managed = Managed::start();
    assert_eq!(managed.told(), "READY=1\n");
    managed.signal(Signal::SIGHUP);
    let told = managed.told();
    assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
    assert_eq!(managed.told(), "READY=1\n");
    assert!(managed.is_healthy().unwrap(), "{}", managed.log());
    managed.signal(Signal::SIGTERM);
    assert_eq!(managed.told(), "STOPPING=1\n");
    managed.ended_well();
}

#[test]
fn a_program_that_takes_over_is_the_same_service() {
    let mut managed = Managed::start();
    assert_eq!(managed.told(), "READY=1\n");
    managed.signal(Signal::SIGUSR2);
    assert!(managed.told().starts_with("RELOADING=1\n"));
    assert_eq!(managed.told(), "READY=1\n");
    assert!(managed.is_healthy().unwrap(), "{}", managed.log());
    managed.signal(Signal::SIGTERM);
    assert_eq!(managed.told(), "STOPPING=1\n");
    managed.ended_well();
}

#[test]
fn a_watchdog_is_told_that_the_server_works_for_as_long_as_it_does() {
    let mut managed = Managed::start_watched(Some(Duration::from_millis(600)));
    let mut told: Vec<_> = (0..5).map(|_| managed.told()).collect();
    told.retain(|told| told != "READY=1\n");
    assert_eq!(told, ["WATCHDOG=1\n"; 4]);
    managed.signal(Signal::SIGTERM);
    while managed.told() != "STOPPING=1\n" {}
    managed.ended_well();
}

#[test]
fn a_quiet_check_is_silent_beside_a_running_server_and_names_what_is_missing() {
    let mut managed = Managed::start();
    assert_eq!(managed.told(), "READY=1\n");
    let config = managed.folder.path().join("config.json");
    let checked = managed.check(&config);
    assert_eq!((checked.status.code(), checked.stdout, checked.stderr), (Some(0), vec![], vec![]));
    let other = managed.folder.path().join("other.json");
    let missing = json!({
        "state_dir": managed.folder.path().join("state"), "go": {"command": "/no/such/go"},
    });
    fs::write(&other, missing.to_string()).unwrap();
    let checked = managed.check(&other);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(3));
    assert!(said.starts_with("BAD  toolchain: ") && said.contains("/no/such/go"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(managed.is_healthy().unwrap(), "{}", managed.log());
    managed.signal(Signal::SIGTERM);
    managed.ended_well();
}
