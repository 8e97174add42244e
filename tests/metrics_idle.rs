//! Numbers on their way to StatsD in a server where nothing happens. Threads are told apart by their names, so the test has
//! a process of its own.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

use server::metrics::Metrics;

/// What the thread that sends is called.
const THREAD: &str = "statsd";
/// Longer than it goes on looking after the last event.
const SILENCE: Duration = Duration::from_secs(4);

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

#[test]
fn the_thread_that_sends_sleeps_while_nothing_happens_and_ends_with_the_last_handle() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    let metrics = Metrics::default();
    let target = listener.local_addr().unwrap().to_string().parse().unwrap();
    metrics.send_to(target).unwrap();
    metrics.fetched(Duration::from_millis(1));
    sleep(SILENCE);
    let before = sleeps().expect("the thread is not found");
    sleep(SILENCE);
    assert_eq!(sleeps(), Some(before));
    metrics.fetched(Duration::from_millis(1));
    sleep(SILENCE);
    assert!(sleeps() > Some(before), "it does not wake up any more");
    drop(metrics);
    sleep(SILENCE);
    assert_eq!(sleeps(), None, "it does not end with the last handle");
}
