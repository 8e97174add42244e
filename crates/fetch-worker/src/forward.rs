//! A TCP port to the gate for the go command, which knows no proxy at a unix socket.
//!
//! One port is the proxy that the go command is told of; its bytes go to the gate as they are. The
//! go command asks no proxy for a host that is this machine, so for each of these that it is
//! configured for there is a listener at the very address, from which a tunnel leads there.
//!
//! The listeners are in the network namespace of the island, end with the worker, and serve a
//! bounded number of connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use fetch_job::{Host, Place};

use super::gate::tunnel;

/// The most connections at once; the next one waits.
const AT_ONCE: usize = 48;
/// Bytes of stack of a thread that copies.
const STACK: usize = 128 << 10;

/// The proxy of the go command.
#[derive(Debug)]
pub(super) struct Forwarder {
    /// What the go command is told: `http://127.0.0.1:40001`.
    pub(super) url: String,
}

impl Forwarder {
    /// Listens for the go command, which may ask these places.
    pub(super) fn start(gate: &Path, places: &[Place]) -> io::Result<Self> {
        let free = Arc::new(Slots { free: Mutex::new(AT_ONCE), freed: Condvar::new() });
        // The places first, for their ports are given.
        for place in places {
            for address in addresses(&place.host) {
                let listener = TcpListener::bind(SocketAddr::new(address, place.port));
                match listener {
                    Ok(listener) => serve(listener, gate.to_owned(), Some(place.clone()), &free)?,
                    // A host may lack one of the two kinds of addresses.
                    Err(_) if matches!(place.host, Host::Name(_)) && address.is_ipv6() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://{}", proxy.local_addr()?);
        serve(proxy, gate.to_owned(), None, &free)?;
        Ok(Self { url })
    }
}

/// Of the URLs in these settings of the go command, the places that it asks without a proxy.
pub(super) fn asked_directly(settings: &[&str]) -> Vec<Place> {
    let urls = settings.iter().flat_map(|text| text.split([',', '|', ' ']));
    let mut places: Vec<_> =
        urls.filter_map(Place::of_url).filter(|place| !addresses(&place.host).is_empty()).collect();
    places.sort_by_key(ToString::to_string);
    places.dedup();
    places
}

/// The addresses of a host for which Go asks no proxy.
fn addresses(host: &Host) -> Vec<IpAddr> {
    match host {
        Host::Name(name) if name == "localhost" => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Host::Address(address) if address.is_loopback() => vec![*address],
        _ => Vec::new(),
    }
}

/// Places for connections.
#[derive(Debug)]
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A taken place. Dropping it makes the place free.
struct Slot(Arc<Slots>);

impl Slot {
    fn take(slots: &Arc<Slots>) -> Self {
        let mut free = slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = slots.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Self(slots.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

fn serve(
    listener: TcpListener,
    gate: PathBuf,
    place: Option<Place>,
    slots: &Arc<Slots>,
) -> io::Result<()> {
    let slots = slots.clone();
    let accept = move || {
        loop {
            let slot = Slot::take(&slots);
            let Ok((client, _)) = listener.accept() else { return };
            let (gate, place) = (gate.clone(), place.clone());
            // Without a thread the connection is closed, and the go command reports that.
            let _ = copier().spawn(move || {
                let _slot = slot;
                let connected = match &place {
                    Some(place) => tunnel(&gate, place),
                    None => UnixStream::connect(&gate),
                };
                connected.and_then(|server| join(client, server))
            });
        }
    };
    copier().spawn(accept).map(drop)
}

fn copier() -> thread::Builder {
    thread::Builder::new().stack_size(STACK)
}

/// Copies both ways until both sides have ended.
fn join(client: TcpStream, server: UnixStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let ask = copier().spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    })?;
    let (mut from_server, mut to_client) = (&server, &client);
    let copied = io::copy(&mut from_server, &mut to_client);
    let _ = client.shutdown(Shutdown::Write);
    if copied.is_err() {
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    }
    let _ = ask.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_go_command_asks_loopback_without_a_proxy() {
        let settings = [
            "http://127.0.0.1:3000/x|https://localhost,direct",
            "sums.example+abc http://[::1]:80",
            "https://proxy.example,http://10.0.0.1,http://a.localhost,off",
        ];
        let found = asked_directly(&settings);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.1:3000", "[::1]:80", "localhost:443"]);
        assert!(asked_directly(&["off", "", "sum.golang.org"]).is_empty());
    }

    /// A gate that answers `reply` to everything, and says what it was asked.
    fn gate(folder: &Path, reply: &'static str) -> (PathBuf, thread::JoinHandle<String>) {
        let path = folder.join("gate");
        let listener = UnixListener::bind(&path).unwrap();
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream.write_all(reply.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        });
        (path, asked)
    }

    #[test]
    fn bytes_reach_the_gate_as_they_are_and_its_answer_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, asked) = gate(folder.path(), "HTTP/1.1 502 no\r\n\r\n");
        let forwarder = Forwarder::start(&path, &[]).unwrap();
        let address = forwarder.url.strip_prefix("http://").unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"CONNECT a.b:443 HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HTTP/1.1 502 no\r\n\r\n");
        assert_eq!(asked.join().unwrap(), "CONNECT a.b:443 HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn a_place_of_loopback_has_a_listener_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (path, asked) = gate(folder.path(), "HTTP/1.1 200 Connected\r\n\r\nhello");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = Place::of_url(&format!("http://localhost:{port}")).unwrap();
        let _forwarder = Forwarder::start(&path, &[place]).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello");
        let asked = asked.join().unwrap();
        assert!(asked.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{asked}");
    }
}
