//! Numbers about calls, sent to StatsD where the configuration names one. Nothing waits for a number to be sent.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cadence::prelude::*;
use cadence::{QueuingMetricSink, StatsdClient, UdpMetricSink};

use crate::invoke::Times;

/// Every name starts with this.
const PREFIX: &str = "sky_island";
/// StatsD's port.
const PORT: u16 = 8125;
/// Numbers that wait to be sent; more are dropped.
const QUEUE: usize = 4096;

/// Where numbers go; nowhere by default.
#[derive(Clone)]
pub struct Metrics {
    client: Option<Arc<StatsdClient>>,
    started: Instant,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { client: None, started: Instant::now() }
    }
}

/// The numbers at a moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Since the start.
    pub uptime: Duration,
    /// Requests since the start.
    pub total_count: u64,
    /// Requests of this second.
    pub count: u64,
    /// Answers since the start, by status.
    pub total_status_codes: BTreeMap<u16, u64>,
    /// Answers of this second, by status.
    pub status_codes: BTreeMap<u16, u64>,
    /// What all answers took together.
    pub total_response_time: Duration,
    /// How long each stage of a call takes.
    pub stages: Vec<StageLatency>,
    /// How often something was found or not.
    pub cache: Caches,
}

/// How long one stage takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageLatency {
    /// Its name.
    pub stage: &'static str,
    /// How often it was gone through.
    pub count: u64,
    /// Half of them took at most this.
    pub p50: Duration,
    /// Nine of ten.
    pub p90: Duration,
    /// Ninety-nine of a hundred.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// How often something was found in each cache, or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caches {
    /// Sources.
    pub checkouts: HitsAndMisses,
    /// Programs.
    pub artifacts: HitsAndMisses,
}

/// How often something was found, and how often not.
#[derive(Clone, Copy, Debug, Default)]
pub struct HitsAndMisses {
    /// It was there.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
}

impl Metrics {
    /// Numbers for a StatsD server at `host` or `host:port`.
    pub fn statsd(address: &str) -> Result<Self, String> {
        let fail = |error: &dyn std::fmt::Display| format!("monitoring_addr {address}: {error}");
        let address =
            if address.contains(':') { address.to_owned() } else { format!("{address}:{PORT}") };
        let socket = UdpSocket::bind("0.0.0.0:0").map_err(|e| fail(&e))?;
        socket.set_nonblocking(true).map_err(|e| fail(&e))?;
        let sink = UdpMetricSink::from(address.as_str(), socket).map_err(|e| fail(&e))?;
        let sink = QueuingMetricSink::with_capacity(sink, QUEUE);
        let client = Some(Arc::new(StatsdClient::from_sink(PREFIX, sink)));
        Ok(Self { client, ..Self::default() })
    }

    /// The numbers now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { uptime: self.started.elapsed(), ..Snapshot::default() }
    }

    /// A request that came to no call: `calls.<code>` counts it.
    pub fn refusal(&self, code: &str) {
        if let Some(client) = &self.client {
            // A full queue drops numbers, never calls.
            let _ = client.count(&format!("calls.{code}"), 1);
        }
    }

    /// One call: `calls.<code>` counts it, `call.<stage>` has its milliseconds.
    pub fn call(&self, code: &str, times: &Times) {
        let Some(client) = &self.client else { return };
        // A full queue drops numbers, never calls.
        let _ = client.count(&format!("calls.{code}"), 1);
        for (stage, span) in times.stages() {
            let _ = client.time(&format!("call.{}", stage.as_str()), span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reaches_a_listener() {
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let metrics = Metrics::statsd(&listener.local_addr().unwrap().to_string()).unwrap();
        metrics.call("ok", &Times { run: Duration::from_millis(7), ..Times::default() });
        let mut buffer = [0; 512];
        let mut seen = Vec::new();
        for _ in 0..6 {
            let length = listener.recv(&mut buffer).unwrap();
            seen.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        assert!(seen.contains(&"sky_island.calls.ok:1|c".to_owned()), "{seen:?}");
        assert!(seen.contains(&"sky_island.call.run:7|ms".to_owned()), "{seen:?}");
    }
}
