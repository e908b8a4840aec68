//! The daemon and the command line of splitter.
#![deny(unsafe_code)]

pub mod api;
pub mod cli;
pub mod cohorts;
pub mod config;
pub mod daemon;
pub mod database;
pub mod dataplane;
pub mod events;
pub mod health;
pub mod judge;
pub mod model;
pub mod net;
pub mod observe;
pub mod plan;
pub mod secret;
pub mod state;
