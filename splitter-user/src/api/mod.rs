//! Owns the HTTP API over a unix socket: its JSON, its server and its client.
//!
//! Invariant: server and client share [`types`], so that they cannot differ; the server knows
//! nothing of the daemon but [`Control`].

pub mod client;
mod cohorts;
mod control;
mod events;
pub mod metrics;
pub mod server;
mod simulate;
mod socket;
mod trace;
pub mod types;

pub use client::{Client, ClientError};
pub use control::{Actor, Control, Refusal};
pub use server::serve;
pub use socket::{BindError, bind};
pub use trace::Trace;

#[cfg(test)]
mod tests;
