//! Owns flows: their keys ([`key`]), what an entry holds ([`entry`], [`hop`]), what a packet does to it
//! ([`law`]), where those stand whose handshake is not complete ([`pending`]), what becomes of a flow when the
//! service decides otherwise ([`recheck`]), and how long its backend takes to answer ([`turns`]).

pub mod entry;
pub mod hop;
pub mod key;
pub mod law;
pub mod limit;
pub mod pending;
pub mod recheck;
pub mod turns;

pub use entry::{Cell, Entry, Table};
pub use hop::Hop;
pub use key::KeptKey;
