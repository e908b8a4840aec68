//! Owns history: what every version counted in each second of the last hour and each minute of the
//! last week, in SQLite.
//!
//! Invariant: a cell holds what came in it and nothing else. What came while nobody took samples is
//! booked as a gap, from the last sample before to the first after, and is never a rate. A version
//! that counted nothing in a second has no row; that somebody looked is known by the runs. Times are
//! seconds since 1970; a cell begins at `at_s`.

mod fold;
mod keeper;
mod read;
mod schema;
mod store;

pub use fold::{Cell, Column, fold};
pub use keeper::Keeper;
pub use read::{Told, Wanted, read};
pub use schema::{FILE, HistoryError};
pub use store::{Bounds, History};

/// A cell of a second.
pub const SECOND_S: u64 = 1;
/// A cell of a minute.
pub const MINUTE_S: u64 = 60;
/// How long cells of a second are kept.
pub const SECONDS_KEPT_S: u64 = 3_600;
/// How long cells of a minute, gaps and runs are kept.
pub const MINUTES_KEPT_S: u64 = 7 * 86_400;

#[cfg(test)]
mod tests;
