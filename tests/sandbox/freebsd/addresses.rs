//! Addresses that islands lease. They need a pool: of the host's configuration, or of the
//! environment.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use host::net::Family;
use island::Spec;

use super::super::host::{Host, eventually, not_given, promise};
use super::super::platform::{self, Pool};
use super::super::system;
use super::while_it_runs;

/// Islands that lease an address one after the other.
const ISLANDS: u32 = 12;
/// How long all of them may take together.
const ALL: Duration = Duration::from_secs(300);
/// How often it is looked who has which address.
const POLL: Duration = Duration::from_millis(100);

fn pool_or_say(promise: &str) -> Option<Pool> {
    let pool = platform::pool();
    if pool.is_none() {
        not_given(
            promise,
            "no pool: set network.ip4, or SKY_ISLAND_TEST_ADDRESS=INTERFACE,ADDRESS",
        );
    }
    pool
}

#[test]
fn a_function_has_the_address_that_was_leased_for_it() {
    promise(|host| {
        let Some(pool) = pool_or_say("an address of its own for a function") else { return };
        let spec = leased(host, &["sleep", "600000"]);
        while_it_runs(host, spec, |running| {
            let [address] = &running.jail.addresses()[..] else { panic!("{:?}", running.jail) };
            assert!(pool.has(address), "{address}");
            assert!(system::addresses(&pool.interface).contains(address), "{address}");
            assert_eq!(running.jail.get("ip6").as_deref(), Some("disable"));
        });
    });
}

#[test]
fn an_address_is_in_one_jail_at_a_time_including_dying_ones() {
    promise(|host| {
        let Some(pool) = pool_or_say("an address that one jail has at a time") else { return };
        // The host never accepts nor closes, and a connection that only one end has closed keeps its
        // jail dying for many minutes, unless the janitor drops it.
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = system::addresses(&pool.interface).into_iter().find(|it| !pool.has(it));
        let to = format!("{}:{port}", own.expect("the interface has an address of the host's"));
        let done = AtomicBool::new(false);
        let (twice, seen) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(&pool, &done));
            // Also where the test fails: the scope waits for the watcher.
            let end = EndOfWatch(&done);
            let until = Instant::now() + ALL;
            for number in 0..ISLANDS.max(pool.size().min(ISLANDS) * 2) {
                assert!(Instant::now() < until, "only {number} islands within {ALL:?}");
                host.run(&leased(host, &["reach", "tcp", &to]));
            }
            drop(end);
            watcher.join().expect("the watcher ends")
        });
        assert!(twice.is_empty(), "{twice:?}");
        assert!(!seen.is_empty(), "no jail was seen with an address");
        eventually("the addresses have left the interface", || {
            !system::addresses(&pool.interface).iter().any(|address| pool.has(address))
        });
    });
}

/// Ends the watch when it is dropped.
struct EndOfWatch<'a>(&'a AtomicBool);

impl Drop for EndOfWatch<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A function with an address, which is waited for while all of them are in jails that die slowly.
fn leased(host: &Host, deed: &[&str]) -> Spec {
    let mut lease = None;
    eventually("an address is free", || {
        lease = host.pools.lease(Family::V4).ok();
        lease.is_some()
    });
    let mut spec = host.function(deed);
    spec.setup.address = lease.map(Arc::new);
    spec
}

/// The addresses that two jails had at one time, and the ones that one had.
fn watch(pool: &Pool, done: &AtomicBool) -> (Vec<String>, BTreeSet<String>) {
    let (mut twice, mut seen) = (Vec::new(), BTreeSet::new());
    while !done.load(Ordering::Relaxed) {
        let mut now = BTreeSet::new();
        for address in system::jails().iter().flat_map(|jail| jail.addresses()) {
            if pool.has(&address) && !now.insert(address.clone()) {
                twice.push(address);
            }
        }
        seen.append(&mut now);
        std::thread::sleep(POLL);
    }
    (twice, seen)
}
