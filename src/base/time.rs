//! Durations and moments, as people and records write them. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time written `90s`, `1h30m`, `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// A text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time; write it like `90s`, `1h30m` or `250ms`")]
pub struct BadSpan(String);

impl FromStr for Span {
    type Err = BadSpan;
    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(super::words::shorten(&super::words::visible(text), 40));
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let millis: u64 = match &rest[..unit] {
                "ms" => 1,
                "s" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(bad()),
            };
            rest = &rest[unit..];
            total = number.checked_mul(millis).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
        }
        if text.is_empty() { Err(bad()) } else { Ok(Self(Duration::from_millis(total))) }
    }
}

impl fmt::Display for Span {
    /// `850 ms`, `4.2 s`, `3 m 07 s`, `2 h 05 m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let seconds = self.0.as_secs();
        match millis {
            0..=999 => write!(f, "{millis} ms"),
            1_000..=59_949 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            _ if seconds < 3_600 => write!(f, "{} m {:02} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {:02} m", seconds / 3_600, seconds % 3_600 / 60),
        }
    }
}

/// A moment in whole milliseconds since 1970, UTC. Records carry it; keys never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub i64);

impl Moment {
    /// From whole seconds, as git and `SOURCE_DATE_EPOCH` have it.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }
    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

/// A day of the calendar, written `2026-11-22`; in UTC where it comes from a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(jiff::civil::Date);

/// A text that is not a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day; write it like `2026-12-31`")]
pub struct BadDay(String);

impl FromStr for Day {
    type Err = BadDay;
    fn from_str(text: &str) -> Result<Self, BadDay> {
        let date = jiff::civil::Date::strptime("%Y-%m-%d", text).ok();
        date.map(Self).filter(|day| day.to_string() == text).ok_or_else(|| BadDay(super::words::shorten(&super::words::visible(text), 40)))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Moment {
    /// Reads RFC 3339, with any offset and fraction.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|moment| Self(moment.as_millisecond()))
    }

    /// The day that it is in, in UTC; the first of 1970 for a moment that no calendar reaches.
    #[must_use]
    pub fn day(self) -> Day {
        let moment = jiff::Timestamp::from_second(self.seconds()).unwrap_or_default();
        Day(moment.to_zoned(jiff::tz::TimeZone::UTC).date())
    }
}

impl fmt::Display for Moment {
    /// RFC 3339 in UTC with whole seconds, as OCI's `created` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.seconds()) {
            Ok(moment) => write!(f, "{moment}"),
            Err(_) => f.write_str("1970-01-01T00:00:00Z"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown() {
        for (text, millis, shown) in
            [("90s", 90_000, "1 m 30 s"), ("1h30m", 5_400_000, "1 h 30 m"), ("250ms", 250, "250 ms"), ("4s200ms", 4_200, "4.2 s")]
        {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))));
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), shown);
        }
        for text in ["", "5", "s", "-5s", "1w", "1h 30m", "99999999999999999999s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(Moment::from_seconds(1_700_000_000).day().to_string(), "2023-11-14");
        assert!("2026-02-28".parse::<Day>().unwrap() < "2026-03-01".parse::<Day>().unwrap());
        for text in ["", "2026-02-30", "2026-1-1", "31.12.2026", "2026-12-31T00:00:00Z", "tomorrow"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    #[test]
    fn moments_print_as_rfc_3339() {
        assert_eq!(Moment::from_seconds(1_700_000_000).to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(Moment(0).to_string(), "1970-01-01T00:00:00Z");
    }
}
