//! Owns flows: what an entry holds ([`entry`]) and what a packet does to it ([`law`]).

pub mod entry;
pub mod law;

pub use entry::{Cell, Entry, Hop, Table};
