//! The numbers on their way to a StatsD server: once a second, what has changed since the last time, from a thread of
//! their own.
//!
//! What must always hold: whoever records a number neither waits nor asks the system for anything, but for waking the thread
//! after a silence; a server where nothing happens wakes up for none of this; a StatsD server that is not there is no
//! reason to stop.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use cadence::ext::{MetricValue, ToTimerValue};
use cadence::prelude::*;
use cadence::{BufferedUdpMetricSink, MetricResult, StatsdClient};
use histogram::Histogram;

use super::series::{Numbers, Series};
use super::table::{DEFINITIONS, Definition, PREFIX};
use crate::metrics::target::Target;

/// How often numbers are sent while there are any.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer of the resolver counts, and how long a name that it does not know is not asked for again.
const RESOLVE_AGE: Duration = Duration::from_secs(60);
/// The most spans that are sent of one timer at a time; of more it is every second, third, …, with the rate beside them.
const SPANS: u64 = 1000;
/// The longest packet, in bytes: what an Ethernet frame holds.
const PACKET: usize = 1432;
/// How long the last numbers may take when the server stops.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Has numbers sent.
pub(super) struct Statsd {
    /// There is something to send, and the thread knows.
    awake: Arc<AtomicBool>,
    requests: Sender<Request>,
}

enum Request {
    /// Something has changed.
    Look,
    /// Send everything now, and say so.
    Finish(Sender<()>),
}

impl Statsd {
    /// Starts the thread; it ends when this value is dropped.
    pub(super) fn start(numbers: Arc<Numbers>, target: Target) -> io::Result<Self> {
        let awake = Arc::new(AtomicBool::new(false));
        let (requests, received) = mpsc::channel();
        let courier = Courier {
            numbers,
            sent: Sent::default(),
            link: Link::new(target),
            awake: awake.clone(),
        };
        std::thread::Builder::new().name("statsd".into()).spawn(move || courier.work(&received))?;
        Ok(Self { awake, requests })
    }

    /// Something has changed.
    pub(super) fn wake(&self) {
        if !self.awake.load(Relaxed) && !self.awake.swap(true, AcqRel) {
            // Without the thread there is nobody to send anything.
            let _ = self.requests.send(Request::Look);
        }
    }

    /// Sends what has not been sent yet, and waits for that, but not for long.
    pub(super) fn finish(&self) {
        let (done, wait) = mpsc::channel();
        if self.requests.send(Request::Finish(done)).is_ok() {
            let _ = wait.recv_timeout(LAST_WAIT);
        }
    }
}

/// The thread.
struct Courier {
    numbers: Arc<Numbers>,
    sent: Sent,
    link: Link,
    awake: Arc<AtomicBool>,
}

impl Courier {
    fn work(mut self, requests: &Receiver<Request>) {
        // Without a wait it sleeps until something changes. It looks once more after it has said that it will: what was
        // recorded just then by somebody who took it to be awake is seen too.
        let (mut wait, mut last_look) = (None, false);
        loop {
            let request = match wait {
                Some(wait) => requests.recv_timeout(wait),
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(Request::Finish(done)) => {
                    self.send();
                    // Whoever asked has waited long enough.
                    let _ = done.send(());
                }
                Ok(Request::Look) => (wait, last_look) = (Some(INTERVAL), false),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let changed = self.send();
                    if !changed && last_look {
                        wait = None;
                    } else {
                        last_look = !changed;
                        self.awake.swap(changed, AcqRel);
                    }
                }
            }
        }
    }

    /// Sends what has changed; whether anything had.
    fn send(&mut self) -> bool {
        let lines = self.sent.changes(&self.numbers);
        if lines.is_empty() {
            return false;
        }
        if let Some(client) = self.link.client() {
            for line in lines {
                line.send(client);
            }
            // Whether a packet arrives nobody ever knows.
            let _ = client.flush();
        }
        true
    }
}

/// What was sent last.
#[derive(Default)]
struct Sent {
    families: Vec<Vec<Last>>,
}

enum Last {
    Counter(u64),
    Gauge(i64),
    Timer(Histogram),
}

/// One line to send.
#[derive(Clone, Debug, PartialEq)]
enum Line {
    Count(String, u64),
    Level(String, i64),
    /// Milliseconds, how often, and of how many spans each stands for one.
    Spans(String, f64, u64, f64),
}

impl Sent {
    /// What has changed since the last time. It counts as sent.
    fn changes(&mut self, numbers: &Numbers) -> Vec<Line> {
        if self.families.is_empty() {
            let zero = |series: &Series| match series {
                Series::Counter(_) => Last::Counter(0),
                Series::Gauge(_) => Last::Gauge(0),
                Series::Timer(timer) => {
                    Last::Timer(Histogram::with_config(&timer.spread().config()))
                }
            };
            let zeros = |family: &[Series]| family.iter().map(zero).collect();
            self.families = numbers.families().map(zeros).collect();
        }
        let mut lines = Vec::new();
        let all = DEFINITIONS.iter().zip(numbers.families()).zip(&mut self.families);
        for ((definition, series), last) in all {
            for (index, (series, last)) in series.iter().zip(last).enumerate() {
                change(definition, index, series, last, &mut lines);
            }
        }
        lines
    }
}

fn change(
    definition: &Definition,
    index: usize,
    series: &Series,
    last: &mut Last,
    lines: &mut Vec<Line>,
) {
    match (series, last) {
        (Series::Counter(number), Last::Counter(last)) => {
            let now = number.load(Relaxed);
            if now != *last {
                lines.push(Line::Count(definition.key(index), now - *last));
                *last = now;
            }
        }
        (Series::Gauge(number), Last::Gauge(last)) => {
            let now = number.load(Relaxed);
            if now != *last {
                lines.push(Line::Level(definition.key(index), now));
                *last = now;
            }
        }
        (Series::Timer(timer), Last::Timer(last)) => {
            let now = timer.spread();
            if now != *last {
                let key = definition.key(index);
                let spans = sample(&now, last);
                let line = |(millis, count, rate)| Line::Spans(key.clone(), millis, count, rate);
                lines.extend(spans.into_iter().map(line));
                *last = now;
            }
        }
        _ => unreachable!("what was sent has the form of what there is"),
    }
}

/// What spans came after `before`: milliseconds, how often, and the rate. Where there are too many, each nth in the
/// order of their lengths is taken, so that the few long ones have their share.
fn sample(now: &Histogram, before: &Histogram) -> Vec<(f64, u64, f64)> {
    let new = now.iter().zip(before.as_slice()).filter_map(|(bucket, before)| {
        let middle = (bucket.start() + bucket.end()) as f64 / 2.0 / 1000.0;
        (bucket.count() > *before).then(|| (middle, bucket.count() - before))
    });
    let new: Vec<_> = new.collect();
    let total: u64 = new.iter().map(|(_, count)| count).sum();
    let step = total.div_ceil(SPANS).max(1);
    let (mut passed, mut taken) = (0, Vec::new());
    for (millis, count) in new {
        let before = passed / step;
        passed += count;
        if passed / step > before {
            taken.push((millis, passed / step - before, 1.0 / step as f64));
        }
    }
    taken
}

/// A span in milliseconds with their fractions, which StatsD takes and many a call is shorter than one of.
#[derive(Clone, Copy)]
struct Millis(f64);

impl ToTimerValue for Millis {
    fn try_to_value(self) -> MetricResult<MetricValue> {
        Ok(MetricValue::Float(self.0))
    }
}

impl Line {
    fn send(self, client: &StatsdClient) {
        // A number that cannot be sent is lost, as any on its way would be.
        match self {
            Self::Count(key, by) => {
                let _ = client.count(&key, by);
            }
            Self::Level(key, at) => {
                let _ = client.gauge(&key, u64::try_from(at).unwrap_or(0));
            }
            Self::Spans(key, millis, count, rate) => {
                for _ in 0..count {
                    let span = client.time_with_tags(&key, Millis(millis));
                    let span = if rate < 1.0 { span.with_sampling_rate(rate) } else { span };
                    let _ = span.try_send();
                }
            }
        }
    }
}

/// The way to the server, which may be elsewhere after a while.
struct Link {
    target: Target,
    /// Where it was when it was looked up last.
    at: Option<SocketAddr>,
    client: Option<StatsdClient>,
    looked_up: Option<Instant>,
}

impl Link {
    fn new(target: Target) -> Self {
        Self { target, at: None, client: None, looked_up: None }
    }

    /// Where to send; none while the server cannot be found. Its going and its coming are logged.
    fn client(&mut self) -> Option<&StatsdClient> {
        if self.looked_up.is_none_or(|then| then.elapsed() >= RESOLVE_AGE) {
            let first = self.looked_up.replace(Instant::now()).is_none();
            match self.target.resolve().and_then(|at| self.connect(at)) {
                Ok(()) => {}
                // The address that it had is better than none.
                Err(error) if first => {
                    tracing::warn!(server = %self.target, %error, "StatsD is not found; numbers are sent when it is");
                }
                Err(error) => tracing::debug!(server = %self.target, %error, "StatsD is not found"),
            }
        }
        self.client.as_ref()
    }

    fn connect(&mut self, at: SocketAddr) -> io::Result<()> {
        if self.at == Some(at) {
            return Ok(());
        }
        let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        let sink = BufferedUdpMetricSink::with_capacity(at, socket, PACKET);
        self.client = Some(StatsdClient::from_sink(PREFIX, sink.map_err(io::Error::other)?));
        self.at = Some(at);
        tracing::info!(server = %self.target, address = %at, "numbers are sent to StatsD");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Family;
    use super::*;

    fn spread(spans: &[(u64, u64)]) -> Histogram {
        let mut spread = Histogram::new(5, 36).unwrap();
        for (micros, count) in spans {
            spread.add(*micros, *count).unwrap();
        }
        spread
    }

    #[test]
    fn what_has_changed_is_sent_once() {
        let (numbers, mut sent) = (Numbers::new(), Sent::default());
        assert_eq!(sent.changes(&numbers), []);
        numbers.count(Family::Calls, 0);
        numbers.count(Family::Calls, 0);
        numbers.change(Family::AddressesBusy, 1);
        numbers.time(Family::Fetch, 0, Duration::from_micros(20));
        let lines = [
            Line::Count("calls.ok".into(), 2),
            Line::Spans("fetch".into(), 0.02, 1, 1.0),
            Line::Level("address.busy".into(), 1),
        ];
        assert_eq!(sent.changes(&numbers), lines);
        assert_eq!(sent.changes(&numbers), []);
        numbers.change(Family::AddressesBusy, -1);
        numbers.count(Family::Calls, 0);
        let lines = [Line::Count("calls.ok".into(), 1), Line::Level("address.busy".into(), 0)];
        assert_eq!(sent.changes(&numbers), lines);
    }

    #[test]
    fn spans_are_sent_one_by_one_while_they_are_few() {
        let (before, now) = (spread(&[(5, 1)]), spread(&[(5, 3), (20, 1)]));
        assert_eq!(sample(&now, &before), [(0.005, 2, 1.0), (0.02, 1, 1.0)]);
        assert_eq!(sample(&now, &now), []);
    }

    #[test]
    fn of_very_many_spans_each_length_has_its_share_and_the_rate_makes_up_for_the_rest() {
        let now = spread(&[(1, 60_000), (2, 30_000), (3, 9_999), (30, 1)]);
        let taken = sample(&now, &spread(&[]));
        let lines: u64 = taken.iter().map(|(_, count, _)| count).sum();
        assert_eq!(lines, SPANS);
        assert_eq!(taken[0], (0.001, 600, 0.01));
        assert_eq!(taken[1], (0.002, 300, 0.01));
        let told: f64 = taken.iter().map(|(_, count, rate)| *count as f64 / rate).sum();
        assert_eq!(told.round(), 100_000.0);
    }

    #[test]
    fn a_name_that_is_not_known_is_asked_for_again_after_a_while_and_not_before() {
        let mut link = Link::new("no-such-host.invalid".parse().unwrap());
        assert!(link.client().is_none());
        let asked = link.looked_up;
        assert!(link.client().is_none());
        assert_eq!(link.looked_up, asked);
        // The host has come up meanwhile.
        link.target = "127.0.0.1".parse().unwrap();
        link.looked_up = Instant::now().checked_sub(RESOLVE_AGE);
        assert!(link.client().is_some());
    }
}
