//! Durations and sizes as people write them: `10s`, `8h`, `64MiB`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The units that a size is written in, the largest first, as powers of two.
const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];

/// A duration, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// The duration itself.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// This duration.
    pub(super) const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    pub(super) const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    pub(super) const fn hours(count: u64) -> Self {
        Self(Duration::from_secs(count * 3600))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "duration"})
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = humantime::parse_duration(&text).map_err(|e| {
            D::Error::custom(format!("{text:?} is not a duration such as 10s or 8h: {e}"))
        })?;
        if span.is_zero() {
            return Err(D::Error::custom(
                "a duration must be longer than 0; write one such as 10s",
            ));
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

    /// This many bytes.
    pub(super) const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    pub(super) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(power, _): &&(u32, &str)| self.0.trailing_zeros() >= *power;
        match UNITS.iter().find(fits) {
            Some((power, unit)) => write!(f, "{}{unit}", self.0 >> power),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "size"})
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let size: bytesize::ByteSize = text
            .parse()
            .map_err(|e| D::Error::custom(format!("{text:?} is not a size such as 64MiB: {e}")))?;
        if size.0 == 0 {
            return Err(D::Error::custom("a size must be larger than 0; write one such as 64MiB"));
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

    #[test]
    fn sizes_and_durations_are_read_as_they_were_written() {
        for text in ["64MiB", "8GiB", "1025B", "3KiB"] {
            let size: Bytes = serde_json::from_value(text.into()).unwrap();
            assert_eq!(size.to_string(), text);
        }
        for seconds in [1, 60, 90, 8 * 3600, 7 * 24 * 3600] {
            let span = Span::seconds(seconds);
            let again: Span = serde_json::from_value(span.to_string().into()).unwrap();
            assert_eq!(again, span);
        }
    }
}
