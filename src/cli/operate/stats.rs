//! `sky-island stats`: prints the state of a server.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Deserialize;

use crate::cli::operate::args::ServerArgs;
use crate::cli::operate::failed::Failed;
use crate::cli::operate::table::{Table, number, text};
use crate::cli::operate::units::{NOTHING, age, took};

/// The printed part of a server's statistics.
#[derive(Deserialize)]
struct Stats {
    pid: u32,
    uptime_sec: f64,
    total_status_code_count: BTreeMap<u16, u64>,
    total_count: u64,
    count: u64,
    average_response_time_sec: f64,
    stages: Vec<StageTimes>,
    cache: Caches,
    islands: Islands,
    queue: Queue,
    addresses: Addresses,
}

#[derive(Deserialize)]
struct StageTimes {
    stage: String,
    count: u64,
    p50_sec: f64,
    p90_sec: f64,
    p99_sec: f64,
    max_sec: f64,
}

#[derive(Deserialize)]
struct Caches {
    checkouts: LookupCounts,
    artifacts: LookupCounts,
    standby: LookupCounts,
}

#[derive(Deserialize)]
struct LookupCounts {
    hits: u64,
    misses: u64,
}

#[derive(Deserialize)]
struct Islands {
    ahead: usize,
    starting: usize,
    standby: usize,
    running: usize,
    ending: usize,
}

#[derive(Deserialize)]
struct Queue {
    calls: usize,
    most_calls: usize,
    waiting: usize,
    running: usize,
    most_running: usize,
}

#[derive(Deserialize)]
struct Addresses {
    busy: usize,
    total: usize,
}

pub(super) fn run(args: &ServerArgs) -> Result<ExitCode, Failed> {
    let client = args.client()?;
    let answer = client.get("/api-stats")?;
    args.show(&client, answer, |client, answer| {
        let stats: Stats = client.read(answer)?;
        let summary = summary(&stats, &client.server.to_string());
        let stages = if stats.stages.is_empty() { None } else { Some(stages(stats.stages)) };
        Ok(summary + &stages.map(|table| format!("\n{}", table.to_stdout())).unwrap_or_default())
    })
}

fn summary(stats: &Stats, server: &str) -> String {
    let Stats { pid, uptime_sec, total_count, count, islands, queue, addresses, cache, .. } = stats;
    let (up, average) = (age(*uptime_sec), took(stats.average_response_time_sec));
    let statuses = stats.total_status_code_count.iter();
    let statuses: Vec<_> = statuses.map(|(status, count)| format!("{status} {count}")).collect();
    let statuses = if statuses.is_empty() { "none".to_owned() } else { statuses.join(", ") };
    let Islands { ahead, starting, standby: warm, running, ending } = islands;
    let Queue { calls, most_calls, waiting, running: busy, most_running } = queue;
    let caches = [
        ("checkouts", &cache.checkouts),
        ("programs", &cache.artifacts),
        ("warm islands", &cache.standby),
    ];
    let caches = caches.map(|(name, counts)| format!("{name} {}", hits(counts))).join(", ");
    let Addresses { busy: leased, total } = addresses;
    [
        ("server", format!("{server}, process {pid}, up for {up}")),
        ("answers", format!("{total_count}, {count} in this second, {average} on average")),
        ("statuses", statuses),
        ("calls", format!("{calls} of {most_calls}, {waiting} waiting, {busy} of {most_running} running")),
        (
            "islands",
            format!("{running} running, {warm} warm, {ahead} ahead, {starting} starting, {ending} ending"),
        ),
        ("addresses", format!("{leased} of {total} leased")),
        ("cached", caches),
    ]
    .map(|(name, text)| format!("{name:9}  {text}\n"))
    .concat()
}

/// The hits of a cache, of all its lookups.
fn hits(counts: &LookupCounts) -> String {
    let lookups = counts.hits.saturating_add(counts.misses);
    if lookups == 0 {
        return "0 of 0".to_owned();
    }
    let percent = counts.hits as f64 / lookups as f64 * 100.0;
    format!("{} of {lookups} ({percent:.0} %)", counts.hits)
}

fn stages(stages: Vec<StageTimes>) -> Table<6> {
    let columns = [
        text("STAGE"),
        number("COUNT"),
        number("P50"),
        number("P90"),
        number("P99"),
        number("MAX"),
    ];
    let rows = stages.into_iter().map(|it| {
        let spans = [it.p50_sec, it.p90_sec, it.p99_sec, it.max_sec];
        // A stage without calls has no times.
        let span = |seconds| if it.count == 0 { NOTHING.to_owned() } else { took(seconds) };
        let [p50, p90, p99, max] = spans.map(span);
        [it.stage, it.count.to_string(), p50, p90, p99, max]
    });
    Table::new(columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_without_lookups_has_no_percentage() {
        assert_eq!(hits(&LookupCounts { hits: 0, misses: 0 }), "0 of 0");
        assert_eq!(hits(&LookupCounts { hits: 2, misses: 1 }), "2 of 3 (67 %)");
        assert_eq!(
            hits(&LookupCounts { hits: u64::MAX, misses: 1 }),
            format!("{0} of {0} (100 %)", u64::MAX)
        );
    }
}
