//! The fetch worker, whose every connection a gate makes: pages of strangers that lead elsewhere,
//! git hosts, and the go command.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use fetch_job::{FailureCode, FetchAnswer, FetchFailure, FetchJob, NO_CONNECTION, Origin};
use server::source::{Place, Proxies, Reach};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring};

use super::lab::{Lab, ROOM, Witness, host};
use crate::support;
use crate::support::bench::{Bench, answers};
use crate::support::git_http::Options;

/// Runs a job in a process of its own, with these variables.
fn run(job: &FetchJob, folder: &Path, variables: &[(&str, &str)]) -> FetchAnswer {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_sky-island"))
        .arg("fetch-worker")
        .env("TMPDIR", folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    serde_json::to_writer(worker.stdin.take().unwrap(), job).unwrap();
    serde_json::from_slice(&worker.wait_with_output().unwrap().stdout).unwrap()
}

fn job(lab: &Lab, path: &str, origin: Origin, reach: Reach) -> FetchJob {
    FetchJob {
        import_path: path.into(),
        version: None,
        imports: Vec::new(),
        origins: vec![origin],
        mirrors: Vec::new(),
        reach,
        gate: Some(lab.socket()),
        have: Vec::new(),
        dest: lab.folder("dest"),
        go: support::go(),
        max_bytes: ROOM,
    }
}

fn failure(answer: FetchAnswer) -> FetchFailure {
    match answer {
        FetchAnswer::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// A web server with TLS that answers each path; its certificate goes to a file.
fn pages(folder: &Path, answer: impl Fn(&str) -> String + Send + 'static) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["vanity.test".to_owned()]).unwrap();
    let file = folder.join("cert.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            let _ = stream.write_all(answer(path).as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (address, file.to_str().unwrap().to_owned())
}

fn page(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn no_tag_and_no_redirect_of_a_page_leads_to_this_host() {
    let witness = Witness::open();
    let port = witness.port();
    let targets: Vec<String> = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "LOCALHOST",
        "a.localhost",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "nine.test",
        "six.test",
    ]
    .iter()
    .flat_map(|host| [format!("https://{host}:{port}/r"), format!("https://{host}/r")])
    .collect();
    let folder = support::TempDir::new();
    let shown = targets.clone();
    let (address, certificate) = pages(folder.path(), move |path| {
        let (kind, number) = path[1..].split_at(3);
        let target = &shown[number.parse::<usize>().unwrap()];
        match kind {
            "tag" => page(&format!(
                "<meta name=\"go-import\" content=\"vanity.test{path} git {target}\">"
            )),
            "hop" => {
                format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n")
            }
            _ => {
                let target = target.replace("https://", "https://user:secret@");
                format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n")
            }
        }
    });
    let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), port);
    let names = [("vanity.test", address), ("nine.test", at("127.0.0.9")), ("six.test", at("::1"))];
    // Strangers' ports are open too, so that the hosts alone decide.
    let allow = ["*.test", "127.0.0.1", "localhost", "*.localhost", "0.0.0.0", "[::1]"];
    let allow = allow.iter().flat_map(|host| [(*host).to_owned(), format!("{host}:{port}")]);
    let reach = Reach {
        private: vec!["vanity.test".parse().unwrap()],
        allow: allow.map(|host| host.parse().unwrap()).collect(),
        ..Reach::default()
    };
    let lab = Lab::open(reach.clone(), Proxies::of(|_| None), &names);
    for (number, target) in targets.iter().enumerate() {
        for kind in ["tag", "hop", "usr"] {
            let path = format!("vanity.test/{kind}{number}");
            let job = job(&lab, &path, Origin::Git, reach.clone());
            let answer = run(&job, folder.path(), &[("SSL_CERT_FILE", &certificate)]);
            let FetchFailure { code, detail } = failure(answer);
            assert_eq!(code, FailureCode::Unreachable, "{kind} {target}: {detail}");
            // The worker has seen the page; it was not the page that was out of reach.
            assert!(!detail.contains("vanity.test cannot be reached"), "{kind} {target}: {detail}");
            let refused = detail.contains(NO_CONNECTION) || detail.contains("is not followed");
            assert!(refused && !detail.contains("secret"), "{kind} {target}: {detail}");
        }
    }
    witness.was_not_reached();
}

#[test]
fn a_git_host_of_the_operator_is_fetched_from_through_the_gate() {
    let mut bench = Bench::new(&[Origin::Git]);
    let repo = bench.repo("a/m");
    let go_mod = ("go.mod", "module example.com/a/m\n\ngo 1.20\n");
    repo.commit("master", &[go_mod, ("m.go", &answers(7))]);
    let Some(host) = bench.host(Options::default()) else { return };
    let reach = bench.reach();
    let lab = Lab::open(reach, Proxies::of(|_| None), &[]);
    let mut job = bench.job("example.com/a/m", None);
    job.gate = Some(lab.socket());
    let FetchAnswer::Fetched(fetched) = fetch_worker::run(&job) else { panic!("not fetched") };
    assert_eq!(bench.run(&fetched, "p.N()"), "7");
    assert!(!host.asked().is_empty());
    // Without its place the host is not reached, whatever the worker thinks of it.
    let closed = Lab::open(Reach::default(), Proxies::of(|_| None), &[]);
    let asked = host.asked().len();
    job.gate = Some(closed.socket());
    let FetchFailure { code, detail } = failure(fetch_worker::run(&job));
    assert_eq!(code, FailureCode::Unreachable, "{detail}");
    assert_eq!(host.asked().len(), asked);
}

#[test]
fn the_go_command_asks_its_proxies_through_the_gate() {
    const NOT_THERE: &str =
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (address, heard) = host(NOT_THERE);
    let name = Place::of_url("http://athens.test").unwrap();
    let lab = |places| {
        let reach = Reach { places, ..Reach::default() };
        (Lab::open(reach.clone(), Proxies::of(|_| None), &[("athens.test", address)]), reach)
    };
    let ask = |lab: &Lab, reach, proxy: &str| {
        let job = job(lab, "example.org/a/m", Origin::Proxy, reach);
        let variables = [("GOPROXY", proxy), ("GOSUMDB", "off"), ("GOFLAGS", "")];
        failure(run(&job, &lab.folder("tmp"), &variables))
    };
    let (open, reach) = lab(vec![name]);
    let answer = ask(&open, reach, "http://athens.test");
    assert_eq!(answer.code, FailureCode::Repository, "{}", answer.detail);
    let head = heard.recv().unwrap();
    assert!(head.starts_with("GET /example.org/"), "{head}");
    assert!(head.contains("Host: athens.test\r\n"), "{head}");
    while heard.try_recv().is_ok() {}
    // A proxy that the operator has not named is asked nothing, and one sentence says so.
    let (closed, reach) = lab(Vec::new());
    let answer = ask(&closed, reach, "http://athens.test,https://other.test");
    assert_eq!(answer.code, FailureCode::Unreachable, "{}", answer.detail);
    assert!(answer.detail.contains(NO_CONNECTION), "{}", answer.detail);
    assert!(heard.try_recv().is_err());
}
