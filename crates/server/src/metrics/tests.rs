//! The handle and a StatsD server: recorded metrics arrive, and a server that does not answer costs
//! nothing.

use std::net::UdpSocket;
use std::time::Instant;

use host::net::LeaseObserver;
use island::Observer;

use super::*;

/// How long metrics may take to arrive on a busy machine.
const WAIT: Duration = Duration::from_secs(10);

fn listener(address: &str) -> (UdpSocket, Target) {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    let target = socket.local_addr().unwrap().to_string().parse().unwrap();
    (socket, target)
}

/// Reads lines until all of these have come.
fn expect(socket: &UdpSocket, lines: &[&str]) {
    let mut seen = Vec::new();
    let (mut buffer, began) = ([0; 2048], Instant::now());
    while !lines.iter().all(|line| seen.iter().any(|it| it == line)) {
        assert!(began.elapsed() < WAIT, "{lines:?} are not all in {seen:?}");
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        seen.extend(text.lines().map(str::to_owned));
    }
}

fn all_events(metrics: &Metrics) {
    let span = Duration::from_micros(20);
    metrics.call("ok", 0, [span; 5]);
    metrics.no_call("malformed", 0);
    metrics.refused(Refused::Busy);
    metrics.request(200, span);
    metrics.created(island::Kind::Function, span);
    metrics.removed(island::Kind::Build, Some(span));
    metrics.killed(island::KillReason::Deadline);
    metrics.fetched(span);
    metrics.built(span);
    metrics.looked_up(Cache::Checkouts, true);
    metrics.looked_up(Cache::WarmPool, false);
    metrics.granted();
    LeaseObserver::refused(metrics);
    metrics.in_use(true);
}

#[test]
fn every_event_reaches_a_listener_of_either_family() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (socket, target) = listener(address);
        let metrics = Metrics::default();
        metrics.send_to(target).unwrap();
        all_events(&metrics);
        expect(
            &socket,
            &[
                "sky_island.calls.ok:1|c",
                "sky_island.calls.malformed:1|c",
                "sky_island.refusals.busy:1|c",
                "sky_island.call.queue:0.02|ms",
                "sky_island.call.run:0.02|ms",
                "sky_island.http.requests.200:1|c",
                "sky_island.http.request:0.02|ms",
                "sky_island.island.created.function:1|c",
                "sky_island.island.create.function:0.02|ms",
                "sky_island.island.removed.build:1|c",
                "sky_island.island.teardown.build:0.02|ms",
                "sky_island.island.killed.deadline:1|c",
                "sky_island.fetch:0.02|ms",
                "sky_island.build:0.02|ms",
                "sky_island.cache.hits.checkouts:1|c",
                "sky_island.cache.misses.standby:1|c",
                "sky_island.address.granted:1|c",
                "sky_island.address.refused:1|c",
                "sky_island.address.busy:1|g",
            ],
        );
    }
}

#[test]
fn each_timing_is_sent_as_the_value_that_was_measured() {
    let (socket, target) = listener("127.0.0.1:0");
    let metrics = Metrics::default();
    metrics.send_to(target).unwrap();
    // Lengths that no bucket's border or middle has.
    for nanos in [12_345_678, 12_345_679, 1_000_001, 999_999_999] {
        metrics.fetched(Duration::from_nanos(nanos));
    }
    expect(
        &socket,
        &[
            "sky_island.fetch:12.345678|ms",
            "sky_island.fetch:12.345679|ms",
            "sky_island.fetch:1.000001|ms",
            "sky_island.fetch:999.999999|ms",
        ],
    );
}

#[test]
fn after_a_silence_metrics_are_sent_again() {
    let (socket, target) = listener("127.0.0.1:0");
    let metrics = Metrics::default();
    metrics.send_to(target).unwrap();
    let event = || {
        metrics.fetched(Duration::from_micros(7));
        expect(&socket, &["sky_island.fetch:0.007|ms"]);
    };
    event();
    // Longer than the thread goes on looking.
    std::thread::sleep(Duration::from_millis(2500));
    event();
}

#[test]
fn metrics_that_were_not_sent_yet_are_sent_at_the_end() {
    let (socket, target) = listener("127.0.0.1:0");
    let metrics = Metrics::default();
    metrics.send_to(target).unwrap();
    metrics.no_call("url", 0);
    metrics.finish();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    expect(&socket, &["sky_island.calls.url:1|c"]);
}

/// The time of a hundred thousand events.
fn cost(metrics: &Metrics) -> Duration {
    let began = Instant::now();
    (0..100_000).for_each(|_| metrics.call("ok", 0, [Duration::from_micros(300); 5]));
    began.elapsed()
}

#[test]
fn a_server_that_does_not_answer_or_never_reads_delays_no_recording() {
    let (_never_reads, silent) = listener("127.0.0.1:0");
    let closed = listener("127.0.0.1:0").1;
    let unknown = "no-such-host.invalid".parse().unwrap();
    let alone = cost(&Metrics::default());
    for target in [silent, closed, unknown] {
        let metrics = Metrics::default();
        metrics.send_to(target).unwrap();
        let took = cost(&metrics);
        // An event that waited for the network, the resolver or a queue would take many times as
        // long.
        assert!(took < alone * 20 + Duration::from_millis(500), "{took:?}, without {alone:?}");
        let began = Instant::now();
        metrics.finish();
        assert!(began.elapsed() < Duration::from_secs(3));
        assert_eq!(metrics.snapshot().stages[0].count, 100_000);
    }
}

#[test]
fn an_unknown_code_counts_as_internal() {
    let metrics = Metrics::default();
    metrics.no_call("no such code", 0);
    assert!(metrics.prometheus().contains("sky_island_calls_total{code=\"internal\"} 1"));
}

#[test]
fn the_documentation_lists_every_metric_as_it_is_defined() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- the list -->\n", "<!-- end of the list -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (list, after) = rest.split_once(end).unwrap();
    if std::env::var_os("SKY_ISLAND_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{begin}{}{end}{after}", listing())).unwrap();
    } else {
        assert_eq!(
            list,
            listing(),
            "SKY_ISLAND_WRITE_DOCS=1 cargo test --lib metrics writes it anew"
        );
    }
}
