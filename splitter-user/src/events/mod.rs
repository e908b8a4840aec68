//! Owns what changed on this host: what can happen, in words and as JSON, and the log that keeps it.
//!
//! Invariant: telling an event never waits for whoever reads it and never fails a change; the log is
//! bounded in memory and on disk, and no two events of one log have the same number.

pub mod acts;
pub mod cohorts;
mod disk;
mod event;
mod log;
pub mod noticed;
mod watch;

pub use event::{Event, EventLine, EventList, EventQuery, What};
pub use log::{EventLog, Follower};
pub use watch::{InterfaceSeen, Seen, VersionSeen, Watch, nearly_full_percent};
