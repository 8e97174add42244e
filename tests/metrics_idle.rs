//! Numbers on their way to StatsD in a server where nothing happens. Threads are told apart by
//! their names, so the test has a process of its own.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::UdpSocket;
use std::thread::sleep;
use std::time::{Duration, Instant};

use server::metrics::Metrics;

/// What the thread that sends is called.
const THREAD: &str = "statsd";
/// It sleeps for good when it has not woken up for so long: more than twice the interval in which
/// it sends.
const QUIET: Duration = Duration::from_millis(2500);
/// How long anything may take on a busy machine.
const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// How often the thread has gone to sleep.
fn sleeps() -> Option<u64> {
    let of = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let count = field("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()?;
        (field("Name:")?.trim() == THREAD).then_some(count)
    };
    fs::read_dir("/proc/self/task").unwrap().flatten().find_map(of)
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < WAIT, "not within {WAIT:?}: {what}");
        sleep(POLL);
    }
}

/// Waits until the thread has not woken up for a while, and gives how often it has gone to sleep.
fn asleep() -> u64 {
    let mut last = (sleeps(), Instant::now());
    until("the thread sleeps for good", || {
        let now = sleeps();
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > QUIET
    });
    last.0.expect("the thread is there")
}

#[test]
fn the_thread_that_sends_sleeps_while_nothing_happens_and_ends_with_the_last_handle() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    let metrics = Metrics::default();
    let target = listener.local_addr().unwrap().to_string().parse().unwrap();
    metrics.send_to(target).unwrap();
    metrics.fetched(Duration::from_millis(1));
    until("the thread is there", || sleeps().is_some());
    let before = asleep();
    metrics.fetched(Duration::from_millis(1));
    until("it wakes up for an event", || sleeps() > Some(before));
    asleep();
    drop(metrics);
    until("it ends with the last handle", || sleeps().is_none());
}
