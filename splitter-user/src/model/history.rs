//! Owns what can be asked of history: from when, until when, and in cells of which length.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use thiserror::Error;

/// A moment, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long ago: `10m`.
    Ago(Duration),
    /// Then: `2026-01-02T03:04:05Z`.
    At(SystemTime),
}

impl Moment {
    /// In seconds since 1970.
    pub fn unix_s(self, now: SystemTime) -> u64 {
        let at = match self {
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(UNIX_EPOCH),
            Self::At(at) => at,
        };
        at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("write how long ago, `10m`, `2h`, `3d`, or a time in UTC, `2026-01-02T03:04:05Z`")]
pub struct MomentError;

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        let at = humantime::parse_rfc3339_weak(text).map_err(|_| MomentError)?;
        Ok(Self::At(at))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ago(ago) => humantime::format_duration(*ago).fmt(f),
            Self::At(at) => humantime::format_rfc3339_seconds(*at).fmt(f),
        }
    }
}

/// How long a cell of history is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryStep {
    /// A second for a quarter of an hour or less within the last hour, else a minute.
    #[default]
    Auto,
    /// A second; kept for an hour.
    Second,
    /// A minute; kept for a week.
    Minute,
}

/// Why a text is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("write `1s` (kept for an hour), `1m` (kept for a week) or `auto`")]
pub struct HistoryStepError;

impl FromStr for HistoryStep {
    type Err = HistoryStepError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "1s" => Ok(Self::Second),
            "1m" => Ok(Self::Minute),
            _ => Err(HistoryStepError),
        }
    }
}

impl fmt::Display for HistoryStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Second => "1s",
            Self::Minute => "1m",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_steps_are_read_as_they_are_written() {
        let now = UNIX_EPOCH + Duration::from_secs(10_000);
        for (text, unix_s) in [("10m", 9_400), ("1970-01-01T00:01:00Z", 60), ("3d", 0)] {
            let moment: Moment = text.parse().expect(text);
            assert_eq!(moment.unix_s(now), unix_s);
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        assert!("yesterday".parse::<Moment>().is_err());
        for step in [HistoryStep::Auto, HistoryStep::Second, HistoryStep::Minute] {
            assert_eq!(step.to_string().parse(), Ok(step));
        }
        assert!("5s".parse::<HistoryStep>().is_err());
    }
}
