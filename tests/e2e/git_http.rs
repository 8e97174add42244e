//! Git over smart HTTP on a loopback port: a small bridge to `git http-backend`, which counts.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The longest that a connection may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest body that a git client sends to a fetch.
const BODY: u64 = 16 << 20;

/// The bridge. It serves until the suite ends.
#[derive(Debug)]
pub(crate) struct GitHttp {
    port: u16,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl GitHttp {
    /// Serves the bare repositories below a folder.
    pub(crate) fn serve(root: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let bridge = Self { port: listener.local_addr()?.port(), counts: Arc::default() };
        let (root, counts) = (root.to_path_buf(), Arc::clone(&bridge.counts));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, counts) = (root.clone(), Arc::clone(&counts));
                // A client that goes away in the middle is its own affair.
                thread::spawn(move || drop(answer(stream, root, &counts)));
            }
        });
        Ok(bridge)
    }

    /// The address of a folder below the root.
    pub(crate) fn url(&self, below: &str) -> String {
        format!("http://127.0.0.1:{}/{below}", self.port)
    }

    /// How many requests there were for a repository.
    pub(crate) fn count(&self, repository: &str) -> usize {
        let counts = self.counts.lock().expect("the bridge does not panic with the lock");
        counts.get(repository).copied().unwrap_or_default()
    }
}

/// A request as far as CGI wants to know it.
#[derive(Debug, Default)]
struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn answer(
    stream: TcpStream,
    root: PathBuf,
    counts: &Mutex<BTreeMap<String, usize>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let request = Request::read(&mut BufReader::new(&stream), &stream)?;
    if let Some((repository, _)) = request.path.split_once(".git/") {
        let repository = repository.trim_start_matches('/').to_owned();
        let mut counts = counts.lock().expect("the bridge does not panic with the lock");
        *counts.entry(repository).or_default() += 1;
    }
    respond(&stream, &backend(&request, root)?)
}

impl Request {
    fn read(reader: &mut impl BufRead, mut stream: &TcpStream) -> io::Result<Self> {
        let line = read_line(reader)?;
        let mut words = line.split(' ');
        let mut request =
            Self { method: words.next().unwrap_or_default().into(), ..Self::default() };
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        (request.path, request.query) = (path.into(), query.into());
        loop {
            let line = read_line(reader)?;
            let Some((name, value)) = line.split_once(':') else { break };
            request.headers.insert(name.to_ascii_lowercase(), value.trim().into());
        }
        if request.header("expect").eq_ignore_ascii_case("100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if request.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            request.read_chunks(reader)?;
        } else {
            let length = request.header("content-length").parse().unwrap_or(0).min(BODY);
            reader.take(length).read_to_end(&mut request.body)?;
        }
        Ok(request)
    }

    fn read_chunks(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        loop {
            let line = read_line(reader)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?.min(BODY);
            reader.by_ref().take(size).read_to_end(&mut self.body)?;
            // The line end behind a chunk, or the empty line behind the last one.
            read_line(reader)?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Runs `git http-backend` for a request and gives what it prints.
fn backend(request: &Request, root: PathBuf) -> io::Result<Vec<u8>> {
    let mut child = Command::new("git")
        .arg("http-backend")
        // The repositories belong to the user who runs the suite, which git wants to hear.
        .envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory")])
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(|| io::Error::other("no stdin"))?;
    let body = request.body.clone();
    // It may print before it has read all, so both are done at once.
    let writer = thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output()?;
    // It need not read what it has no use for.
    drop(writer.join());
    Ok(output.stdout)
}

/// Turns what a CGI program prints into an answer.
fn respond(mut stream: &TcpStream, printed: &[u8]) -> io::Result<()> {
    let end = printed.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = end.map_or((&b""[..], printed), |at| (&printed[..at], &printed[at + 4..]));
    let head = String::from_utf8_lossy(head);
    let lines = || head.lines().filter_map(|line| line.split_once(": "));
    let status = lines().find(|(name, _)| *name == "Status").map_or("200 OK", |(_, value)| value);
    let status = if end.is_some() { status } else { "500 Internal Server Error" };
    let mut answer = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in lines().filter(|(name, _)| *name != "Status") {
        answer += &format!("{name}: {value}\r\n");
    }
    answer += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(answer.as_bytes())?;
    stream.write_all(body)
}
