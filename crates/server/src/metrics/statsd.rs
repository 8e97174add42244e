//! Metrics on their way to a StatsD server: once a second, from a thread of their own, what has
//! changed since the last time.
//!
//! Invariants: recording a metric neither waits for this thread nor makes a system call, except to
//! wake the thread after a silence; the thread sleeps while nothing is recorded; a StatsD server
//! that cannot be reached stops nothing; each timing that is sent was measured.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use cadence::ext::{MetricValue, ToTimerValue};
use cadence::prelude::*;
use cadence::{BufferedUdpMetricSink, MetricResult, StatsdClient};

use super::series::{Numbers, Series};
use super::table::{DEFINITIONS, Definition, PREFIX};
use crate::metrics::target::Target;

/// How often metrics are sent while there are any.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an address is used before its name is resolved again, and the pause after a resolution
/// that failed.
const RESOLVE_AGE: Duration = Duration::from_secs(60);
/// The longest packet, in bytes: the payload of an Ethernet frame.
const PACKET: usize = 1432;
/// How long the last metrics may take when the server stops.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A handle on the thread that sends metrics.
pub(super) struct Statsd {
    /// The thread has been told that there is something to send.
    awake: Arc<AtomicBool>,
    messages: Sender<Message>,
}

enum Message {
    /// A metric has changed.
    Wake,
    /// Send everything now, and report when that is done.
    Finish(Sender<()>),
}

impl Statsd {
    /// Starts the thread, which ends when this value is dropped.
    pub(super) fn start(numbers: Arc<Numbers>, target: Target) -> io::Result<Self> {
        let awake = Arc::new(AtomicBool::new(false));
        let (messages, received) = mpsc::channel();
        numbers.keep_samples();
        let worker = Worker {
            numbers,
            sent: SentValues::default(),
            connection: Connection::new(target),
            awake: awake.clone(),
        };
        std::thread::Builder::new().name("statsd".into()).spawn(move || worker.work(&received))?;
        Ok(Self { awake, messages })
    }

    /// Tells the thread that a metric has changed.
    pub(super) fn wake(&self) {
        if !self.awake.load(Relaxed) && !self.awake.swap(true, AcqRel) {
            // The thread is gone only when this value is.
            let _ = self.messages.send(Message::Wake);
        }
    }

    /// Sends everything that has not been sent yet, and waits for that at most [`LAST_WAIT`].
    pub(super) fn finish(&self) {
        let (done, wait) = mpsc::channel();
        if self.messages.send(Message::Finish(done)).is_ok() {
            let _ = wait.recv_timeout(LAST_WAIT);
        }
    }
}

/// The thread.
struct Worker {
    numbers: Arc<Numbers>,
    sent: SentValues,
    connection: Connection,
    awake: Arc<AtomicBool>,
}

impl Worker {
    fn work(mut self, messages: &Receiver<Message>) {
        // Without a wait the thread sleeps until a metric changes. It looks once more after it has
        // cleared `awake`: a metric that was recorded just before, when the thread seemed awake, is
        // sent too.
        let (mut wait, mut last_look) = (None, false);
        loop {
            let message = match wait {
                Some(wait) => messages.recv_timeout(wait),
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Finish(done)) => {
                    self.send();
                    // `finish` may have stopped waiting.
                    let _ = done.send(());
                }
                Ok(Message::Wake) => (wait, last_look) = (Some(INTERVAL), false),
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
        if let Some(client) = self.connection.client() {
            for line in lines {
                line.send(client);
            }
            // UDP: whether a packet arrives is never known.
            let _ = client.flush();
        }
        true
    }
}

/// The values that were sent last.
#[derive(Default)]
struct SentValues {
    families: Vec<Vec<i64>>,
}

/// One line to send.
#[derive(Clone, Debug, PartialEq)]
enum Line {
    /// A counter's key, and what to add.
    Count(String, u64),
    /// A gauge's key and value.
    Level(String, i64),
    /// A timer's key, a timing in milliseconds, and the part of all timings that are sent.
    Timing(String, f64, f64),
}

impl SentValues {
    /// The lines for what has changed since the last call, which count as sent.
    fn changes(&mut self, numbers: &Numbers) -> Vec<Line> {
        if self.families.is_empty() {
            self.families = numbers.families().map(|family| vec![0; family.len()]).collect();
        }
        let all = DEFINITIONS.iter().zip(numbers.families()).zip(&mut self.families);
        all.flat_map(|((definition, family), last)| {
            let series = family.iter().zip(last).enumerate();
            series.flat_map(move |(index, (series, last))| changes(definition, index, series, last))
        })
        .collect()
    }
}

/// The lines of one metric whose value was `last` when it was sent before.
fn changes(definition: &Definition, index: usize, series: &Series, last: &mut i64) -> Vec<Line> {
    let key = || definition.key(index);
    match series {
        Series::Counter(number) => {
            let now = number.load(Relaxed).cast_signed();
            let before = std::mem::replace(last, now);
            let added = now.wrapping_sub(before).cast_unsigned();
            if added == 0 { Vec::new() } else { vec![Line::Count(key(), added)] }
        }
        Series::Gauge(number) => {
            let now = number.load(Relaxed);
            let before = std::mem::replace(last, now);
            if now == before { Vec::new() } else { vec![Line::Level(key(), now)] }
        }
        Series::Timer(timer) => {
            let samples = timer.take_samples();
            let line = |timing: &Duration| {
                Line::Timing(key(), timing.as_nanos() as f64 / 1e6, samples.rate)
            };
            samples.timings.iter().map(line).collect()
        }
    }
}

/// Milliseconds with their fraction, which StatsD takes: many a call is shorter than one.
#[derive(Clone, Copy)]
struct Millis(f64);

impl ToTimerValue for Millis {
    fn try_to_value(self) -> MetricResult<MetricValue> {
        Ok(MetricValue::Float(self.0))
    }
}

impl Line {
    fn send(self, client: &StatsdClient) {
        // A line that cannot be sent is lost, as a packet on its way may be.
        match self {
            Self::Count(key, by) => {
                let _ = client.count(&key, by);
            }
            Self::Level(key, at) => {
                let _ = client.gauge(&key, u64::try_from(at).unwrap_or(0));
            }
            Self::Timing(key, millis, rate) => {
                let timing = client.time_with_tags(&key, Millis(millis));
                let timing = if rate < 1.0 { timing.with_sampling_rate(rate) } else { timing };
                let _ = timing.try_send();
            }
        }
    }
}

/// The way to the StatsD server, whose address may change.
struct Connection {
    target: Target,
    /// The server's address when its name was resolved last.
    at: Option<SocketAddr>,
    client: Option<StatsdClient>,
    resolved: Option<Instant>,
}

impl Connection {
    fn new(target: Target) -> Self {
        Self { target, at: None, client: None, resolved: None }
    }

    /// The client to send with; none while the server's name has no address.
    fn client(&mut self) -> Option<&StatsdClient> {
        if self.resolved.is_none_or(|then| then.elapsed() >= RESOLVE_AGE) {
            let first = self.resolved.replace(Instant::now()).is_none();
            match self.target.resolve().and_then(|at| self.connect(at)) {
                Ok(()) => {}
                // An earlier address stays in use.
                Err(error) if first => tracing::warn!(
                    server = %self.target, %error,
                    "the StatsD server of jails.monitoring_addr has no address; the name is resolved again each minute"
                ),
                Err(error) => {
                    tracing::debug!(server = %self.target, %error, "the StatsD server has no address");
                }
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
        tracing::info!(server = %self.target, address = %at, "metrics are sent to StatsD");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::CAPACITY;
    use super::super::table::Family;
    use super::*;

    #[test]
    fn a_change_is_sent_once() {
        let (numbers, mut sent) = (Numbers::new(), SentValues::default());
        numbers.keep_samples();
        assert_eq!(sent.changes(&numbers), []);
        numbers.count(Family::Calls, 0);
        numbers.count(Family::Calls, 0);
        numbers.change(Family::AddressesBusy, 1);
        numbers.time(Family::Fetch, 0, Duration::from_nanos(20_003));
        let lines = [
            Line::Count("calls.ok".into(), 2),
            Line::Timing("fetch".into(), 0.020003, 1.0),
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
    fn of_very_many_timings_the_lines_have_a_rate_that_makes_up_for_the_rest() {
        let (numbers, mut sent) = (Numbers::new(), SentValues::default());
        numbers.keep_samples();
        for nanos in 1..=4 * CAPACITY as u64 {
            numbers.time(Family::Build, 0, Duration::from_nanos(nanos));
        }
        let lines = sent.changes(&numbers);
        assert_eq!(lines.len(), CAPACITY);
        for line in lines {
            let Line::Timing(_, millis, rate) = line else { panic!("{line:?}") };
            assert_eq!(rate, 0.25);
            assert!(millis > 0.0 && millis <= 4.0 * CAPACITY as f64 / 1e6, "{millis}");
        }
    }

    #[test]
    fn a_timer_keeps_no_samples_while_nothing_is_sent() {
        let (numbers, mut sent) = (Numbers::new(), SentValues::default());
        numbers.time(Family::Fetch, 0, Duration::from_millis(1));
        assert_eq!(sent.changes(&numbers), []);
    }

    #[test]
    fn a_name_without_an_address_is_resolved_again_after_a_minute_and_not_before() {
        let mut connection = Connection::new("no-such-host.invalid".parse().unwrap());
        assert!(connection.client().is_none());
        let resolved = connection.resolved;
        assert!(connection.client().is_none());
        assert_eq!(connection.resolved, resolved);
        // The name has got an address meanwhile.
        connection.target = "127.0.0.1".parse().unwrap();
        connection.resolved = Instant::now().checked_sub(RESOLVE_AGE);
        assert!(connection.client().is_some());
    }
}
