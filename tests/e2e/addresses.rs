//! Calls with an address: who reaches whom, and that each address comes back.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::admin::TOKEN;
use crate::answers::same;
use crate::client::{Answer, FUNCTION};
use crate::lab::{in_own_network, interfaces, ip, no_cable_stays, ports};
use crate::leftovers::{named, stop_without_a_trace};
use crate::problem::Problem;
use crate::server::{Server, Setup, binary};
use crate::snapshot::Snapshot;
use crate::world::{fixture, folder};

const BRIDGE: &str = "lend0";
const GATEWAY: &str = "10.83.0.1";
/// Where the host listens; always the same, so that the calls' texts are.
const PORT: u16 = 4000;
/// How long a call may take until its function is connected.
const CONNECT_WAIT: Duration = Duration::from_secs(60);
/// What a launcher is called, and its argument.
const LAUNCHER: (&str, &str) = ("exe", "launcher");

pub(crate) fn trials() -> Result<Vec<Trial>, String> {
    let ground = Arc::new(Mutex::new(HostEnvironment::new()?));
    let trial = |name: &str, test: fn(&HostEnvironment) -> Result<(), String>| {
        let ground = ground.clone();
        let run = move || {
            in_own_network(move || test(&ground.lock().unwrap_or_else(PoisonError::into_inner)))
        };
        Trial::test(format!("addresses: {name}"), move || run().map_err(Failed::from))
    };
    Ok(vec![
        trial("a function with an address reaches the host and is seen by that address", seen),
        trial("two functions at once have two addresses and do not reach each other", apart),
        trial("a call that finds no address free fails with 503 no_address", none_free),
        trial("an address comes back however its call ends", comes_back),
        trial("an operator takes an address out of the pool and puts it back", steered),
        trial("the admin API shows who has an address, and does not take it away", shown),
        trial("a pool of IPv6 alone lends IPv6 addresses", six),
        trial("an interface that is no bridge makes calls with ip4 fail with 501", no_bridge),
        trial(
            "a bridge that was there stays, and the server's addresses on it do not",
            bridge_stays,
        ),
        trial("after a crash the next server has the whole pool and removes the bridge", crash),
    ])
}

/// The folder of one server after the other, each in a network of its own: what one has built the
/// next one finds.
struct HostEnvironment(TempDir);

impl HostEnvironment {
    fn new() -> Result<Self, String> {
        let folder = folder()?;
        fixture(&folder.path().join("repositories"), "dialer")?;
        Ok(Self(folder))
    }

    fn lender(&self, pool: &Value) -> Result<Lender, String> {
        let target = self.0.path().join("repositories");
        let setup = Setup::new(&["git"]).mirror("example.test", target.to_string_lossy());
        let setup = setup.network(json!({"pools": [pool]})).token(TOKEN);
        Ok(Lender { server: Server::start(self.0.path(), &setup)? })
    }
}

/// A server with pools, in this thread's network.
struct Lender {
    server: Server,
}

fn pool(network: &str) -> Value {
    json!({"interface": BRIDGE, "network": network, "gateway": GATEWAY})
}

impl Lender {
    fn call(&self, call: String) -> Result<Answer, String> {
        self.server.client.post(body(&call).to_string().as_bytes())
    }

    /// The address that the next call has.
    fn own(&self, host: &Host) -> Result<String, String> {
        let answer = self.call(format!("Own({:?})", host.address()))?.data()?;
        let own = answer["data"].as_str().ok_or("the answer has no data")?.to_owned();
        same(host.accept()?.ip().to_string(), own.clone())?;
        Ok(own)
    }
}

fn body(call: &str) -> Value {
    json!({"url": "example.test/dialer", "call": call, "ip4": true})
}

/// A listener of the host, on a bridge's address.
struct Host(TcpListener);

impl Host {
    fn listen(gateway: &str) -> Result<Self, String> {
        let gateway: IpAddr = gateway.parse().map_err(|_| "no address".to_owned())?;
        let listener = TcpListener::bind((gateway, PORT)).map_err(|e| e.to_string())?;
        listener.set_nonblocking(true).map_err(|e| e.to_string())?;
        Ok(Self(listener))
    }

    fn address(&self) -> String {
        self.0.local_addr().map(|it| it.to_string()).unwrap_or_default()
    }

    /// Waits for the next connection and keeps it until the caller drops it.
    fn connection(&self) -> Result<TcpStream, String> {
        let begin = Instant::now();
        while begin.elapsed() < CONNECT_WAIT {
            if let Ok((stream, _)) = self.0.accept() {
                return Ok(stream);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("no connection within {CONNECT_WAIT:?}"))
    }

    fn accept(&self) -> Result<std::net::SocketAddr, String> {
        self.connection()?.peer_addr().map_err(|e| e.to_string())
    }
}

fn seen(ground: &HostEnvironment) -> Result<(), String> {
    let lender = ground.lender(&pool("10.83.0.0/29"))?;
    let host = Host::listen(GATEWAY)?;
    let lent: Vec<_> = (0..6).map(|_| lender.own(&host)).collect::<Result<_, _>>()?;
    // Five are lent in turn; the gateway is not among them.
    let expected = ["10.83.0.2", "10.83.0.3", "10.83.0.4", "10.83.0.5", "10.83.0.6", "10.83.0.2"];
    same(lent.iter().map(String::as_str).collect::<Vec<_>>(), expected.to_vec())?;
    let mut without = body(&format!("Own({:?})", host.address()));
    without["ip4"] = false.into();
    let answer = lender.server.client.call(&without)?.data()?;
    let said = answer["data"].as_str().unwrap_or_default();
    // By landlock, or for want of a route.
    if !said.contains("permission denied") && !said.contains("unreachable") {
        return Err(format!("without ip4 it said {said}"));
    }
    no_cable_stays()?;
    stop_without_a_trace(&lender.server)?;
    same(interfaces()?, vec!["lo".to_owned()])
}

fn apart(ground: &HostEnvironment) -> Result<(), String> {
    let lender = ground.lender(&pool("10.83.0.0/29"))?;
    let host = Host::listen(GATEWAY)?;
    lender.own(&host)?;
    let call = format!("Meet({:?})", host.address());
    let (answers, met) = thread::scope(|scope| {
        let calls = [(); 2].map(|()| scope.spawn(|| lender.call(call.clone())));
        let met = introduce(&host);
        let join = |call: thread::ScopedJoinHandle<'_, _>| {
            call.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
        };
        (calls.map(join), met)
    });
    same(met?.len(), 2)?;
    for answer in answers {
        same(answer?.data()?, json!({"data": "alone"}))?;
    }
    no_cable_stays()?;
    stop_without_a_trace(&lender.server)
}

/// Tells two callers of each other, once both are there.
fn introduce(host: &Host) -> Result<BTreeSet<IpAddr>, String> {
    let mut callers = [host.connection()?, host.connection()?];
    let from = |caller: &TcpStream| caller.peer_addr().map(|it| it.ip()).map_err(|e| e.to_string());
    let addresses = [from(&callers[0])?, from(&callers[1])?];
    for (caller, peer) in callers.iter_mut().zip(addresses.iter().rev()) {
        writeln!(caller, "{peer}").map_err(|e| e.to_string())?;
    }
    Ok(addresses.into_iter().collect())
}

/// A pool whose one address every call needs.
fn single() -> Value {
    let mut pool = pool("10.83.0.0/29");
    pool["exclude"] = json!(["10.83.0.3-10.83.0.6"]);
    pool
}

fn none_free(ground: &HostEnvironment) -> Result<(), String> {
    let lender = ground.lender(&single())?;
    let host = Host::listen(GATEWAY)?;
    lender.own(&host)?;
    let hold = format!("Hold({:?}, 3*time.Second)", host.address());
    thread::scope(|scope| {
        let first = scope.spawn(|| lender.call(hold.clone()));
        let _connected = host.connection()?;
        let refused = lender.call(format!("Own({:?})", host.address()))?;
        let problem = Problem::read(&refused)?;
        same((refused.status, problem.code.as_str()), (503, "no_address"))?;
        same(problem.stage.as_str(), "start")?;
        refused.header("retry-after")?;
        let mut without = body(&format!("Own({:?})", host.address()));
        without["ip4"] = false.into();
        same(lender.server.client.call(&without)?.status, 200)?;
        let first = first.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))?;
        same(first.data()?, json!({"data": "held"}))
    })?;
    same(lender.own(&host)?.as_str(), "10.83.0.2")?;
    stop_without_a_trace(&lender.server)
}

fn comes_back(ground: &HostEnvironment) -> Result<(), String> {
    let lender = ground.lender(&single())?;
    let host = Host::listen(GATEWAY)?;
    let to = host.address();
    // Each call has the pool's only address, at once after the one before it.
    for _ in 0..3 {
        lender.own(&host)?;
    }
    let panicked = lender.call(format!("Burst({to:?})"))?;
    same(Problem::read(&panicked)?.code.as_str(), "panicked")?;
    host.accept()?;
    lender.own(&host)?;
    let late = lender.call(format!("Hold({to:?}, time.Minute)"))?;
    same((late.status, Problem::read(&late)?.code.as_str()), (504, "deadline"))?;
    host.accept()?;
    lender.own(&host)?;
    hang_up(&lender, &host)?;
    kill_launcher(&lender, &host)?;
    no_cable_stays()?;
    stop_without_a_trace(&lender.server)?;
    same(interfaces()?, vec!["lo".to_owned()])
}

fn steered(ground: &HostEnvironment) -> Result<(), String> {
    let lender = ground.lender(&single())?;
    let host = Host::listen(GATEWAY)?;
    let steer = |what: &str, address: &str| {
        let output = Command::new(binary()?)
            .args(["addresses", what, address, "-c"])
            .arg(ground.0.path().join("config.json"))
            .output()
            .map_err(|e| e.to_string())?;
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok::<_, String>((output.status.code(), said.concat()))
    };
    same(lender.own(&host)?.as_str(), "10.83.0.2")?;
    let (status, said) = steer("--withdraw", "10.83.0.2")?;
    same((status, said.contains("withdrawn: 10.83.0.2")), (Some(0), true))?;
    let refused = lender.call(format!("Own({:?})", host.address()))?;
    same(Problem::read(&refused)?.code.as_str(), "no_address")?;
    // The next server does not forget it.
    drop(host);
    stop_without_a_trace(&lender.server)?;
    let lender = ground.lender(&single())?;
    let host = Host::listen(GATEWAY)?;
    let refused = lender.call(format!("Own({:?})", host.address()))?;
    same(Problem::read(&refused)?.code.as_str(), "no_address")?;
    same(steer("--restore", "10.83.0.2")?.0, Some(0))?;
    same(lender.own(&host)?.as_str(), "10.83.0.2")?;
    let (status, said) = steer("--withdraw", "192.0.2.1")?;
    same((status, said.contains("192.0.2.1")), (Some(2), true))?;
    stop_without_a_trace(&lender.server)
}

fn shown(ground: &HostEnvironment) -> Result<(), String> {
    let lender = ground.lender(&single())?;
    let host = Host::listen(GATEWAY)?;
    lender.own(&host)?;
    let client = &lender.server.client;
    let ask = |method: &str, path: &str, body: &str| {
        let path = format!("/api/v1/admin{path}");
        client.send_with(method, &path, &[("X-Sky-Island-Token", TOKEN)], body.as_bytes())
    };
    let hold = format!("Hold({:?}, 4*time.Second)", host.address());
    thread::scope(|scope| {
        let first = scope.spawn(|| lender.call(hold.clone()));
        let _connected = host.connection()?;
        let listed = ask("GET", "/ips", "")?.json()?;
        let (ip, jails) = (&listed["ips"][0], ask("GET", "/jails", "")?.json()?);
        same((&ip["ip"], &ip["use"]), (&"10.83.0.2".into(), &"leased".into()))?;
        let holder = |it: &&Value| it["address"] == "10.83.0.2";
        let all = jails["jails"].as_array();
        let holder = all.into_iter().flatten().find(holder).ok_or("no island has it")?;
        same((&holder["name"], &holder["call_id"]), (&ip["island"], &ip["call_id"]))?;
        same(&holder["ip4"], &"new".into())?;
        let stats = ask("GET", "/api-stats", "")?.json()?;
        same(&stats["addresses"], &json!({"busy": 1, "total": 1}))?;
        for state in ["available", "unavailable"] {
            let body = json!({"ip": "10.83.0.2", "state": state}).to_string();
            let refused = ask("PUT", "/ips", &body)?;
            let problem = Problem::read(&refused)?;
            same((refused.status, problem.code.as_str()), (409, "in_use"))?;
            let (folder, request) = (ground.0.path(), "PUT /api/v1/admin/ips, which is leased");
            let (name, answer, own_words) = ("admin_ip_in_use", &refused, false);
            Snapshot { name, request, answer, folder, own_words }.compare()?;
        }
        let (refused, own_words) = (lender.call(format!("Own({:?})", host.address()))?, true);
        let (name, request) = ("no_address", "POST /api/v1/function, with all addresses leased");
        let (answer, folder) = (&refused, ground.0.path());
        Snapshot { name, request, answer, folder, own_words }.compare()?;
        let first = first.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))?;
        same(first.data()?, json!({"data": "held"}))
    })?;
    stop_without_a_trace(&lender.server)
}

/// A client that goes away; its call ends by itself.
fn hang_up(lender: &Lender, host: &Host) -> Result<(), String> {
    let body = body(&format!("Hold({:?}, 2*time.Second)", host.address())).to_string();
    let address = lender.server.url().replace("http://", "");
    let mut client = TcpStream::connect(address).map_err(|e| e.to_string())?;
    let head = format!(
        "POST {FUNCTION} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).map_err(|e| e.to_string())?;
    host.accept()?;
    drop(client);
    same(ports()?.len(), 1)?;
    no_cable_stays()?;
    lender.own(host)?;
    Ok(())
}

fn kill_launcher(lender: &Lender, host: &Host) -> Result<(), String> {
    let hold = format!("Hold({:?}, 4*time.Second)", host.address());
    let answer = thread::scope(|scope| {
        let call = scope.spawn(|| lender.call(hold.clone()));
        let _connected = host.connection()?;
        let server = lender.server.pid();
        let launchers = named(server, LAUNCHER.0, LAUNCHER.1).into_iter();
        let launchers: Vec<_> = launchers.filter(|it| parent(*it) == Some(server)).collect();
        same(("launchers", launchers.len()), ("launchers", 2))?;
        for launcher in launchers {
            kill(Pid::from_raw(launcher.cast_signed()), Signal::SIGKILL)
                .map_err(|e| e.to_string())?;
        }
        call.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
    })?;
    same((answer.status, Problem::read(&answer)?.code.as_str()), (500, "internal"))?;
    no_cable_stays()?;
    // The next request that needs a launcher starts it.
    lender.own(host)?;
    Ok(())
}

fn parent(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn six(ground: &HostEnvironment) -> Result<(), String> {
    let pool = json!({"interface": BRIDGE, "network": "fd83::/64", "gateway": "fd83::1"});
    let lender = ground.lender(&pool)?;
    let host = Host::listen("fd83::1")?;
    same(lender.own(&host)?.as_str(), "fd83::2")?;
    same(lender.own(&host)?.as_str(), "fd83::3")?;
    no_cable_stays()?;
    stop_without_a_trace(&lender.server)
}

fn no_bridge(ground: &HostEnvironment) -> Result<(), String> {
    let mut pool = pool("10.83.0.0/29");
    pool["interface"] = "lo".into();
    let lender = ground.lender(&pool)?;
    let answer = lender.call("Own(\"127.0.0.1:1\")".to_owned())?;
    let problem = Problem::read(&answer)?;
    same((answer.status, problem.code.as_str()), (501, "no_network"))?;
    if !problem.detail.contains("lo is no bridge") {
        return Err(format!("it does not say why: {}", problem.detail));
    }
    stop_without_a_trace(&lender.server)
}

fn bridge_stays(ground: &HostEnvironment) -> Result<(), String> {
    ip(&["link", "add", "dev", BRIDGE, "type", "bridge"])?;
    ip(&["addr", "add", "10.83.0.1/29", "dev", BRIDGE])?;
    ip(&["addr", "add", "10.83.0.2/29", "dev", BRIDGE])?;
    ip(&["link", "set", "dev", BRIDGE, "up"])?;
    for (port, end) in [("si0123456789", "stale"), ("si-other", "other")] {
        ip(&["link", "add", "dev", port, "master", BRIDGE, "type", "veth", "peer", "name", end])?;
    }
    let lender = ground.lender(&pool("10.83.0.0/29"))?;
    same(ports()?.len(), 0)?;
    let host = Host::listen(GATEWAY)?;
    // The bridge's own second address is the host's, and no island's.
    same(lender.own(&host)?.as_str(), "10.83.0.3")?;
    no_cable_stays()?;
    stop_without_a_trace(&lender.server)?;
    let left: BTreeSet<_> = interfaces()?.into_iter().collect();
    same(left, ["lo", BRIDGE, "other", "si-other"].map(str::to_owned).into_iter().collect())?;
    let addresses = ip(&["addr", "show", "dev", BRIDGE])?;
    same(("addresses", addresses.matches("inet 10.83.0.").count()), ("addresses", 2))
}

fn crash(ground: &HostEnvironment) -> Result<(), String> {
    let lender = ground.lender(&single())?;
    let host = Host::listen(GATEWAY)?;
    let hold = format!("Hold({:?}, 4*time.Second)", host.address());
    lender.own(&host)?;
    thread::scope(|scope| {
        let call = scope.spawn(|| lender.call(hold.clone()));
        let _connected = host.connection()?;
        let server = Pid::from_raw(lender.server.pid().cast_signed());
        kill(server, Signal::SIGKILL).map_err(|e| e.to_string())?;
        match call.join() {
            Ok(Err(_)) => Ok(()),
            other => Err(format!("a call to a server that was killed: {other:?}")),
        }
    })?;
    drop(lender);
    let lender = ground.lender(&single())?;
    same(lender.own(&host)?.as_str(), "10.83.0.2")?;
    no_cable_stays()?;
    stop_without_a_trace(&lender.server)?;
    same(interfaces()?, vec!["lo".to_owned()])
}
