//! Owns what tests and the demo share: network namespaces, servers, clients, load, and the daemon
//! under test.

pub mod bench;
pub mod capture;
pub mod cells;
pub mod client;
pub mod compare;
pub mod count;
pub mod daemon;
pub mod demo;
pub mod ethtool;
pub mod flood;
pub mod load;
pub mod mmdb;
pub mod model;
pub mod netns;
pub mod packet;
pub mod plane;
pub mod prometheus;
pub mod server;
pub mod spec;
pub mod supervise;
mod sys;
pub mod topology;
