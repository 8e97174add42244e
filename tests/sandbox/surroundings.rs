//! What a function finds around itself: processes, names, networks, descriptors, other islands.

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};

use serde::Deserialize;

use super::host::{Host, limits, promise, read};

#[derive(Deserialize)]
struct Processes {
    own: i64,
    parent: i64,
    found: Vec<i64>,
    threads: usize,
    all: String,
}

#[derive(Deserialize)]
struct Surroundings {
    environment: Vec<String>,
    arguments: Vec<String>,
    folder: String,
    host: String,
}

#[derive(Deserialize)]
struct Met {
    found: BTreeMap<String, bool>,
    offers: u32,
}

#[test]
fn a_function_finds_and_signals_no_other_process() {
    promise(|host| {
        let found: Processes = host.ask(&["processes"]);
        if cfg!(target_os = "linux") {
            assert_eq!((found.own, found.parent), (1, 0));
        }
        assert!(found.found.contains(&found.own), "{:?}", found.found);
        assert!(found.found.len() <= found.threads.max(1), "{:?}", found.found);
        assert_eq!(found.all, "no such process");
    });
}

#[test]
fn a_functions_environment_is_exactly_what_was_promised() {
    promise(|host| {
        let found: Surroundings = host.ask(&["surroundings"]);
        let soft = format!("GOMEMLIMIT={}", limits().memory / 10 * 9);
        let promised = [&soft, "HOME=/tmp", "PATH=/", "TMPDIR=/tmp", "ZONEINFO=/zoneinfo.zip"];
        assert_eq!(found.environment, promised);
        assert_eq!(found.arguments, ["function", "surroundings"]);
        assert_eq!(found.folder, "/tmp");
    });
}

#[test]
fn a_function_does_not_learn_the_hosts_name() {
    promise(|host| {
        let own = nix::unistd::gethostname().unwrap();
        let found: Surroundings = host.ask(&["surroundings"]);
        assert_ne!(found.host, own.to_string_lossy());
        assert!(!found.host.is_empty());
    });
}

#[test]
fn a_function_has_only_its_input_and_outputs_open() {
    promise(|host| {
        for _ in 0..3 {
            assert_eq!(host.ask::<Vec<i32>>(&["descriptors-at-start"]), [0, 1, 2]);
        }
    });
}

#[test]
fn a_function_reaches_nothing_of_the_hosts_network() {
    promise(|host| {
        let offers = Offers::open();
        let mut deed = vec!["reach"];
        let pairs = offers.pairs();
        deed.extend(pairs.iter().flat_map(|(network, address)| [*network, address.as_str()]));
        let found: BTreeMap<String, String> = host.ask(&deed);
        assert_eq!(found.len(), pairs.len());
        let reached: Vec<_> = found.iter().filter(|(_, said)| *said == "done").collect();
        assert!(reached.is_empty(), "{reached:?}");
        // Not even the loopback interface is up: there is no route to any address.
        for (to, said) in found.iter().filter(|(to, _)| to.starts_with("udp")) {
            assert!(said.contains("unreachable") || said.contains("cannot assign"), "{to}: {said}");
        }
        offers.were_not_used();
    });
}

#[test]
fn two_functions_that_run_at_one_time_do_not_find_each_other() {
    promise(|host| {
        let met = meet(host);
        for met in met {
            assert!(met.found.is_empty(), "{:?}", met.found);
            // The test means something only where there was something to be found.
            assert!(met.offers >= 2, "{}", met.offers);
        }
    });
}

fn meet(host: &Host) -> [Met; 2] {
    let (one, two) =
        (host.function(&["meet", "4101", "4102"]), host.function(&["meet", "4102", "4101"]));
    let both = async { tokio::join!(host.islands.run(&one), host.islands.run(&two)) };
    let (one, two) = host.runtime.block_on(both);
    [read(&one.unwrap()), read(&two.unwrap())]
}

/// What the host offers while a function looks for it.
pub struct Offers {
    tcp: Vec<TcpListener>,
    udp: UdpSocket,
    #[cfg(target_os = "linux")]
    unix: (String, std::os::unix::net::UnixListener),
}

impl Offers {
    pub fn open() -> Self {
        let tcp: Vec<_> = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"]
            .iter()
            .filter_map(|address| TcpListener::bind(address).ok())
            .collect();
        assert!(!tcp.is_empty());
        for listener in &tcp {
            listener.set_nonblocking(true).unwrap();
        }
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        Self {
            tcp,
            udp,
            #[cfg(target_os = "linux")]
            unix: abstract_listener(),
        }
    }

    /// Networks and addresses, as Go's net.Dial wants them.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let addresses = self.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        let mut pairs: Vec<_> = addresses.map(|address| ("tcp", address.to_string())).collect();
        pairs.push(("udp", self.udp.local_addr().unwrap().to_string()));
        pairs.push(("udp", "192.0.2.1:53".into()));
        pairs.push(("tcp", "192.0.2.1:53".into()));
        #[cfg(target_os = "linux")]
        pairs.push(("unix", format!("@{}", self.unix.0)));
        pairs
    }

    pub fn were_not_used(&self) {
        assert!(self.tcp.iter().all(|listener| listener.accept().is_err()));
        assert!(self.udp.recv(&mut [0; 16]).is_err());
        #[cfg(target_os = "linux")]
        assert!(self.unix.1.accept().is_err());
    }
}

#[cfg(target_os = "linux")]
fn abstract_listener() -> (String, std::os::unix::net::UnixListener) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("sky-island-suite-{}-{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    (name, listener)
}
