//! Heads of HTTP requests, through our own connections and guard: what reaches a handler is what
//! the guard lets through, and each request is answered once.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Version, header};
use server::calls::Phase;
use server::http::{ConnectionLimits, Connections, Guard, guarded};
use server::listen::{self, Endpoint, PassedSockets};
use tokio_util::sync::CancellationToken;

/// The longest that an answer may take.
const WAIT: Duration = Duration::from_secs(5);
/// The longest that a head may take; the inputs end by a shutdown long before.
const HEAD: Duration = Duration::from_secs(10);
/// The status that only the handler answers with.
const REACHED: StatusCode = StatusCode::IM_A_TEAPOT;

/// The requests that reached the handler.
static REACHES: AtomicUsize = AtomicUsize::new(0);
/// What a request was that should not have reached it.
static WRONG: Mutex<Option<String>> = Mutex::new(None);
/// One input at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Sends the bytes to a server and reads its answers.
pub fn check(bytes: &[u8]) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = REACHES.load(Ordering::SeqCst);
    let mut stream = TcpStream::connect(server()).expect("the server listens");
    stream.set_read_timeout(Some(WAIT)).expect("a time-out");
    // The server may close before it has read all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    let mut piece = [0; 8192];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => answers.extend_from_slice(&piece[..length]),
            // Unread bytes of a refused request make a reset of the close.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no end of the answer: {error}"),
        }
    }
    if let Some(wrong) = WRONG.lock().expect("no handler panics").take() {
        panic!("{wrong}");
    }
    let text = String::from_utf8_lossy(&answers);
    assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text:?}");
    let reached = REACHES.load(Ordering::SeqCst) - before;
    let answered = text.matches("I'm a teapot\r\n").count();
    assert!(answered <= reached, "{answered} answers of {reached} requests: {text:?}");
}

fn server() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(start)
}

fn start() -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let any: Endpoint = "127.0.0.1:0".parse().expect("an endpoint");
            let listeners = listen::open(&[any], None, PassedSockets::none()).await;
            let listeners = listeners.expect("a port of loopback is free");
            let address = listeners[0].plain_address().expect("it is TCP");
            tell.send(address).expect("somebody waits");
            let router = guarded(Router::new().fallback(handler), Guard::new(&[], &[]));
            let limits = ConnectionLimits {
                connections: 64,
                per_client: 64,
                head_wait: HEAD,
                answer_wait: HEAD,
            };
            let connections = Connections::new(router, Phase::default(), limits);
            connections.take(listeners, CancellationToken::new()).await;
        });
    });
    told.recv().expect("the server starts")
}

async fn handler(request: Request) -> StatusCode {
    REACHES.fetch_add(1, Ordering::SeqCst);
    if let Some(why) = wrong(&request) {
        *WRONG.lock().expect("no handler panics") = Some(format!("{why}: {request:?}"));
    }
    REACHED
}

/// Why a request should not have reached the handler. The rules are written down here a second
/// time, as plainly as can be.
fn wrong(request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
    if hosts.len() > 1 || hosts.is_empty() && request.version() >= Version::HTTP_11 {
        return Some("the number of Host headers");
    }
    let named = request.uri().authority().map(|it| it.as_str().to_owned());
    let named = named.or_else(|| hosts.first().map(|it| it.to_str().unwrap_or("?").to_owned()));
    if named.is_some_and(|name| !is_ours(&name)) {
        return Some("the host");
    }
    let framed = headers.contains_key(header::TRANSFER_ENCODING);
    if framed && headers.contains_key(header::CONTENT_LENGTH) {
        return Some("two framings");
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    page(headers)
}

/// Whether a page of another origin may have sent a request that changes something. Only the
/// origins that are certainly foreign are looked at.
fn page(headers: &HeaderMap) -> Option<&'static str> {
    let origin = headers.get(header::ORIGIN).map(|it| it.to_str().unwrap_or("?"));
    match origin {
        Some(origin) if !origin.contains("://") || origin.contains("evil") => Some("the origin"),
        Some(_) => None,
        None => {
            let site = headers.get("sec-fetch-site").map(|it| it.as_bytes());
            matches!(site, Some(b"cross-site" | b"same-site")).then_some("the site")
        }
    }
}

/// A literal address or localhost, with a port or without one.
fn is_ours(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_end_matches('.').to_ascii_lowercase();
    let inner = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    bare == "localhost"
        || bare.ends_with(".localhost")
        || name.parse::<std::net::Ipv4Addr>().is_ok()
        || inner.is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok())
}
