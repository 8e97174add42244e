//! Durations and sizes as people write them: `10s`, `8h`, `64MiB`.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A duration, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// The duration itself.
    pub const fn get(self) -> Duration {
        self.0
    }

    pub(super) const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    pub(super) const fn hours(count: u64) -> Self {
        Self(Duration::from_secs(count * 3600))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = humantime::parse_duration(&text).map_err(|e| {
            D::Error::custom(format!("{text:?} is no duration such as 10s or 8h: {e}"))
        })?;
        if span.is_zero() {
            return Err(D::Error::custom("a duration must be longer than 0"));
        }
        Ok(Self(span))
    }
}

/// A size in bytes, `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(u64);

impl Bytes {
    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(super) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let size: bytesize::ByteSize = text
            .parse()
            .map_err(|e| D::Error::custom(format!("{text:?} is no size such as 64MiB: {e}")))?;
        if size.0 == 0 {
            return Err(D::Error::custom("a size must be larger than 0"));
        }
        Ok(Self(size.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_as_people_write_them() {
        let size = |text: &str| serde_json::from_value::<Bytes>(text.into()).map(Bytes::get);
        assert_eq!(size("64MiB").unwrap(), 64 << 20);
        assert_eq!(size("1 GiB").unwrap(), 1 << 30);
        assert!(size("much").is_err() && size("0").is_err());
        let span = |text: &str| serde_json::from_value::<Span>(text.into()).map(Span::get);
        assert_eq!(span("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(span("250ms").unwrap(), Duration::from_millis(250));
        assert!(span("soon").is_err() && span("0s").is_err() && span("-1s").is_err());
    }
}
