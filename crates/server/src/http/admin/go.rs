//! Durations and times as Go prints them, which clients of 2017 show to people.

use std::time::{Duration, SystemTime};

/// A duration as Go's `time.Duration.String` prints it: `1h2m3.5s`, `1.5ms`, `0s`.
pub(super) fn duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(nanos, 1_000, 3) + "µs",
        1_000_000..1_000_000_000 => fraction(nanos, 1_000_000, 6) + "ms",
        _ => {
            let minutes = span.as_secs() / 60;
            let rest = u128::from(span.as_secs() % 60) * 1_000_000_000;
            let seconds = fraction(rest + u128::from(span.subsec_nanos()), 1_000_000_000, 9) + "s";
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// A time as Go's `time.Time.String` prints it in UTC, with the reading of the monotonic clock:
/// `2017-12-19 20:51:01.5 +0000 UTC m=+12.000000345`.
pub(super) fn time(moment: SystemTime, since_start: Duration) -> String {
    let text = humantime::format_rfc3339_nanos(moment).to_string();
    let (day, rest) = text.split_once('T').unwrap_or((&text, ""));
    // The text always has nine digits after the point.
    let clock = rest.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    let (whole, nanos) = (since_start.as_secs(), since_start.subsec_nanos());
    format!("{day} {clock} +0000 UTC m=+{whole}.{nanos:09}")
}

/// `value / unit`, exactly, with the least number of digits after the point.
fn fraction(value: u128, unit: u128, digits: usize) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let rest = format!("{rest:0digits$}");
    format!("{whole}.{}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        let table = [
            (0, "0s"),
            (1, "1ns"),
            (999, "999ns"),
            (1_000, "1µs"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (999_999_999, "999.999999ms"),
            (1_000_000_000, "1s"),
            (3_300_000_000, "3.3s"),
            (59_000_000_001, "59.000000001s"),
            (60_000_000_000, "1m0s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (3_600_000_000_000, "1h0m0s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (360_000_000_000_001, "100h0m0.000000001s"),
            (9_223_372_036_854_775_807, "2562047h47m16.854775807s"),
        ];
        for (nanos, text) in table {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn times_are_printed_as_go_prints_them() {
        let table = [
            ((0, 0), (0, 0), "1970-01-01 00:00:00 +0000 UTC m=+0.000000000"),
            (
                (1_513_716_661, 500_000_000),
                (12, 345),
                "2017-12-19 20:51:01.5 +0000 UTC m=+12.000000345",
            ),
            (
                (1_709_251_200, 1),
                (86_400, 999_999_999),
                "2024-03-01 00:00:00.000000001 +0000 UTC m=+86400.999999999",
            ),
            ((1_709_164_800, 0), (1, 0), "2024-02-29 00:00:00 +0000 UTC m=+1.000000000"),
            ((1_513_716_650, 0), (0, 1), "2017-12-19 20:50:50 +0000 UTC m=+0.000000001"),
        ];
        for ((seconds, nanos), (whole, part), text) in table {
            let moment = UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(time(moment, Duration::new(whole, part)), text);
        }
    }

    proptest! {
        #[test]
        fn no_digit_of_a_duration_is_lost(nanos in 0..i64::MAX as u64) {
            // The text is read unit by unit, with exact decimal arithmetic.
            let text = duration(Duration::from_nanos(nanos));
            let mut sum = 0u128;
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let unit = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap();
                let (number, behind) = rest.split_at(unit);
                let next = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
                let size: u128 = match &behind[..next] {
                    "h" => 3_600_000_000_000,
                    "m" => 60_000_000_000,
                    "s" => 1_000_000_000,
                    "ms" => 1_000_000,
                    "µs" => 1_000,
                    "ns" => 1,
                    other => panic!("{other}"),
                };
                let (whole, part) = number.split_once('.').unwrap_or((number, ""));
                sum += whole.parse::<u128>().unwrap() * size;
                let scale = 10u128.pow(part.len() as u32);
                sum += part.parse::<u128>().unwrap_or(0) * size / scale;
                rest = &behind[next..];
            }
            prop_assert_eq!(sum, u128::from(nanos));
        }
    }
}
