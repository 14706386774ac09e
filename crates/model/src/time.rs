//! Points and ranges of wall-clock time, nanoseconds since the Unix epoch, UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANOS_PER_MILLISECOND: u64 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000 * NANOS_PER_MILLISECOND;
const NANOS_PER_MINUTE: u64 = 60 * NANOS_PER_SECOND;
const NANOS_PER_HOUR: u64 = 60 * NANOS_PER_MINUTE;
const HOURS_PER_DAY: u64 = 24;

/// A moment: nanoseconds since the Unix epoch, UTC. Bounds: years 1970 to 2262.
///
/// JSON form: RFC 3339 with milliseconds (`2026-11-23T01:31:14.250Z`); compact form: the integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A text is not an RFC 3339 time in the years 1970 to 2262.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 time such as 2026-11-23T01:31:14Z")]
pub struct TimestampError(String);

impl Timestamp {
    /// The Unix epoch; used as "unknown" only where a field says so.
    pub const EPOCH: Self = Self(0);
    /// The last representable moment (year 2262): an open end of an interval.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// Makes a moment from nanoseconds since the Unix epoch; later than [`Self::MAX`] becomes MAX.
    #[must_use]
    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos.min(Self::MAX.0))
    }

    /// Makes a moment from whole seconds since the Unix epoch.
    #[must_use]
    pub fn from_seconds(seconds: u64) -> Self {
        Self::from_nanos(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// The start of this moment's minute.
    #[must_use]
    pub fn minute(self) -> Self {
        Self(self.0 - self.0 % NANOS_PER_MINUTE)
    }

    /// The start of this moment's hour, UTC.
    #[must_use]
    pub fn hour(self) -> Self {
        Self(self.0 - self.0 % NANOS_PER_HOUR)
    }

    /// The start of this moment's day, UTC.
    #[must_use]
    pub fn day(self) -> Self {
        Self(self.0 - self.0 % (NANOS_PER_HOUR * HOURS_PER_DAY))
    }

    /// The hour of its day that this moment lies in, 0 to 23, UTC.
    #[must_use]
    pub fn hour_of_day(self) -> u64 {
        self.0 / NANOS_PER_HOUR % HOURS_PER_DAY
    }

    /// This moment without what is finer than a millisecond.
    #[must_use]
    pub fn millisecond(self) -> Self {
        Self(self.0 - self.0 % NANOS_PER_MILLISECOND)
    }

    /// This moment plus `seconds`, at most [`Self::MAX`].
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self::from_nanos(self.0.saturating_add(seconds.saturating_mul(NANOS_PER_SECOND)))
    }

    /// This moment minus `seconds`, at least the epoch.
    #[must_use]
    pub fn minus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds.saturating_mul(NANOS_PER_SECOND)))
    }

    /// Nanoseconds from `earlier` to this moment; 0 if `earlier` is later.
    #[must_use]
    pub fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds from `earlier` to this moment; 0 if `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        self.nanos_since(earlier) / NANOS_PER_SECOND
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0);
        match jiff::Timestamp::from_nanosecond(nanos) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{nanos}ns"),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || TimestampError(text.to_owned());
        let time: jiff::Timestamp = text.parse().map_err(|_ignored| wrong())?;
        u64::try_from(time.as_nanosecond()).map(Self::from_nanos).map_err(|_out_of_range| wrong())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self::from_nanos)
        }
    }
}

/// A half-open range of time: `from` is in it, `to` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// First moment inside.
    pub from: Timestamp,
    /// First moment after the range.
    pub to: Timestamp,
}

impl TimeRange {
    /// All time.
    pub const ALL: Self = Self { from: Timestamp::EPOCH, to: Timestamp::MAX };

    /// Whether `at` lies in the range.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_both_serial_forms() {
        let time: Timestamp = "2026-11-23T01:31:14.250Z".parse().unwrap();
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2026-11-23T01:31:14.250Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        let bytes = postcard::to_stdvec(&time).unwrap();
        assert_eq!(postcard::from_bytes::<Timestamp>(&bytes).unwrap(), time);
    }

    #[test]
    fn the_minute_of_a_time_is_its_floor() {
        let time: Timestamp = "2026-11-23T01:31:14.250Z".parse().unwrap();
        assert_eq!(time.minute().to_string(), "2026-11-23T01:31:00.000Z");
    }
}
