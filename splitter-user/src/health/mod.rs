//! Owns how backends fare: the verdicts of checks and counters, and who is in the tables for it.
//!
//! Invariant: what is decided here is pure ([`judge`], [`passive`], [`serving`]); the probers ask
//! and tell, and change nothing. Health moves nobody between versions, except by `on_empty`.

pub mod book;
pub mod judge;
pub mod passive;
pub mod probe;
pub mod prober;
pub mod records;
pub mod serving;

pub use book::{Book, Key};
pub use judge::{Health, Judge};
pub use records::{Record, Records};
pub use serving::{Served, Standing, VersionServed, leaves_as_configured, mark_leaving, serve};
