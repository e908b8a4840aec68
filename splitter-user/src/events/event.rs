//! Owns one event: its number, its time, its JSON, and what may be asked of many.
//!
//! Invariant: kinds and fields are stable; one is added, never renamed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::acts::{
    BackendSet, EvidenceReset, FlowsReset, Reload, ReloadRefused, Started, Stopped, Supervision,
    WeightsSet,
};
use super::cohorts::{CohortCreated, CohortDeleted, CohortImported};
use super::noticed::{Commit, Drops, Health, Interface, LeaseRanOut, TableFull, VersionState};

/// Something that changed, with its number and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: one more than that of the event before, over restarts too.
    pub seq: u64,
    /// When, RFC 3339 in UTC, with milliseconds.
    pub at: String,
    /// One sentence for people.
    pub text: String,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What can change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// The daemon began.
    Started(Started),
    /// The daemon ends.
    Stopped(Stopped),
    /// Weights were set.
    Weights(WeightsSet),
    /// The state of a backend was set.
    Backend(BackendSet),
    /// Open flows were ended by hand.
    FlowsReset(FlowsReset),
    /// The evidence of a service began anew.
    EvidenceReset(EvidenceReset),
    /// A cohort was made.
    CohortCreated(CohortCreated),
    /// A cohort was deleted.
    CohortDeleted(CohortDeleted),
    /// Members were imported.
    CohortImported(CohortImported),
    /// The file was applied.
    Reload(Reload),
    /// The file was refused; nothing was changed.
    ReloadRefused(ReloadRefused),
    /// Supervision of a release began or ended.
    Supervision(Supervision),
    /// A backend fares otherwise than before.
    Health(Health),
    /// A version has too few backends, or has enough again.
    Version(VersionState),
    /// The lease had run out before the daemon renewed it.
    LeaseRanOut(LeaseRanOut),
    /// An interface came, went, rose, fell, or carries the program otherwise.
    Interface(Interface),
    /// A table of flows became nearly full, or is no longer.
    Table(TableFull),
    /// Packets are dropped for a reason at a rate worth telling, or no longer are.
    Drops(Drops),
    /// A commit is on disk and not in the kernel, or is at last.
    Commit(Commit),
}

impl What {
    /// Whether it has to do with a service, alone or among others. What is the whole host's has to
    /// do with none.
    pub fn concerns(&self, name: &str) -> bool {
        match self {
            Self::Weights(it) => it.service == name,
            Self::Backend(it) => it.service == name,
            Self::FlowsReset(it) => it.service == name,
            Self::EvidenceReset(it) => it.service == name,
            Self::Supervision(it) => it.service == name,
            Self::Health(it) => it.service == name,
            Self::Version(it) => it.service == name,
            Self::Reload(it) => it.services.iter().any(|each| each == name),
            Self::LeaseRanOut(it) => it.services.iter().any(|each| each == name),
            Self::Started(_)
            | Self::Stopped(_)
            | Self::CohortCreated(_)
            | Self::CohortDeleted(_)
            | Self::CohortImported(_)
            | Self::ReloadRefused(_)
            | Self::Interface(_)
            | Self::Table(_)
            | Self::Drops(_)
            | Self::Commit(_) => false,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(it) => it.fmt(f),
            Self::Stopped(it) => it.fmt(f),
            Self::Weights(it) => it.fmt(f),
            Self::Backend(it) => it.fmt(f),
            Self::FlowsReset(it) => it.fmt(f),
            Self::EvidenceReset(it) => it.fmt(f),
            Self::CohortCreated(it) => it.fmt(f),
            Self::CohortDeleted(it) => it.fmt(f),
            Self::CohortImported(it) => it.fmt(f),
            Self::Reload(it) => it.fmt(f),
            Self::ReloadRefused(it) => it.fmt(f),
            Self::Supervision(it) => it.fmt(f),
            Self::Health(it) => it.fmt(f),
            Self::Version(it) => it.fmt(f),
            Self::LeaseRanOut(it) => it.fmt(f),
            Self::Interface(it) => it.fmt(f),
            Self::Table(it) => it.fmt(f),
            Self::Drops(it) => it.fmt(f),
            Self::Commit(it) => it.fmt(f),
        }
    }
}

/// What `GET /v1/events` and `GET /v1/events/follow` may be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Only what this service has to do with.
    #[serde(default)]
    pub service: Option<String>,
    /// Only what is not older than this time, RFC 3339 in UTC.
    #[serde(default)]
    pub since: Option<String>,
    /// Only what has a higher number than this.
    #[serde(default)]
    pub after: Option<u64>,
    /// At first only the newest so many.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// What `GET /v1/events` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventList {
    /// Oldest first.
    pub events: Vec<Event>,
    /// Older ones that were left out for the limit.
    pub left_out: usize,
}

/// One line of `GET /v1/events/follow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventLine {
    /// It happened.
    Event(Box<Event>),
    /// The reader was too slow for so many events, of whatever service; they are gone.
    Missed {
        /// How many.
        missed: u64,
    },
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
