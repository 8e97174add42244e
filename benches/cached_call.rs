//! What a cached call costs beside a bare spawn-and-wait of the same binary, measured in turns in one run.
//!
//! `make bench` starts the release server on a state directory of its own and prints a table, and the same as JSON.
//! Set `BENCH_CALLS` for another number of rounds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BODY: &str = r#"{"url": "github.com/mmcloughlin/geohash", "call": "Encode(100.1, 80.9)"}"#;
const EXPECTED: &str = "jbcs8zmd6shp";
/// How long the server may take to start.
const START_WAIT: Duration = Duration::from_secs(20);
/// Rounds before measuring begins.
const WARM_UP: usize = 30;

struct Server {
    process: Child,
    state: tempfile::TempDir,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let address = {
            let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            probe.local_addr().expect("its address").to_string()
        };
        let config = state.path().join("config.json");
        let folder = state.path().join("state");
        let text = format!(
            r#"{{"listen": "{address}", "state_dir": {folder:?}, "go": {{"warm": false}}}}"#
        );
        std::fs::write(&config, text).expect("the configuration");
        let process = Command::new(env!("CARGO_BIN_EXE_sky-island"))
            .args(["serve", "-c"])
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect("the server");
        let began = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(began.elapsed() < START_WAIT, "the server does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { process, state, address }
    }

    fn artifact(&self) -> PathBuf {
        let folder = self.state.path().join("state/artifacts");
        let entry =
            std::fs::read_dir(folder).expect("artifacts").flatten().next().expect("one artifact");
        entry.path().join("main")
    }
}

/// One connection that is kept open.
struct Client {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        let length = BODY.len();
        let head = format!(
            "POST /api/v1/function HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n"
        );
        Self {
            stream: BufReader::new(stream),
            request: [head.as_bytes(), BODY.as_bytes()].concat(),
        }
    }

    fn call(&mut self) -> Duration {
        let began = Instant::now();
        self.stream.get_mut().write_all(&self.request).expect("a request");
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a header");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        let spent = began.elapsed();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(EXPECTED), "{text}");
        spent
    }
}

fn bare(program: &Path) -> Duration {
    let began = Instant::now();
    let output = Command::new(program).env_clear().stderr(Stdio::null()).output().expect("a spawn");
    let spent = began.elapsed();
    assert_eq!(output.stdout, EXPECTED.as_bytes());
    spent
}

fn at(sorted: &[Duration], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0
}

fn main() {
    let rounds =
        std::env::var("BENCH_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let server = Server::start();
    let mut client = Client::connect(&server.address);
    client.call();
    let program = server.artifact();
    let (mut calls, mut spawns) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + rounds {
        let (call, spawn) = (client.call(), bare(&program));
        if round >= WARM_UP {
            calls.push(call);
            spawns.push(spawn);
        }
    }
    calls.sort();
    spawns.sort();
    println!("{:34} {:>9} {:>9} {:>9}", "milliseconds", "median", "p90", "p99");
    for (name, times) in [("cached call over HTTP", &calls), ("bare spawn, read and wait", &spawns)]
    {
        println!("{name:34} {:9.3} {:9.3} {:9.3}", at(times, 0.5), at(times, 0.9), at(times, 0.99));
    }
    let ratio = at(&calls, 0.5) / at(&spawns, 0.5);
    println!("{:34} {ratio:9.2}", "ratio of the medians");
    let row = |times: &[Duration]| serde_json::json!({"p50_ms": at(times, 0.5), "p90_ms": at(times, 0.9), "p99_ms": at(times, 0.99)});
    let json = serde_json::json!({"rounds": rounds, "cached_call": row(&calls), "bare_spawn": row(&spawns), "ratio": ratio});
    println!("{json}");
}
