//! Ages, durations and sizes for people.

use std::time::Duration;

use bytesize::ByteSize;

/// The cell of an absent value.
pub(super) const NOTHING: &str = "-";

/// An age: `3.2s`, `12s`, `3m05s`, `2h10m`, `5d03h`.
pub(super) fn age(seconds: f64) -> String {
    let Ok(span) = Duration::try_from_secs_f64(seconds) else { return NOTHING.to_owned() };
    let whole = span.as_secs();
    let (minutes, hours, days) = (whole / 60, whole / 3_600, whole / 86_400);
    match whole {
        0..10 if span.subsec_millis() >= 100 => {
            format!("{whole}.{}s", span.subsec_millis() / 100)
        }
        0..60 => format!("{whole}s"),
        60..3_600 => format!("{minutes}m{:02}s", whole % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// How long something took: `850.0µs`, `12.3ms`, `1.5s`.
pub(super) fn took(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => "0s".to_owned(),
        Ok(span) => format!("{span:.1?}"),
        Err(_) => NOTHING.to_owned(),
    }
}

/// A size: `12.3 MiB`.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// The text of a value that may be absent.
pub(super) fn or_nothing<T>(value: Option<T>, shown: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_at_most_two_units() {
        let table = [
            (0.0, "0s"),
            (0.3, "0.3s"),
            (3.04, "3s"),
            (3.27, "3.2s"),
            (9.99, "9.9s"),
            (10.0, "10s"),
            (59.9, "59s"),
            (185.0, "3m05s"),
            (7_800.0, "2h10m"),
            (86_399.0, "23h59m"),
            (442_800.0, "5d03h"),
            (-1.0, "-"),
            (f64::NAN, "-"),
        ];
        for (seconds, text) in table {
            assert_eq!(age(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn durations_and_sizes_have_one_digit_after_the_point() {
        assert_eq!([took(0.00085), took(0.01234), took(1.5)], ["850.0µs", "12.3ms", "1.5s"]);
        assert_eq!([took(f64::INFINITY), took(0.0)], ["-", "0s"]);
        assert_eq!([size(0), size(1_000), size(12_897_485)], ["0 B", "1000 B", "12.3 MiB"]);
        assert_eq!(or_nothing(None, size), "-");
    }
}
