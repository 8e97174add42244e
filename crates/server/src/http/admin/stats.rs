//! `GET /api/v1/admin/api-stats`: the statistics of the server. The first thirteen keys are from
//! 2017.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::calls::Load;
use crate::http::admin::answer::AdminAnswer;
use crate::http::admin::go;
use crate::http::admin::guarded::Guarded;
use crate::http::admin::query::NoParameters;
use crate::http::app::App;
use crate::http::error::{PROBLEM, Problem};
use crate::http::json::Json;
use crate::metrics::{Lookups, Snapshot, StageLatency};

/// The statistics of the server.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    /// The server's process id.
    pid: u32,
    /// How long the server has been running, as Go prints a duration.
    uptime: String,
    uptime_sec: f64,
    /// The time now, as Go prints a time.
    time: String,
    /// The time now, in seconds since 1970.
    unixtime: u64,
    /// Answers of this second, by status.
    status_code_count: BTreeMap<u16, u64>,
    /// Answers since the start, by status.
    total_status_code_count: BTreeMap<u16, u64>,
    /// Answers of this second.
    count: u64,
    /// Answers since the start.
    total_count: u64,
    /// The time of all answers together, as Go prints a duration.
    total_response_time: String,
    total_response_time_sec: f64,
    /// The average time of an answer, as Go prints a duration.
    average_response_time: String,
    average_response_time_sec: f64,
    /// The times of each stage of a call.
    stages: Vec<StageTimes>,
    /// The hits and misses of the caches.
    cache: Caches,
    /// The number of islands in each state.
    islands: IslandCounts,
    /// The load of the server.
    queue: Queue,
    /// The addresses of all pools.
    addresses: Addresses,
}

/// The times of one stage of a call, in seconds.
#[derive(Serialize, ToSchema)]
#[schema(as = StageLatency)]
struct StageTimes {
    /// `queue`, `fetch`, `build`, `start` or `run`.
    stage: &'static str,
    /// How many calls went through the stage.
    count: u64,
    p50_sec: f64,
    p90_sec: f64,
    p99_sec: f64,
    max_sec: f64,
}

/// The hits and misses of the caches.
#[derive(Serialize, ToSchema)]
struct Caches {
    checkouts: LookupCounts,
    artifacts: LookupCounts,
    /// Warm islands.
    standby: LookupCounts,
}

/// How often a cache had an entry, and how often not.
#[derive(Serialize, ToSchema)]
#[schema(as = Found)]
struct LookupCounts {
    hits: u64,
    misses: u64,
}

/// The number of islands in each state.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = States)]
struct IslandCounts {
    /// Islands that are made ahead, for no function yet.
    ahead: usize,
    /// Islands that are being made, or whose program starts.
    starting: usize,
    /// Warm islands.
    standby: usize,
    /// Islands that fetch, build or run a call.
    running: usize,
    /// Islands that are being removed.
    ending: usize,
}

/// The load of the server.
#[derive(Serialize, ToSchema)]
struct Queue {
    /// Calls in the server, including waiting calls.
    calls: usize,
    /// The limit of calls (`limits.calls`).
    most_calls: usize,
    /// Calls that wait for an execution slot.
    waiting: usize,
    /// Taken execution slots.
    running: usize,
    /// All execution slots (`limits.concurrency`).
    most_running: usize,
}

/// The addresses of all pools.
#[derive(Serialize, ToSchema)]
struct Addresses {
    /// Leased addresses.
    busy: usize,
    /// All addresses.
    total: usize,
}

/// Show the statistics of the server
#[utoipa::path(get, path = "/api-stats", operation_id = "showStats", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Stats, description = "Numbers since the start, and of this moment"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "An unknown parameter"),
        Guarded,
    ))]
pub(super) async fn show(State(app): State<App>, _: NoParameters) -> AdminAnswer<Stats> {
    let calls = &app.calls;
    let pools = calls.addresses().pools();
    let mut islands = IslandCounts::default();
    for (state, count) in calls.islands().states() {
        *islands.of(state) = count;
    }
    let addresses = Addresses { busy: pools.busy(), total: pools.total() };
    let now = SystemTime::now();
    let moment = Moment { now, load: calls.load(), islands, addresses };
    Ok(Json(stats(&app.metrics.snapshot(), moment)))
}

impl IslandCounts {
    fn of(&mut self, state: island::IslandState) -> &mut usize {
        use island::IslandState;
        match state {
            IslandState::Prefork => &mut self.ahead,
            IslandState::Starting => &mut self.starting,
            IslandState::Warm => &mut self.standby,
            IslandState::Running => &mut self.running,
            IslandState::Ending => &mut self.ending,
        }
    }
}

/// The state of the server at one moment.
struct Moment {
    now: SystemTime,
    load: Load,
    islands: IslandCounts,
    addresses: Addresses,
}

fn stats(numbers: &Snapshot, moment: Moment) -> Stats {
    let Moment { now, load, islands, addresses } = moment;
    let total = numbers.total_response_time;
    let average = match u32::try_from(numbers.total_count) {
        Ok(0) => Duration::ZERO,
        Ok(count) => total / count,
        Err(_) => Duration::from_secs_f64(total.as_secs_f64() / numbers.total_count as f64),
    };
    let since = now.duration_since(UNIX_EPOCH);
    Stats {
        pid: std::process::id(),
        uptime: go::duration(numbers.uptime),
        uptime_sec: numbers.uptime.as_secs_f64(),
        time: go::time(now, numbers.uptime),
        unixtime: since.map_or(0, |since| since.as_secs()),
        status_code_count: numbers.status_codes.clone(),
        total_status_code_count: numbers.total_status_codes.clone(),
        count: numbers.count,
        total_count: numbers.total_count,
        total_response_time: go::duration(total),
        total_response_time_sec: total.as_secs_f64(),
        average_response_time: go::duration(average),
        average_response_time_sec: average.as_secs_f64(),
        stages: numbers.stages.iter().map(stage).collect(),
        cache: Caches {
            checkouts: lookups(numbers.cache.checkouts),
            artifacts: lookups(numbers.cache.artifacts),
            standby: lookups(numbers.cache.standby),
        },
        islands,
        queue: Queue {
            calls: load.calls,
            most_calls: load.most_calls,
            waiting: load.waiting,
            running: load.running,
            most_running: load.most_running,
        },
        addresses,
    }
}

fn stage(latency: &StageLatency) -> StageTimes {
    StageTimes {
        stage: latency.stage,
        count: latency.count,
        p50_sec: latency.p50.as_secs_f64(),
        p90_sec: latency.p90.as_secs_f64(),
        p99_sec: latency.p99.as_secs_f64(),
        max_sec: latency.max.as_secs_f64(),
    }
}

fn lookups(counts: Lookups) -> LookupCounts {
    LookupCounts { hits: counts.hits, misses: counts.misses }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use serde_json::json;

    #[test]
    fn the_keys_of_2017_have_their_values_of_2017() {
        let numbers = Snapshot {
            uptime: Duration::from_millis(3_723_500),
            total_count: 4,
            count: 1,
            total_status_codes: [(200, 3), (404, 1)].into(),
            status_codes: [(200, 1)].into(),
            total_response_time: Duration::from_millis(10),
            ..Metrics::default().snapshot()
        };
        let load = Load { calls: 3, most_calls: 9, waiting: 1, running: 2, most_running: 2 };
        let addresses = Addresses { busy: 1, total: 5 };
        let now = UNIX_EPOCH + Duration::from_secs(1_513_716_661);
        let moment = Moment {
            now,
            load,
            islands: IslandCounts { standby: 2, ..IslandCounts::default() },
            addresses,
        };
        let mut found = serde_json::to_value(stats(&numbers, moment)).unwrap();
        found.as_object_mut().unwrap().retain(|key, _| !["stages", "cache"].contains(&&**key));
        let expected = json!({
            "pid": std::process::id(),
            "uptime": "1h2m3.5s",
            "uptime_sec": 3723.5,
            "time": "2017-12-19 20:51:01 +0000 UTC m=+3723.500000000",
            "unixtime": 1_513_716_661,
            "status_code_count": {"200": 1},
            "total_status_code_count": {"200": 3, "404": 1},
            "count": 1,
            "total_count": 4,
            "total_response_time": "10ms",
            "total_response_time_sec": 0.01,
            "average_response_time": "2.5ms",
            "average_response_time_sec": 0.0025,
            "islands": {"ahead": 0, "starting": 0, "standby": 2, "running": 0, "ending": 0},
            "queue": {"calls": 3, "most_calls": 9, "waiting": 1, "running": 2, "most_running": 2},
            "addresses": {"busy": 1, "total": 5},
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_server_without_requests_has_an_average_of_zero() {
        let load = Load { calls: 0, most_calls: 1, waiting: 0, running: 0, most_running: 1 };
        let addresses = Addresses { busy: 0, total: 0 };
        let moment = Moment { now: UNIX_EPOCH, load, islands: IslandCounts::default(), addresses };
        let found = stats(&Metrics::default().snapshot(), moment);
        assert_eq!(
            (found.average_response_time.as_str(), found.average_response_time_sec),
            ("0s", 0.0)
        );
    }
}
