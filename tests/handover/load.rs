//! Clients that call without a pause, some on connections of their own for each call, and count
//! what fails.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::Client;

/// Clients of each kind.
const CLIENTS: usize = 3;
/// How long clients of the last kind think before they use their connection again.
const THOUGHT: Duration = Duration::from_millis(1500);
/// The quick call, what it answers, and one that takes a while.
pub(super) const QUICK: &str = "Fine()";
const ANSWER: &str = "fine";
pub(super) const SLOW: &str = "Sleep(1 * time.Second)";

/// A load that goes on until it is ended.
pub(super) struct Load {
    over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub(super) fn begin(address: SocketAddr) -> Self {
        let (over, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = |call: fn(&mut Option<Client<TcpStream>>, SocketAddr) -> io::Result<()>| {
            let (over, served) = (over.clone(), served.clone());
            thread::spawn(move || {
                let (mut kept, mut failed) = (None, Vec::new());
                while !over.load(Ordering::Relaxed) {
                    match call(&mut kept, address) {
                        Ok(()) => drop(served.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => {
                            kept = None;
                            failed.push(error.to_string());
                        }
                    }
                }
                failed
            })
        };
        let kinds = [fresh, keeping, slow, thinking];
        let clients = kinds.into_iter().flat_map(|kind| [kind; CLIENTS]).map(client).collect();
        Self { over, served, clients }
    }

    /// Goes on until so many more calls have been answered.
    pub(super) fn until_served(&self, more: usize) {
        let goal = self.served.load(Ordering::Relaxed) + more;
        while self.served.load(Ordering::Relaxed) < goal {
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client panicked");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it: how many calls were answered, and what the others met.
    pub(super) fn end(self) -> (usize, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        let failed = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (self.served.load(Ordering::Relaxed), failed)
    }
}

/// A connection for each call.
fn fresh(_: &mut Option<Client<TcpStream>>, address: SocketAddr) -> io::Result<()> {
    ask(&mut Client::connect(address)?, QUICK, ANSWER).map(drop)
}

/// One connection for all, as long as the server keeps it.
fn keeping(kept: &mut Option<Client<TcpStream>>, address: SocketAddr) -> io::Result<()> {
    on_kept(kept, address, QUICK, ANSWER)
}

fn slow(kept: &mut Option<Client<TcpStream>>, address: SocketAddr) -> io::Result<()> {
    on_kept(kept, address, SLOW, "slept")
}

fn thinking(kept: &mut Option<Client<TcpStream>>, address: SocketAddr) -> io::Result<()> {
    thread::sleep(THOUGHT);
    on_kept(kept, address, QUICK, ANSWER)
}

fn on_kept(
    kept: &mut Option<Client<TcpStream>>,
    address: SocketAddr,
    call: &str,
    answer: &str,
) -> io::Result<()> {
    let mut client = kept.take().map_or_else(|| Client::connect(address), Ok)?;
    let last = ask(&mut client, call, answer)?;
    *kept = (!last).then_some(client);
    Ok(())
}

/// Whether the answer, which has to be this one, is the last one of the connection.
fn ask(client: &mut Client<TcpStream>, call: &str, expected: &str) -> io::Result<bool> {
    let answer = client.call(call)?;
    if answer.status == 200 && answer.json()["data"] == expected {
        return Ok(answer.is_last());
    }
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    Err(io::Error::other(format!("{} {body}", answer.status)))
}
