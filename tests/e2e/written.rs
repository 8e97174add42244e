//! Every answer of the function endpoint and of the paths around it, as it is written down.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::answers::same;
use crate::client::{Answer, FUNCTION};
use crate::leftovers::stop_without_a_trace;
use crate::server::{Server, Setup, free_port};
use crate::snapshot::Snapshot;
use crate::world::{fixture, folder};

const HELLO: &str = "example.test/hello";
const FAULTY: &str = "example.test/faulty";
/// By when a call is in the server that was made before another one.
const HEAD_START: Duration = Duration::from_millis(700);
/// How long the answer to a request may take whose body never comes.
const SLOW_WAIT: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(format!("written down: {name}"), move || test().map_err(Failed::from))
    };
    vec![
        trial("the answers to requests, good and bad, and to calls that fail", answers),
        trial("the answers of a server that has no room, and of one that fails", unwell),
    ]
}

struct Written {
    server: Server,
    folder: TempDir,
}

impl Written {
    fn start(setup: Setup) -> Result<Self, String> {
        let folder = folder()?;
        let repositories = folder.path().join("repositories");
        for name in ["hello", "faulty", "newer", "badmod"] {
            fixture(&repositories, name)?;
        }
        let closed = free_port().map_err(|e| e.to_string())?;
        let setup = setup.mirror("example.test", repositories.to_string_lossy());
        let setup = setup.mirror("closed.test", format!("http://127.0.0.1:{closed}"));
        Ok(Self { server: Server::start(folder.path(), &setup)?, folder })
    }

    fn see(&self, name: &str, request: &str, answer: &Answer) -> Result<(), String> {
        let (folder, own_words) = (self.folder.path(), false);
        Snapshot { name, request, answer, folder, own_words }.compare()
    }

    /// Posts a body; what the compiler or the function says is not written down.
    fn post(&self, name: &str, body: &Value, own_words: bool) -> Result<(), String> {
        let answer = self.server.client.post(body.to_string().as_bytes())?;
        let (folder, request) = (self.folder.path(), &*format!("POST {FUNCTION} {body}"));
        Snapshot { name, request, answer: &answer, folder, own_words }.compare()
    }
}

fn of(url: &str, call: &str) -> Value {
    json!({"url": url, "call": call})
}

fn answers() -> Result<(), String> {
    let written = Written::start(Setup::new(&["git"]))?;
    requests(&written)?;
    failures(&written)?;
    stop_without_a_trace(&written.server)
}

fn requests(written: &Written) -> Result<(), String> {
    let client = &written.server.client;
    written.post("text", &of(HELLO, "Which()"), false)?;
    written.post("bytes", &of(HELLO, "Raw()"), false)?;
    written.post("nothing", &of(HELLO, "Quiet()"), false)?;
    let mut version = of(HELLO, "Which()");
    version["version"] = "a b".into();
    let mut imports = of(HELLO, "Which()");
    imports["imports"] = json!(["../x"]);
    let mut field = of(HELLO, "Which()");
    field["verison"] = "v1".into();
    let mut ip4 = of(HELLO, "Which()");
    ip4["ip4"] = true.into();
    for (name, body) in [
        ("malformed", json!([])),
        ("unknown_field", field),
        ("url", of("hello", "Which()")),
        ("call", of(HELLO, "Which(")),
        ("version_text", version),
        ("imports", imports),
        ("no_network", ip4),
    ] {
        written.post(name, &body, false)?;
    }
    let long = vec![b' '; 64 * 1024 + 1];
    written.see(
        "too_large",
        &format!("POST {FUNCTION}, 64 KiB and a byte"),
        &client.post(&long)?,
    )?;
    for (name, method, path) in [
        ("health", "GET", "/api/v1/healthcheck"),
        ("health_2017", "GET", "/healthcheck"),
        ("health_method", "DELETE", "/healthcheck"),
        ("function_method", "GET", FUNCTION),
        ("openapi_method", "POST", "/api/v1/openapi.json"),
        ("not_found", "GET", "/api/v1/functions"),
    ] {
        let answer = client.send(method, path, b"")?;
        written.see(name, &format!("{method} {path}"), &answer)?;
    }
    written.see(
        "slow",
        &format!("POST {FUNCTION} without the body that it announces"),
        &slow(written)?,
    )
}

/// The answer to a request whose body never comes.
fn slow(written: &Written) -> Result<Answer, String> {
    let address = written.server.url().replace("http://", "");
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(text)?;
    stream.set_read_timeout(Some(SLOW_WAIT)).map_err(text)?;
    let head = format!("POST {FUNCTION} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(text)?;
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    // Until the end of the problem, for the connection may stay open.
    while !said.ends_with(b"}") {
        match stream.read(&mut piece).map_err(text)? {
            0 => break,
            length => said.extend_from_slice(&piece[..length]),
        }
    }
    let said = String::from_utf8_lossy(&said);
    let (head, body) = said.split_once("\r\n\r\n").ok_or("no answer")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.filter_map(pair).collect();
    Ok(Answer { status: status.ok_or("no status")?, headers, body: body.as_bytes().to_vec() })
}

fn failures(written: &Written) -> Result<(), String> {
    let mut version = of(HELLO, "Which()");
    version["version"] = "v9.9.9".into();
    for (name, body) in [
        ("repository", of("example.test/nothing", "Which()")),
        ("package", of("example.test/hello/below", "Which()")),
        ("version", version),
        ("function", of(HELLO, "Nope()")),
        ("main_package", of("example.test/faulty/program", "Answer()")),
        ("cgo", of("example.test/faulty/needscgo", "Answer()")),
        ("module", of("example.test/badmod", "Answer()")),
        ("newer_go", of("example.test/newer", "Answer()")),
        ("build", of(FAULTY, "Add(1)")),
        ("panicked", of(FAULTY, r#"Panic("boom")"#)),
        ("exited", of(FAULTY, "Exit(3)")),
        ("signaled", of(FAULTY, "Segfault()")),
        ("out_of_memory", of(FAULTY, "Allocate()")),
        ("output", of(FAULTY, "Print()")),
        ("deadline", of(FAULTY, "Spin()")),
        ("source", of("closed.test/hello", "Which()")),
    ] {
        written.post(name, &body, true)?;
    }
    Ok(())
}

fn unwell() -> Result<(), String> {
    let limits = json!({"calls": 1});
    let written = Written::start(Setup::new(&["git"]).limits(limits))?;
    let client = &written.server.client;
    let sleep = of(FAULTY, "Sleep(3 * time.Second)");
    // With everything cached a call is in the server for no longer than it sleeps.
    same(client.call(&sleep)?.status, 200)?;
    thread::scope(|scope| {
        let first = scope.spawn(|| client.post(sleep.to_string().as_bytes()));
        thread::sleep(HEAD_START);
        let turned_away = written.post("busy", &of(HELLO, "Which()"), false);
        let first = first.join().map_err(|_| "a client panicked")??;
        turned_away?;
        same(first.status, 200).map_err(|e| format!("{e}: {first}"))
    })?;
    // Where it makes what it fetches, it can make nothing any more.
    let scratch = written.server.state().join("scratch");
    let text = |error: std::io::Error| error.to_string();
    fs::remove_dir(&scratch).map_err(text)?;
    fs::write(&scratch, "").map_err(text)?;
    written.post("internal", &of(HELLO, "Which()"), false)?;
    fs::remove_file(&scratch).map_err(text)?;
    fs::create_dir(&scratch).map_err(text)?;
    stop_without_a_trace(&written.server)
}
