//! Clients of the server: raw sockets that are kept open. They share the server's cores, so they do
//! next to nothing.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest that an answer may take, with every wait and deadline of a first call.
const ANSWER_WAIT: Duration = Duration::from_secs(240);
/// The longest answer, in bytes.
const ANSWER_BYTES: usize = 16 * 1024;
/// How long a client that was sent away waits, where the server does not say it.
const PAUSE: Duration = Duration::from_secs(1);

/// A request for a call, as it goes over the wire.
pub(crate) fn request(url: &str, call: &str) -> Vec<u8> {
    let body = json!({"url": url, "call": call}).to_string();
    let length = body.len();
    format!(
        "POST /api/v1/function HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The head of an answer, and where it ends.
pub(crate) struct Head {
    status: u16,
    length: usize,
    retry_after: Option<Duration>,
    end: usize,
}

fn head(bytes: &[u8]) -> Option<Head> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut head =
        Head { status: text.get(9..12)?.parse().ok()?, length: 0, retry_after: None, end };
    for (name, value) in text.split("\r\n").skip(1).filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            head.length = value.parse().ok()?;
        } else if name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = value.parse().ok().map(Duration::from_secs);
        }
    }
    Some(head)
}

/// One connection, one call at a time.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    read: usize,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, String> {
        let open = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_WAIT))?;
            Ok(stream)
        };
        let stream = open().map_err(|e: std::io::Error| format!("no connection: {e}"))?;
        Ok(Self { stream, buffer: vec![0; ANSWER_BYTES], read: 0 })
    }

    /// Sends a request, and answers how long its answer took; fails unless that is a success.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<Duration, String> {
        let began = Instant::now();
        let status = self.send(request).map_err(|e| format!("the connection broke: {e}"))?;
        let spent = began.elapsed();
        match status {
            200 => Ok(spent),
            status => Err(format!("status {status}: {}", self.answer())),
        }
    }

    /// The last answer, with its head.
    pub(crate) fn answer(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.read]).into_owned()
    }

    fn send(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.stream.write_all(request)?;
        self.read = 0;
        loop {
            match self.stream.read(&mut self.buffer[self.read..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                more => self.read += more,
            }
            if let Some(head) = head(&self.buffer[..self.read])
                && self.read >= head.end + head.length
            {
                return Ok(head.status);
            }
        }
    }
}

/// What became of the calls of many clients.
#[derive(Default)]
pub(crate) struct IslandMetrics {
    /// How long successes took.
    pub(crate) times: Vec<Duration>,
    /// Answers that the server is full and when to come again.
    pub(crate) sent_away: u64,
    /// Anything else, and an example of it.
    pub(crate) failures: u64,
    pub(crate) failure: Option<String>,
    /// How long it all took.
    pub(crate) spent: Duration,
    /// The clients' own processor time.
    pub(crate) client_cpu: Duration,
}

impl IslandMetrics {
    /// Successes in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.spent.as_secs_f64()
    }

    fn fail(&mut self, why: String) {
        self.failures += 1;
        self.failure.get_or_insert(why);
    }
}

/// So many clients send the same request, each again when it is answered, until the time is over.
/// All of them are one thread. `watch` is called a few times a second.
pub(crate) fn crowd(
    address: SocketAddr,
    clients: usize,
    request: &[u8],
    time: Duration,
    mut watch: impl FnMut(),
) -> Result<IslandMetrics, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("no loop for the clients: {e}"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut streams = Vec::with_capacity(clients);
        for _ in 0..clients {
            let stream = tokio::net::TcpStream::connect(address).await;
            let stream = stream.map_err(|e| format!("no connection: {e}"))?;
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            streams.push(stream);
        }
        let request: Rc<[u8]> = request.into();
        let tally = Rc::new(RefCell::new(IslandMetrics::default()));
        let (began, cpu) = (Instant::now(), own_cpu());
        let end = began + time;
        let mut tasks = tokio::task::JoinSet::new();
        for stream in streams {
            tasks.spawn_local(one(stream, request.clone(), end, tally.clone()));
        }
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                ended = tasks.join_next() => if ended.is_none() { break },
                _ = tick.tick() => watch(),
            }
        }
        let mut tally = tally.take();
        tally.spent = began.elapsed();
        tally.client_cpu = own_cpu().saturating_sub(cpu);
        Ok(tally)
    })
}

async fn one(
    mut stream: tokio::net::TcpStream,
    request: Rc<[u8]>,
    end: Instant,
    tally: Rc<RefCell<IslandMetrics>>,
) {
    let mut buffer = Vec::with_capacity(1024);
    while Instant::now() < end {
        let began = Instant::now();
        let answered =
            tokio::time::timeout(ANSWER_WAIT, exchange(&mut stream, &request, &mut buffer));
        let spent = || began.elapsed();
        match answered.await {
            Ok(Ok(head)) if head.status == 200 => tally.borrow_mut().times.push(spent()),
            Ok(Ok(head)) if matches!(head.status, 429 | 503) && head.retry_after.is_some() => {
                tally.borrow_mut().sent_away += 1;
                tokio::time::sleep(head.retry_after.unwrap_or(PAUSE)).await;
            }
            Ok(Ok(_)) => tally.borrow_mut().fail(String::from_utf8_lossy(&buffer).into_owned()),
            Ok(Err(error)) => {
                return tally.borrow_mut().fail(format!("the connection broke: {error}"));
            }
            Err(_) => return tally.borrow_mut().fail(format!("no answer within {ANSWER_WAIT:?}")),
        }
    }
}

pub(crate) async fn exchange(
    stream: &mut tokio::net::TcpStream,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> std::io::Result<Head> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        if buffer.len() > ANSWER_BYTES || stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(head) = head(buffer)
            && buffer.len() >= head.end + head.length
        {
            return Ok(head);
        }
    }
}

/// The processor time that this process has used so far, without its children's.
pub(crate) fn own_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000
            + u64::try_from(time.tv_usec()).unwrap_or(0)
    };
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}
