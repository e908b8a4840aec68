//! Owns what tests and the demo share: network namespaces, servers, clients, load, and the daemon
//! under test.

pub mod cells;
pub mod client;
pub mod daemon;
pub mod demo;
pub mod ethtool;
pub mod load;
pub mod netns;
pub mod packet;
pub mod server;
pub mod spec;
mod sys;
pub mod topology;
