//! Owns flows: what an entry holds ([`entry`], [`hop`]) and what a packet does to it ([`law`]).

pub mod entry;
pub mod hop;
pub mod law;

pub use entry::{Cell, Entry, Table};
pub use hop::Hop;
