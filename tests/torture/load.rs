//! A mixed load: cached calls, builds, fetches and requests of an operator, each kind by a thread
//! or two of its own. It is bounded by its clients: each waits for its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::world::{TOKEN, TOKEN_HEADER, call, known, new_build, new_fetch};

/// The pause of a client whose server is gone.
const PAUSE: Duration = Duration::from_millis(20);
/// The numbers of builds and fetches, so that no two loads share one.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// A load that goes on until it is ended.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Counts>>,
}

/// What the clients of a load met.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Answers with the right content.
    pub right: usize,
    /// Answers that the server is busy, or stops.
    pub busy: usize,
    /// Requests without an answer.
    pub unanswered: usize,
    /// Answers that must not be.
    pub wrong: Vec<String>,
}

impl Load {
    /// Begins a load; fetches take the `branches` branches in turns.
    pub(crate) fn begin(client: &Client, branches: usize) -> Self {
        let over = Arc::<AtomicBool>::default();
        let kinds: [fn(&Client, usize) -> Result<Kind, String>; 6] =
            [cached, cached, faulty, build, fetch, operate];
        let start = |ask: fn(&Client, usize) -> Result<Kind, String>| {
            let (over, client) = (over.clone(), client.clone());
            thread::spawn(move || {
                let mut counts = Counts::default();
                while !over.load(Ordering::Relaxed) {
                    counts.add(ask(&client, branches));
                }
                counts
            })
        };
        let clients = kinds.into_iter().map(start).collect();
        Self { over, clients }
    }

    /// Ends it, and waits for the last answers.
    pub(crate) fn end(self) -> Counts {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Counts::default();
        for client in self.clients {
            let one = client.join().expect("no client panics");
            all.right += one.right;
            all.busy += one.busy;
            all.unanswered += one.unanswered;
            all.wrong.extend(one.wrong);
        }
        all
    }
}

/// An answer that may be.
enum Kind {
    Right,
    Busy,
    Wrong(String),
}

impl Counts {
    fn add(&mut self, kind: Result<Kind, String>) {
        match kind {
            Ok(Kind::Right) => self.right += 1,
            Ok(Kind::Busy) => self.busy += 1,
            Ok(Kind::Wrong(text)) => self.wrong.push(text),
            Err(_) => {
                self.unanswered += 1;
                sleep(PAUSE);
            }
        }
    }
}

fn cached(client: &Client, _: usize) -> Result<Kind, String> {
    ask(client, &known(), crate::world::KNOWN.2)
}

/// A function that fails by itself must do so in each answer.
fn faulty(client: &Client, _: usize) -> Result<Kind, String> {
    let fields = serde_json::json!({"url": "example.test/faulty", "call": "Panic(\"on purpose\")"});
    let answer = call(client, &fields)?;
    Ok(match answer.status {
        422 if answer.to_string().contains("on purpose") => Kind::Right,
        429 | 503 => Kind::Busy,
        _ => Kind::Wrong(format!("{fields}: {answer}")),
    })
}

fn build(client: &Client, _: usize) -> Result<Kind, String> {
    let (fields, text) = new_build(NEXT.fetch_add(1, Ordering::Relaxed));
    ask(client, &fields, &text)
}

fn fetch(client: &Client, branches: usize) -> Result<Kind, String> {
    let (fields, text) = new_fetch(NEXT.fetch_add(1, Ordering::Relaxed) % branches);
    ask(client, &fields, &text)
}

/// What an operator looks at, and now and then a cache that is cleared.
fn operate(client: &Client, _: usize) -> Result<Kind, String> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let header = [(TOKEN_HEADER, TOKEN)];
    let (method, path) = match number % 8 {
        0 => ("GET", "/api/v1/admin/cache"),
        1 => ("DELETE", "/api/v1/admin/cache"),
        2 => ("GET", "/api/v1/admin/config"),
        3 => ("GET", "/metrics"),
        4 => ("GET", "/healthcheck"),
        5 => ("GET", "/api/v1/admin/api-stats"),
        _ => ("GET", "/api/v1/admin/jails"),
    };
    let answer = client.send_with(method, path, &header, b"")?;
    // An operator is no flood.
    sleep(PAUSE * 5);
    Ok(match answer.status {
        200..=204 => Kind::Right,
        _ => Kind::Wrong(format!("{method} {path}: {answer}")),
    })
}

fn ask(client: &Client, fields: &Value, text: &str) -> Result<Kind, String> {
    let answer = call(client, fields)?;
    Ok(match answer.status {
        200 if answer.json()?["data"] == text => Kind::Right,
        429 | 503 => Kind::Busy,
        _ => Kind::Wrong(format!("{fields}: {answer}")),
    })
}
