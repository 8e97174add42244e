//! The metrics of parts that do not know this one: islands and leases of addresses.

use std::time::Duration;

use host::net::LeaseObserver;
use island::{KillReason, Kind, Observer};

use super::Metrics;
use super::table::{Cache, Family};

impl Observer for Metrics {
    fn created(&self, kind: Kind, took: Duration) {
        self.inner.numbers.count(Family::IslandsCreated, kind as usize);
        self.time(Family::IslandCreate, kind as usize, took);
    }

    fn killed(&self, reason: KillReason) {
        self.count(Family::IslandsKilled, reason as usize);
    }

    fn removed(&self, kind: Kind, teardown: Option<Duration>) {
        self.inner.numbers.count(Family::IslandsRemoved, kind as usize);
        if let Some(took) = teardown {
            self.inner.numbers.time(Family::IslandTeardown, kind as usize, took);
        }
        self.changed();
    }

    fn warm_lookup(&self, found: bool) {
        self.looked_up(Cache::WarmPool, found);
    }
}

impl LeaseObserver for Metrics {
    fn granted(&self) {
        self.count(Family::AddressesGranted, 0);
    }

    fn refused(&self) {
        self.count(Family::AddressesRefused, 0);
    }

    fn in_use(&self, more: bool) {
        self.inner.numbers.change(Family::AddressesBusy, if more { 1 } else { -1 });
        self.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.prometheus();
        for line in lines {
            let line = format!("sky_island_{line}");
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_kind_and_every_reason_is_counted_by_its_name() {
        let metrics = Metrics::default();
        let span = Duration::from_millis(2);
        for (kind, name) in
            [(Kind::Fetch, "fetch"), (Kind::Build, "build"), (Kind::Function, "function")]
        {
            metrics.created(kind, span);
            metrics.removed(kind, Some(span));
            shows(
                &metrics,
                &[
                    &format!("island_created_total{{purpose=\"{name}\"}} 1"),
                    &format!("island_create_seconds_count{{purpose=\"{name}\"}} 1"),
                    &format!("island_removed_total{{purpose=\"{name}\"}} 1"),
                    &format!("island_teardown_seconds_count{{purpose=\"{name}\"}} 1"),
                ],
            );
        }
        for (reason, name) in [
            (KillReason::Deadline, "deadline"),
            (KillReason::Output, "output"),
            (KillReason::Disk, "disk"),
            (KillReason::Late, "late"),
            (KillReason::Operator, "operator"),
            (KillReason::Dropped, "dropped"),
        ] {
            metrics.killed(reason);
            shows(&metrics, &[&format!("island_killed_total{{reason=\"{name}\"}} 1")]);
        }
    }

    #[test]
    fn leases_are_counted() {
        let metrics = Metrics::default();
        metrics.granted();
        metrics.in_use(true);
        LeaseObserver::refused(&metrics);
        shows(&metrics, &["address_granted_total 1", "address_busy 1", "address_refused_total 1"]);
        metrics.in_use(false);
        shows(&metrics, &["address_busy 0"]);
    }
}
