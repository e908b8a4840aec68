//! Owns who is in which cohort, on disk: cohorts by name, their members with ends and references, and
//! the lines that members are imported by.
//!
//! Invariants: what is told as done is on disk; a change is done as a whole or not at all. Ends stand in
//! a time that goes on with the kernel's ticks, see [`clock`].

mod change;
mod clock;
mod error;
mod lines;
mod read;
mod schema;
mod store;

pub use change::Changes;
pub use clock::{Now, Time};
pub use error::CohortError;
pub use lines::{Bad, Line, Lines, address, end_ms, parse, reference, ttl};
pub use read::{InCohort, memberships};
pub use store::{Cohort, Put, Store};

#[cfg(test)]
mod tests;
