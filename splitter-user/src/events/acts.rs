//! Owns the events that somebody caused: operators and the daemon's own start and end. `by` is who
//! asked, as the kernel says.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// `: why`, if somebody said why.
pub(super) fn why(reason: Option<&String>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// The daemon began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its version.
    pub version: String,
    /// The version of the daemon before it, where it is known to be another.
    pub upgraded_from: Option<String>,
    /// It took over a data plane that ran.
    pub adopted: bool,
    /// The daemon before it did not say that it stops.
    pub unclean: bool,
    /// The generation in force.
    pub generation: u64,
    /// Every interface with its XDP mode: `eth0 native`.
    pub interfaces: Vec<String>,
}

impl Display for Started {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "splitter {} started", self.version)?;
        if let Some(from) = &self.upgraded_from {
            write!(f, ", upgraded from {from}")?;
        }
        let plane = if self.adopted {
            "took over the data plane that ran"
        } else {
            "made a new data plane"
        };
        write!(f, " and {plane}, generation {}", self.generation)?;
        if !self.interfaces.is_empty() {
            write!(f, ", {}", self.interfaces.join(", "))?;
        }
        if self.unclean {
            f.write_str("; the daemon before it was killed")?;
        }
        Ok(())
    }
}

/// The daemon ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// It is to take the program off the interfaces.
    pub detaches: bool,
    /// What makes it end, when nobody asked it to.
    pub failure: Option<String>,
}

impl Display for Stopped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Some(failure) => write!(f, "the daemon fails: {failure}; traffic goes on as it is"),
            None if self.detaches => {
                f.write_str("the daemon stops and takes the program off the interfaces")
            }
            None => f.write_str("the daemon stops; traffic goes on"),
        }
    }
}

/// Weights were set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsSet {
    /// The service.
    pub service: String,
    /// Who did it.
    pub by: String,
    /// Every version's weight before.
    pub before: BTreeMap<String, String>,
    /// Every version's weight after.
    pub after: BTreeMap<String, String>,
    /// What becomes of open flows that are decided otherwise by now: `keep`, `drain=5m`, `reset`.
    pub flows: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl Display for WeightsSet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let changed = self.after.iter().filter_map(|(name, to)| {
            let from = self.before.get(name).map_or("none", String::as_str);
            (from != to).then(|| format!("{name} {from} -> {to}"))
        });
        let mut changed: Vec<String> = changed.collect();
        if changed.is_empty() {
            changed.push("set to what they were".to_owned());
        }
        let (service, by) = (&self.service, &self.by);
        let why = why(self.reason.as_ref());
        write!(f, "{service}: weights {} by {by}{why}", changed.join(", "))
    }
}

/// The state of a backend was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendSet {
    /// The service.
    pub service: String,
    /// The version.
    pub version: String,
    /// The backend.
    pub backend: String,
    /// Who did it.
    pub by: String,
    /// `active`, `draining`, `disabled`, `absent`.
    pub before: String,
    /// The same after the change.
    pub after: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl Display for BackendSet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            version,
            backend,
            by,
            before,
            after,
            reason,
        } = self;
        let why = why(reason.as_ref());
        write!(
            f,
            "{service}: {backend} of {version} {before} -> {after} by {by}{why}"
        )
    }
}

/// Open flows were ended by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsReset {
    /// The service.
    pub service: String,
    /// Who did it.
    pub by: String,
    /// How many.
    pub flows: u64,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl Display for FlowsReset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            service, by, flows, ..
        } = self;
        let why = why(self.reason.as_ref());
        write!(f, "{service}: {flows} flows ended by {by}{why}")
    }
}

/// The evidence of a service began anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceReset {
    /// The service.
    pub service: String,
    /// Who did it.
    pub by: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl Display for EvidenceReset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let why = why(self.reason.as_ref());
        write!(
            f,
            "{}: evidence begun anew by {}{why}",
            self.service, self.by
        )
    }
}

/// The file was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// Who asked.
    pub by: String,
    /// The generation in force after it.
    pub generation: u64,
    /// The services that changed.
    pub services: Vec<String>,
    /// Whether interfaces changed.
    pub interfaces: bool,
    /// What was set at run time and gave way to the file, as sentences.
    pub dropped: Vec<String>,
}

impl Display for Reload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.services.is_empty() {
            parts.push(format!("services {} changed", self.services.join(", ")));
        }
        if self.interfaces {
            parts.push("interfaces changed".to_owned());
        }
        if parts.is_empty() {
            parts.push("nothing changed".to_owned());
        }
        parts.push(format!("generation {}", self.generation));
        parts.extend(self.dropped.iter().cloned());
        write!(f, "file reloaded by {}: {}", self.by, parts.join("; "))
    }
}

/// The file was refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRefused {
    /// Who asked.
    pub by: String,
    /// Why.
    pub error: String,
}

impl Display for ReloadRefused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a reload by {} was refused: {}", self.by, self.error)
    }
}

/// Supervision of a release began or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// The service.
    pub service: String,
    /// Whether it is supervised now.
    pub on: bool,
    /// Who did it.
    pub by: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl Display for Supervision {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verb = if self.on { "begun" } else { "ended" };
        let why = why(self.reason.as_ref());
        write!(
            f,
            "{}: supervision {verb} by {}{why}",
            self.service, self.by
        )
    }
}
