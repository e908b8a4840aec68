//! Owns the JSON of what backends answer and how long they take.

use serde::{Deserialize, Serialize};

/// How long backends took since they were given their place, as the load balancer sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// From a client's first SYN to the SYN-ACK.
    pub handshake: TimesOf,
    /// From the last of what a client asks to the first of the answer.
    pub turn: TimesOf,
    /// The same for the first two turns of a TLS flow, which may be the work of TLS alone; `None` for a
    /// backend, of which it is not kept.
    pub tls_setup: Option<TimesOf>,
}

/// Times of one kind. A quantile lies within a quarter of the truth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimesOf {
    /// How many were measured.
    pub count: u64,
    /// All of them together, in microseconds.
    pub sum_us: u64,
    /// The time that half of them do not exceed, in microseconds; `None` without any.
    pub p50_us: Option<u64>,
    /// That nine in ten do not.
    pub p90_us: Option<u64>,
    /// That ninety-nine in a hundred do not.
    pub p99_us: Option<u64>,
    /// How many by cell: 4 in each octave from 1 us on; what follows the last one is 0.
    pub cells: Vec<u64>,
}

/// The first time of each client. A quantile lies within a quarter of the truth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstTimes {
    /// How many were measured.
    pub count: u64,
    /// The time that half of them do not exceed, in microseconds; `None` without any.
    pub p50_us: Option<u64>,
    /// That nine in ten do not.
    pub p90_us: Option<u64>,
    /// That ninety-nine in a hundred do not.
    pub p99_us: Option<u64>,
    /// How many by cell, as in [`TimesOf`].
    pub cells: Vec<u64>,
}

/// Turns by the class of their HTTP status; 1xx ends none, but for 101.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTurns {
    /// 2xx.
    pub http_2xx: u64,
    /// 3xx.
    pub http_3xx: u64,
    /// 4xx.
    pub http_4xx: u64,
    /// 5xx.
    pub http_5xx: u64,
    /// 101, or none that could be read.
    pub http_other: u64,
}
