//! A git host on a loopback port: `git http-backend` behind a small HTTP server, as CGI.
//!
//! It serves the bare repositories below a folder, remembers what it was asked, and can answer
//! chosen paths with something else. One thread a connection, one request a connection.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::skip::{not_here, skip};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// The body as text, where it is.
    pub body: String,
}

impl Asked {
    /// Whether this request asked for a pack.
    pub fn is_fetch(&self) -> bool {
        self.method == "POST" && self.body.contains("want ")
    }
}

/// How the host behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// It does not know protocol version 2.
    pub old: bool,
    /// Whole responses (status line, headers, body) by path without query; `{host}` in one is the
    /// host itself.
    pub answers: HashMap<String, String>,
}

/// The host; it stops with this value.
pub struct GitHost {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
}

impl GitHost {
    /// Serves the repositories below `root`; `None`, and the test is skipped, without a git.
    pub fn start(root: &Path, options: Options) -> Option<Self> {
        let exists = Command::new("git")
            .arg("--exec-path")
            .output()
            .ok()
            .filter(|o| o.status.success())
            .map(|o| PathBuf::from(String::from_utf8_lossy(&o.stdout).trim().to_owned()))
            .is_some_and(|path| path.join("git-http-backend").exists());
        if !exists {
            skip("git over HTTP", &not_here("git"));
            return None;
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, stopped, root) = (Arc::clone(&asked), Arc::clone(&stop), root.to_path_buf());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (log, root, options) = (Arc::clone(&log), root.clone(), options.clone());
                thread::spawn(move || {
                    // A client that hangs up is its own affair.
                    let _ = serve(stream, &root, &options, &log);
                });
            }
        });
        Some(Self { address, asked, stop })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for GitHost {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: TcpStream,
    root: &Path,
    options: &Options,
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(()) };
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    let mut body = vec![0u8; length];
    reader.read_exact(&mut body)?;
    log.lock().unwrap().push(Asked {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.clone(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if let Some(answer) = options.answers.get(path) {
        let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        let own = headers.get("host").map_or("", String::as_str);
        let answer = answer.replace("{host}", own);
        return stream.write_all(answer.as_bytes());
    }
    let response = backend(root, options, method, path, query, &headers, &body)?;
    stream.write_all(&response)
}

fn backend(
    root: &Path,
    options: &Options,
    method: &str,
    path: &str,
    query: &str,
    headers: &HashMap<String, String>,
    body: &[u8],
) -> std::io::Result<Vec<u8>> {
    let header = |name: &str| headers.get(name).map_or("", String::as_str);
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if !options.old {
        command.env("GIT_PROTOCOL", header("git-protocol"));
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let body = body.to_vec();
        thread::spawn(move || stdin.write_all(&body));
    }
    let output = child.wait_with_output()?.stdout;
    let end = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|l| l.strip_prefix("Status: ")).unwrap_or("200 OK");
    let rest: Vec<&str> = head.lines().filter(|l| !l.starts_with("Status: ")).collect();
    let mut response =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{}\r\n\r\n", rest.join("\r\n"))
            .into_bytes();
    response.extend_from_slice(output.get(end + 4..).unwrap_or_default());
    Ok(response)
}
