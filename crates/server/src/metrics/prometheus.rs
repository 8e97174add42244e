//! The metrics as Prometheus reads them: its text format, version 0.0.4.

use ::prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use ::prometheus::{Encoder, TEXT_FORMAT, TextEncoder};

use super::series::{Numbers, Series, Timer};
use super::table::{DEFINITIONS, Definition, Kind, Values};

/// The content type of the text.
pub const CONTENT_TYPE: &str = TEXT_FORMAT;

/// The upper bounds of the buckets of a histogram, in microseconds. In memory a timing is known to
/// within a 32nd, so one that is that near to a bound may be counted on the other side.
const BORDERS: [u64; 19] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// All metrics as text.
pub(super) fn text(numbers: &Numbers) -> String {
    let families: Vec<_> = DEFINITIONS
        .iter()
        .zip(numbers.families())
        .map(|(definition, series)| family(definition, series))
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    let mut bytes = Vec::new();
    // The encoder fails only for families without a name or without metrics, and writing to memory
    // does not fail.
    let _ = TextEncoder::new().encode(&families, &mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

fn family(definition: &Definition, series: &[Series]) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(definition.prometheus());
    family.set_help(definition.doc.trim().to_owned());
    family.set_field_type(match definition.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Timer => MetricType::HISTOGRAM,
    });
    let metrics = series.iter().enumerate().filter_map(|(index, it)| metric(definition, index, it));
    family.set_metric(metrics.collect());
    family
}

/// One metric; none for a status that has not occurred.
fn metric(definition: &Definition, index: usize, series: &Series) -> Option<Metric> {
    use std::sync::atomic::Ordering::Relaxed;
    let mut metric = Metric::default();
    if let Some(label) = definition.label {
        let mut pair = LabelPair::default();
        pair.set_name(label.name.to_owned());
        pair.set_value(label.values.value(index).into_owned());
        metric.set_label(vec![pair]);
    }
    match series {
        Series::Counter(number) => {
            let number = number.load(Relaxed);
            let statuses =
                matches!(definition.label, Some(label) if matches!(label.values, Values::Statuses));
            if number == 0 && statuses {
                return None;
            }
            let mut counter = Counter::default();
            counter.set_value(number as f64);
            metric.set_counter(counter);
        }
        Series::Gauge(number) => {
            let mut gauge = Gauge::default();
            gauge.set_value(number.load(Relaxed) as f64);
            metric.set_gauge(gauge);
        }
        Series::Timer(timer) => metric.set_histogram(histogram(timer)),
    }
    Some(metric)
}

fn histogram(timer: &Timer) -> Histogram {
    let (sum, spread) = (timer.sum(), timer.histogram());
    let mut counted = spread.iter().map(|it| (it.start(), it.count())).peekable();
    let (mut total, mut buckets) = (0, Vec::new());
    for border in BORDERS {
        while let Some((_, count)) = counted.next_if(|(start, _)| *start <= border) {
            total += count;
        }
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(border as f64 / 1e6);
        bucket.set_cumulative_count(total);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(total + counted.map(|(_, count)| count).sum::<u64>());
    histogram.set_sample_sum(sum.as_secs_f64());
    histogram
}

#[cfg(test)]
mod tests {
    use super::super::table::Family;
    use super::*;
    use std::time::Duration;

    #[test]
    fn counters_histograms_and_gauges_are_shown_with_their_type_unit_and_label() {
        let numbers = Numbers::new();
        numbers.count(Family::Calls, 0);
        numbers.count(Family::HttpRequests, 100);
        numbers.change(Family::AddressesBusy, 2);
        for millis in [3, 40, 400_000] {
            numbers.time(Family::CallStages, 4, Duration::from_millis(millis));
        }
        let text = text(&numbers);
        for line in [
            "# TYPE sky_island_calls_total counter",
            "sky_island_calls_total{code=\"ok\"} 1",
            "sky_island_calls_total{code=\"busy\"} 0",
            "sky_island_http_requests_total{status=\"200\"} 1",
            "# TYPE sky_island_address_busy gauge",
            "sky_island_address_busy 2",
            "# TYPE sky_island_call_seconds histogram",
            "sky_island_call_seconds_bucket{stage=\"run\",le=\"0.0025\"} 0",
            "sky_island_call_seconds_bucket{stage=\"run\",le=\"0.005\"} 1",
            "sky_island_call_seconds_bucket{stage=\"run\",le=\"0.05\"} 2",
            "sky_island_call_seconds_bucket{stage=\"run\",le=\"300\"} 2",
            "sky_island_call_seconds_bucket{stage=\"run\",le=\"+Inf\"} 3",
            "sky_island_call_seconds_sum{stage=\"run\"} 400.043",
            "sky_island_call_seconds_count{stage=\"run\"} 3",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("status=\"404\""), "a status that never was is shown");
    }

    #[test]
    fn every_family_but_that_of_statuses_is_shown_before_anything_happened() {
        let text = text(&Numbers::new());
        let missing = |it: &&Definition| !text.contains(&format!("# TYPE {} ", it.prometheus()));
        let missing: Vec<_> = DEFINITIONS.iter().filter(missing).map(|it| it.name).collect();
        assert_eq!(missing, ["http.requests"]);
    }
}
