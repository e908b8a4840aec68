//! Owns the events that nobody asked for: what the daemon notices of backends, interfaces, tables,
//! packets and itself.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// A backend fares otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The service.
    pub service: String,
    /// The backend.
    pub backend: String,
    /// How.
    pub health: Fare,
    /// What is wrong.
    pub error: Option<String>,
}

/// How a backend fares by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fare {
    /// Its checks succeed.
    Healthy,
    /// Its checks fail.
    Unhealthy,
    /// The kernel's counters speak against it.
    Ejected,
    /// It is tried again after an ejection.
    Returned,
}

impl Display for Health {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let what = match self.health {
            Fare::Healthy => "is healthy",
            Fare::Unhealthy => "is unhealthy",
            Fare::Ejected => "is ejected",
            Fare::Returned => "is tried again after its ejection",
        };
        write!(f, "{}: {} {what}", self.service, self.backend)?;
        self.error
            .iter()
            .try_for_each(|error| write!(f, ": {error}"))
    }
}

/// A version has too few backends, or has enough again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionState {
    /// The service.
    pub service: String,
    /// The version.
    pub version: String,
    /// So many are unhealthy that all stay in the table (PANIC).
    pub panic: bool,
    /// No backend is left for clients of one address family or of both.
    pub empty: bool,
}

impl Display for VersionState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.service, self.version)?;
        f.write_str(match (self.panic, self.empty) {
            (true, _) => {
                "is in PANIC: more of its backends are unhealthy than health may take out, so that \
                 all of them stay in the table"
            }
            (false, true) => "has no backend left",
            (false, false) => "has enough backends again",
        })
    }
}

/// The lease had run out before the daemon renewed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRanOut {
    /// For so many seconds nobody vouched for next hops and releases.
    pub for_s: u64,
    /// The supervised services whose new flows went to the baseline meanwhile.
    pub services: Vec<String>,
}

impl Display for LeaseRanOut {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the lease had run out for {} s", self.for_s)?;
        if !self.services.is_empty() {
            let names = self.services.join(", ");
            write!(f, "; new flows of {names} went to the baseline meanwhile")?;
        }
        Ok(())
    }
}

/// An interface came, went, rose, fell, or carries the program otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub interface: String,
    /// Its XDP mode before: `native`, `generic`, `none`; `None` for one that comes.
    pub before: Option<String>,
    /// Its mode now; `None` for one that is configured no more.
    pub after: Option<String>,
    /// Whether it is up.
    pub up: bool,
    /// Anything odd about it.
    pub note: Option<String>,
}

impl Display for Interface {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.interface;
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "{name}: configured, XDP mode {after}")?,
            (_, None) => write!(f, "{name}: configured no more")?,
            (Some(before), Some(after)) if before != after => {
                write!(f, "{name}: XDP mode {before} -> {after}")?;
            }
            (Some(_), Some(after)) => write!(f, "{name}: XDP mode {after}")?,
        }
        if self.after.is_some() && !self.up {
            f.write_str(", down")?;
        }
        self.note.iter().try_for_each(|note| write!(f, ": {note}"))
    }
}

/// A table of flows became nearly full, or is no longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableFull {
    /// `established` or `pending`.
    pub table: String,
    /// How full it is, in percent.
    pub fill_percent: f64,
    /// Whether it is nearly full.
    pub nearly_full: bool,
}

impl Display for TableFull {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let state = if self.nearly_full {
            "nearly full"
        } else {
            "no longer nearly full"
        };
        let (table, fill) = (&self.table, self.fill_percent);
        write!(f, "the table of {table} flows is {state}: {fill:.1}%")
    }
}

/// Packets are dropped for a reason at a rate worth telling, or no longer are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// The reason, as in `status`.
    pub reason: String,
    /// Packets a second, as last seen.
    pub per_s: u64,
    /// Whether it goes on.
    pub ongoing: bool,
}

impl Display for Drops {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { reason, per_s, .. } = self;
        if self.ongoing {
            write!(f, "{per_s} packets a second are dropped as {reason}")
        } else {
            write!(f, "drops as {reason} are over: {per_s} packets a second")
        }
    }
}

/// A commit is on disk and not in the kernel, or is at last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// What keeps it from the kernel; `None`: nothing any more.
    pub error: Option<String>,
}

impl Display for Commit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => f.write_str(error),
            None => f.write_str("what was committed is in the kernel at last"),
        }
    }
}
