//! Every decision of splitter as a total function from values to values, shared by the XDP
//! program, the daemon, the command line and the tests: *the kernel decides with the same
//! function as the CLI*.
//!
//! Invariants: no allocation, no `unsafe`, no I/O, no panic on any input. Byte order: addresses
//! are network-order bytes held in native words, ports and lengths are native numbers. Time is
//! in jiffies where the packet path needs it and never mixed with nanoseconds.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(not(target_endian = "little"))]
compile_error!(
    "splitter hashes addresses as little-endian words: big-endian hosts would decide differently"
);

pub mod address;
pub mod capacity;
pub mod checksum;
pub mod clock;
pub mod cohort;
pub mod decide;
pub mod device;
pub mod directory;
pub mod edit;
pub mod engine;
pub mod evidence;
pub mod flow;
pub mod hash;
pub mod histogram;
pub mod layout;
pub mod maglev;
pub mod members;
pub mod packet;
pub mod prefix;
pub mod reason;
pub mod segment;
pub mod split;
pub mod trace;
pub mod traits;
pub mod weight;
