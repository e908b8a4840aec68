//! Owns what an operator says of flows: the fate of open ones whose service decides otherwise, and how
//! many new ones there may be.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What becomes of open flows that their service would decide otherwise by now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum FlowFate {
    /// They go on until they end by themselves.
    #[default]
    Keep,
    /// They go on for so many seconds, then they are ended.
    Drain(u32),
    /// They are ended at their next packet.
    Reset,
}

impl FlowFate {
    /// The longest drain, seconds: a week.
    pub const DRAIN_MAX_S: u32 = 7 * 24 * 3_600;

    /// After how many seconds flows end; `None` when they do not.
    pub const fn ends_after_s(self) -> Option<u32> {
        match self {
            Self::Keep => None,
            Self::Drain(seconds) => Some(seconds),
            Self::Reset => Some(0),
        }
    }
}

/// Why a text is no fate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlowFateError {
    /// None of the words.
    #[error("\"{0}\" is no fate of flows: write \"keep\", \"drain=5m\" or \"reset\"")]
    Unknown(String),
    /// Not a time.
    #[error("\"{0}\" is no time: write \"drain=30s\", \"drain=5m\" or \"drain=1h\"")]
    Time(String),
    /// Too short or too long.
    #[error("a drain takes 1s to 7days: \"{0}\"; to end flows at once write \"reset\"")]
    Range(String),
}

impl FromStr for FlowFate {
    type Err = FlowFateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => return Ok(Self::Keep),
            "reset" => return Ok(Self::Reset),
            _ => {}
        }
        let Some(time) = text.strip_prefix("drain=") else {
            return Err(FlowFateError::Unknown(text.to_owned()));
        };
        let time =
            humantime::parse_duration(time).map_err(|_| FlowFateError::Time(text.to_owned()))?;
        let most = Duration::from_secs(u64::from(Self::DRAIN_MAX_S));
        if time < Duration::from_secs(1) || time > most {
            return Err(FlowFateError::Range(text.to_owned()));
        }
        Ok(Self::Drain(time.as_secs() as u32))
    }
}

impl TryFrom<String> for FlowFate {
    type Error = FlowFateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FlowFate> for String {
    fn from(fate: FlowFate) -> Self {
        fate.to_string()
    }
}

impl fmt::Display for FlowFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Drain(seconds) => {
                let time = Duration::from_secs(u64::from(*seconds));
                let text = humantime::format_duration(time).to_string();
                write!(f, "drain={}", text.replace(' ', ""))
            }
            Self::Reset => f.write_str("reset"),
        }
    }
}

/// A limit of new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLimit {
    /// So many a second.
    pub flows_per_s: u32,
    /// At most so many at once.
    pub burst: u32,
}

impl FlowLimit {
    /// The largest rate and burst.
    pub const MAX: u32 = 10_000_000;
}

/// The limits of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLimits {
    /// Of all its clients together.
    pub all: Option<FlowLimit>,
    /// Of each of them.
    pub each: Option<FlowLimit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fate_survives_its_text() {
        for (text, fate) in [
            ("keep", FlowFate::Keep),
            ("reset", FlowFate::Reset),
            ("drain=90s", FlowFate::Drain(90)),
            ("drain=5m", FlowFate::Drain(300)),
            ("drain=1h 1s", FlowFate::Drain(3_601)),
        ] {
            let read: FlowFate = text.parse().expect(text);
            assert_eq!(read, fate);
            assert_eq!(read.to_string().parse(), Ok(fate), "{read}");
        }
        assert_eq!(FlowFate::Drain(90).to_string(), "drain=1m30s");
    }

    #[test]
    fn what_is_no_fate_is_told_what_to_write() {
        for (text, hint) in [
            ("drop", "write \"keep\", \"drain=5m\" or \"reset\""),
            ("drain", "write \"keep\", \"drain=5m\" or \"reset\""),
            ("drain=soon", "write \"drain=30s\""),
            ("drain=0s", "write \"reset\""),
            ("drain=8days", "1s to 7days"),
        ] {
            let told = text.parse::<FlowFate>().expect_err(text).to_string();
            assert!(told.contains(hint), "{told}");
        }
    }
}
