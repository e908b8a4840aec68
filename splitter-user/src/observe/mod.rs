//! Owns what was measured over time: samples of all totals once a second, their history on disk, and
//! their form for Prometheus.
//!
//! Invariant: nothing here holds the daemon's lock or decides anything; totals are read from the
//! kernel's pinned maps, so that they go on where they were when a daemon comes back. A figure that
//! is new in the kernel is entered in [`figures`] and read in [`sampler`]; history keeps it from then
//! on, and a line in [`metrics`] exports it.

pub mod figures;
pub mod history;
pub mod metrics;
pub mod roster;
pub mod sampler;

pub use figures::{Figures, Times};
pub use roster::Roster;
pub use sampler::{Sample, Sampler};
