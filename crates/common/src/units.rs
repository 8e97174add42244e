//! Sizes and durations as messages have them: `256 MiB`, `10 s`.

use std::fmt;
use std::time::Duration;

/// Units of size, the largest first, as powers of two.
const SIZES: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];

/// A number of bytes, in the largest unit that has no remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A duration, in seconds or, below one second, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES.iter().find(|(power, _)| self.0 != 0 && self.0.trailing_zeros() >= *power) {
            Some((power, unit)) => write!(f, "{} {unit}", self.0 >> power),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0..1000 => write!(f, "{millis} ms"),
            _ if millis.is_multiple_of(1000) => write!(f, "{} s", millis / 1000),
            _ => {
                let text = format!("{}.{:03}", millis / 1000, millis % 1000);
                write!(f, "{} s", text.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        let table = [
            (0, "0 bytes"),
            (1000, "1000 bytes"),
            (1024, "1 KiB"),
            (256 << 20, "256 MiB"),
            (3 << 30, "3 GiB"),
            ((1 << 30) + 1, "1073741825 bytes"),
            (1 << 63, "8388608 TiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn durations_are_in_seconds_unless_they_are_short() {
        let table = [(0, "0 ms"), (20, "20 ms"), (1000, "1 s"), (1500, "1.5 s"), (90_000, "90 s")];
        for (millis, text) in table {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
