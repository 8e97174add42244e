//! What a function with an address may do with it. Every test has a network of its own, so the
//! host's stays as it is.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::net::{Family, Interface, Lease, Pool, PoolSettings, Pools};
use island::Spec;
use nix::sched::{CloneFlags, unshare};
use serde::Deserialize;

use crate::skip;

use super::host::{Host, alone_without_backend, eventually, here, not_given, not_installed, read};

const BRIDGE: &str = "si-suite0";
/// Where the stranger listens.
const PORT: u16 = 4100;
/// How long a neighbour may take until it listens.
const START: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Neighbour {
    found: BTreeMap<String, bool>,
    visitors: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
struct Names {
    resolv: String,
    hosts: String,
    certificates: String,
    write: String,
}

fn pools() -> Pools {
    let four = pool(BRIDGE, "10.83.0.0/28", "10.83.0.1", &["10.83.0.1", "192.0.2.53"]);
    let six = pool(BRIDGE, "fd83::/112", "fd83::1", &[]);
    Pools::new(vec![four, six])
}

fn pool(bridge: &str, network: &str, gateway: &str, dns: &[&str]) -> Pool {
    let settings = PoolSettings {
        interface: Interface::parse(bridge).unwrap(),
        network: network.parse().unwrap(),
        span: None,
        exclude: Vec::new(),
        gateway: gateway.parse().ok(),
        dns: dns.iter().map(|server| server.parse().unwrap()).collect(),
    };
    Pool::new(settings).unwrap()
}

/// Runs a test in a process and a network of its own, on a backend with pools of both families.
fn networked(name: &str, test: impl FnOnce(&Host, &Pools)) {
    alone_without_backend(name, || in_own_network(pools(), test));
}

fn in_own_network(pools: Pools, test: impl FnOnce(&Host, &Pools)) {
    if !nix::unistd::geteuid().is_root() {
        return none_for_an_ordinary_user();
    }
    // Threads that this one starts, and their processes, have its network.
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        return not_given("an address", format_args!("no network namespace: {error}"));
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let Some(host) = Host::start_with(runtime.worker_threads(2), 1, pools.clone()) else { return };
    if let Err(why) = host.backend.capabilities().addresses {
        not_given("an address", why);
    } else {
        test(&host, &pools);
    }
    host.close();
    assert!(!interfaces().iter().any(|name| name.starts_with("si")), "{:?}", interfaces());
}

fn none_for_an_ordinary_user() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let Some(host) = Host::start_with(runtime.worker_threads(2), 0, pools()) else { return };
    let why =
        host.backend.capabilities().addresses.expect_err("an ordinary user changes no network");
    host.close();
    assert!(why.contains("root"), "{why}");
    not_given("an address", why);
}

/// The names of all interfaces of this network.
fn interfaces() -> Vec<String> {
    let printed = Command::new("ip").args(["-j", "link"]).output().expect("ip runs").stdout;
    let found: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(&printed).unwrap();
    found.iter().filter_map(|it| Some(it.get("ifname")?.as_str()?.to_owned())).collect()
}

fn ports() -> usize {
    interfaces().iter().filter(|name| name.starts_with("si") && *name != BRIDGE).count()
}

/// A call with an address. A lease serves one island: its cable may outlive the island by a moment.
fn with(host: &Host, lease: &Arc<Lease>, deed: &[&str]) -> Spec {
    let mut spec = host.function(deed);
    spec.setup.address = Some(lease.clone());
    spec
}

/// A lease that no one had before.
fn lease(pools: &Pools, family: Family) -> Arc<Lease> {
    Arc::new(pools.lease(family).unwrap())
}

#[test]
fn a_function_has_exactly_the_address_that_it_was_lent() {
    networked(
        concat!(module_path!(), "::a_function_has_exactly_the_address_that_it_was_lent"),
        |host, pools| {
            for family in [Family::V4, Family::V6] {
                let reach = |lease: &Arc<Lease>, to: &str| -> BTreeMap<String, String> {
                    read(&host.run(&with(host, lease, &["reach", "tcp", to])))
                };
                let one = lease(pools, family);
                let gateway = SocketAddr::new(one.gateway().unwrap(), 0);
                let listener = std::net::TcpListener::bind(gateway).unwrap();
                let found = reach(&one, &listener.local_addr().unwrap().to_string());
                assert_eq!(found.values().collect::<Vec<_>>(), ["done"]);
                assert_eq!(listener.accept().unwrap().1.ip(), one.address());
                let other = if family == Family::V4 { "[fd83::1]:9" } else { "10.83.0.1:9" };
                let found = reach(&lease(pools, family), other);
                // Refused would mean that the host was reached.
                let away =
                    |said: &String| said.contains("unreachable") || said.contains("cannot assign");
                assert!(found.values().all(away), "{found:?}");
                let outside = if family == Family::V4 { "192.0.2.1:9" } else { "[2001:db8::1]:9" };
                let found = reach(&lease(pools, family), outside);
                assert!(found.values().all(|said| said != "done"), "{found:?}");
            }
            let without: BTreeMap<String, String> = host.ask(&["reach", "udp", "10.83.0.1:53"]);
            assert!(without.values().all(|said| said.contains("unreachable")), "{without:?}");
        },
    );
}

#[test]
fn a_function_cannot_change_its_address_or_send_by_another() {
    networked(
        concat!(module_path!(), "::a_function_cannot_change_its_address_or_send_by_another"),
        |host, pools| {
            for (family, other) in [(Family::V4, "10.83.0.9"), (Family::V6, "fd83::9")] {
                let lease = lease(pools, family);
                let found: BTreeMap<String, String> =
                    read(&host.run(&with(host, &lease, &["change-address", other])));
                assert!(found.len() >= 13, "{found:?}");
                let done: Vec<_> = found.iter().filter(|(_, said)| *said == "done").collect();
                assert!(done.is_empty(), "{done:?}");
                assert_eq!(found["bind"], "cannot assign requested address");
            }
        },
    );
}

#[test]
fn two_functions_with_addresses_do_not_reach_each_other() {
    networked(
        concat!(module_path!(), "::two_functions_with_addresses_do_not_reach_each_other"),
        |host, pools| {
            for family in [Family::V4, Family::V6] {
                let (one, two) = (lease(pools, family), lease(pools, family));
                let (of_one, of_two) = (one.address().to_string(), two.address().to_string());
                let specs = [
                    with(host, &one, &["neighbour", &of_two]),
                    with(host, &two, &["neighbour", &of_one]),
                ];
                let visits = [one.address(), two.address()].map(|address| {
                    std::thread::spawn(move || visit(SocketAddr::new(address, PORT)))
                });
                let [first, second] = &specs;
                let both =
                    async { tokio::join!(host.islands.run(first), host.islands.run(second)) };
                let (first, second) = host.runtime.block_on(both);
                for visit in visits {
                    visit.join().expect("the host reaches both");
                }
                let gateway = one.gateway().unwrap().to_string();
                for outcome in [first, second] {
                    let found: Neighbour = read(&outcome.unwrap());
                    assert!(found.found.is_empty(), "{:?}", found.found);
                    // The host was there, so that a neighbour could have been.
                    assert_eq!(found.visitors.keys().collect::<Vec<_>>(), [&gateway]);
                }
            }
        },
    );
}

/// Connects to a function as soon as it listens.
fn visit(address: SocketAddr) {
    let start = here(START);
    let until = Instant::now() + start;
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        assert!(Instant::now() < until, "{address} was not there within {start:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let _ = UdpSocket::bind(any).unwrap().send_to(b"here", address);
}

#[test]
fn a_function_with_an_address_has_names_and_certificates_and_cannot_change_them() {
    const NAME: &str = concat!(
        module_path!(),
        "::a_function_with_an_address_has_names_and_certificates_and_cannot_change_them"
    );
    networked(NAME, |host, pools| {
        let of_one = with(host, &lease(pools, Family::V4), &["names"]);
        let found: Names = read(&host.run(&of_one));
        assert_eq!(found.resolv, "nameserver 10.83.0.1\nnameserver 192.0.2.53\n");
        assert!(found.hosts.contains("127.0.0.1 localhost"), "{}", found.hosts);
        assert!(found.write.contains("read-only"), "{}", found.write);
        let bundle = std::path::Path::new("/etc/ssl/certs/ca-certificates.crt");
        if bundle.exists() {
            assert!(found.certificates.contains("BEGIN CERTIFICATE"), "{}", found.certificates);
        } else {
            not_installed("certificates", "this host keeps none where this test looks");
        }
        let found: Names = host.ask(&["names"]);
        assert_eq!(found.resolv, "");
        let of_another = with(host, &lease(pools, Family::V4), &["writable", "/tmp"]);
        let changed: Vec<String> = read(&host.run(&of_another));
        assert!(changed.is_empty(), "{changed:?}");
        let files: BTreeMap<String, Vec<String>> =
            host.ask(&["list", "/", "/etc", "/etc/ssl/certs"]);
        let mut root = vec!["dev", "etc", "tmp"];
        root.extend(host.has_zones().then_some("zoneinfo.zip"));
        assert_eq!(files["/"], root);
        assert!(
            files["/etc"]
                .iter()
                .all(|it| ["hosts", "island", "resolv.conf", "ssl"].contains(&it.as_str()))
        );
        assert!(files["/etc/ssl/certs"].len() <= 1, "{files:?}");
    });
}

#[test]
fn an_address_comes_back_however_its_island_ends() {
    networked(
        concat!(module_path!(), "::an_address_comes_back_however_its_island_ends"),
        |host, pools| {
            let free = |pools: &Pools| {
                let listed = pools.list();
                listed.iter().filter(|it| it.state == host::net::AddressState::Free).count()
            };
            let all = free(pools);
            let lease = || lease(pools, Family::V4);
            let back = |what: &str| eventually(what, || free(pools) == all && ports() == 0);
            let mut spec = with(host, &lease(), &["surroundings"]);
            host.run(&spec);
            assert_eq!(free(pools), all - 1, "the caller that asked for the address still has it");
            spec.setup.address = None;
            back("after a good end");
            spec = with(host, &lease(), &["sleep", "60000"]);
            spec.bounds.deadline = Duration::from_millis(300);
            host.run(&spec);
            spec.setup.address = None;
            back("after its deadline");
            for wait in [0, 1, 5, 20, 80, 400] {
                let spec = with(host, &lease(), &["sleep", "60000"]);
                let run = async {
                    let _ =
                        tokio::time::timeout(Duration::from_millis(wait), host.islands.run(&spec))
                            .await;
                };
                host.runtime.block_on(run);
                drop(spec);
                back("after a wait that was dropped");
            }
            let bad = with(host, &lease(), &["surroundings"]);
            let broken = Spec { program: island::Program::Path("/nothing".into()), ..bad };
            assert!(host.runtime.block_on(host.islands.run(&broken)).is_err());
            drop(broken);
            back("after a program that is not there");
            eventually("all islands ended but the one made ahead", || {
                host.backend.list().len() <= 1
            });
        },
    );
}

/// What `check` advises against islands that reach the host's services, tried on a host that has no
/// firewall yet and on one that has.
#[test]
fn the_advised_rule_closes_the_hosts_services_on_every_bridge() {
    const NAME: &str =
        concat!(module_path!(), "::the_advised_rule_closes_the_hosts_services_on_every_bridge");
    const BRIDGES: [&str; 2] = [BRIDGE, "si-suite.1"];
    alone_without_backend(NAME, || {
        let pools = Pools::new(vec![
            pool(BRIDGES[0], "10.83.0.0/28", "10.83.0.1", &[]),
            pool(BRIDGES[1], "fd83::/112", "fd83::1", &[]),
        ]);
        in_own_network(pools, |host, pools| {
            if let Err(why) = skip::program("nft") {
                return skip::skip("a firewall rule", &why);
            }
            let leases = || [Family::V4, Family::V6].map(|family| lease(pools, family));
            let listeners = leases().map(|lease| {
                std::net::TcpListener::bind(SocketAddr::new(lease.gateway().unwrap(), 0)).unwrap()
            });
            let reached = || -> Vec<bool> {
                let one = |(lease, to): (Arc<Lease>, &std::net::TcpListener)| {
                    let to = to.local_addr().unwrap().to_string();
                    let found: BTreeMap<String, String> =
                        read(&host.run(&with(host, &lease, &["reach", "tcp", &to])));
                    found.values().all(|said| said == "done")
                };
                leases().into_iter().zip(&listeners).map(one).collect()
            };
            assert_eq!(reached(), [true, true]);
            let found = host.backend.findings().into_iter().find(|it| it.name == "addresses");
            let remedy = found.unwrap().remedy.unwrap();
            let (_, command) = remedy.split_once(": ").unwrap();
            // What a second run adds does no harm either.
            for _ in 0..2 {
                let status = Command::new("sh").args(["-ec", command]).status().unwrap();
                assert!(status.success(), "{command}");
                assert_eq!(reached(), [false, false], "{command}");
            }
            // The host still reaches what listens on an island.
            let listening = lease(pools, Family::V4);
            let address = SocketAddr::new(listening.address(), PORT);
            let visit = std::thread::spawn(move || visit(address));
            let spec = with(host, &listening, &["neighbour", "10.83.0.14"]);
            let outcome = host.runtime.block_on(host.islands.run(&spec)).unwrap();
            visit.join().expect("the host reaches the island");
            let found: Neighbour = read(&outcome);
            assert_eq!(found.visitors.len(), 1, "{:?}", found.visitors);
        });
    });
}
