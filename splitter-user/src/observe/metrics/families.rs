//! Owns the names of the metrics: which figure is exported under which, and in which unit.
//!
//! Invariant: a name begins with whom it is about (`version_`, `backend_`) and ends with what is
//! counted; the exporter adds `_total` and the unit.

use splitter_common::{
    layout::{Counter, TableEvent},
    reason::Verdict,
};

use crate::observe::{
    Figures, Times,
    roster::{InterfaceEntry, VersionEntry},
};

/// A family of counters.
pub(super) struct Family {
    /// Behind `version_` or `backend_`.
    pub(super) name: &'static str,
    /// What it counts; the exporter adds a full stop.
    pub(super) help: &'static str,
    /// Whether the unit is bytes; else it stands in the name.
    pub(super) bytes: bool,
    /// The figure.
    pub(super) of: fn(&Figures) -> u64,
}

macro_rules! families {
    ($($counter:ident $name:literal $bytes:literal $help:literal,)*) => {
        &[$(Family {
            name: $name,
            help: $help,
            bytes: $bytes,
            of: |figures| figures.counter(Counter::$counter),
        },)*]
    };
}

/// Of a backend.
pub(super) const OF_BACKENDS: &[Family] = families![
    PacketsIn "received_packets" false "Packets from clients",
    BytesIn "received" true "Bytes of IP packets from clients",
    PacketsOut "sent_packets" false "Packets to clients",
    BytesOut "sent" true "Bytes of IP packets to clients",
    NewFlows "new_flows" false "Flows begun",
    SynsBegun "handshakes_begun" false "TCP handshakes begun by clients",
    SynsAnswered "handshakes_answered" false "TCP handshakes answered by the backend",
    ResetsByClient "client_resets" false "Flows reset by the client",
    ResetsByServer "server_resets" false "Flows reset by the backend",
];

/// Of a version: the sums over its backends, those that are gone too.
pub(super) const OF_VERSIONS: &[Family] = families![
    PacketsIn "received_packets" false "Packets from clients",
    BytesIn "received" true "Bytes of IP packets from clients",
    PacketsOut "sent_packets" false "Packets to clients",
    BytesOut "sent" true "Bytes of IP packets to clients",
    NewFlows "new_flows" false "Flows begun",
    SynsBegun "handshakes_begun" false "TCP handshakes begun by clients",
    SynsAnswered "handshakes_answered" false "TCP handshakes answered by a backend",
    Handshakes "handshakes" false "TCP handshakes completed",
    SynRetransmits "syn_retransmits" false "SYNs that clients sent once more",
    ResetsByClient "client_resets" false "Flows reset by the client",
    ResetsByServer "server_resets" false "Flows reset by a backend",
    ResetsByClientEarly "client_early_resets" false "Flows reset by the client before a backend had sent payload",
    ResetsByServerEarly "server_early_resets" false "Flows reset by a backend before it had sent payload",
    IcmpErrors "icmp_errors" false "ICMP errors about its flows, either way",
    Adopted "adopted_packets" false "Packets forwarded by decision, their flow not being known",
    Diverted "diverted_flows" false "Flows begun by clients that belong to another version",
    Cut "cut_flows" false "Flows ended here: decided otherwise by now, or the client denied",
    InsertsRefused "refused_inserts" false "Flows that the tables refused to enter",
];

/// Of a version where the status of answers is read.
pub(super) const OF_HTTP: &[Family] = families![
    Http2xx "http_2xx_answers" false "Answers of HTTP's class 2xx",
    Http3xx "http_3xx_answers" false "Answers of HTTP's class 3xx",
    Http4xx "http_4xx_answers" false "Answers of HTTP's class 4xx",
    Http5xx "http_5xx_answers" false "Answers of HTTP's class 5xx",
    HttpOther "http_other_answers" false "Answers with HTTP's status 101, or with none that could be read",
];

/// Of a version and of no backend.
pub(super) const MET_EMPTY: Family = Family {
    name: "unserved_flows",
    help: "Flows begun by its clients while it had no backend, whoever served them",
    bytes: false,
    of: Figures::met_empty,
};

/// A family of gauges of what `T` is.
pub(super) struct Gauge<T> {
    /// The whole name.
    pub(super) name: &'static str,
    /// What it says.
    pub(super) help: &'static str,
    /// Whether the unit is a ratio; else it stands in the name.
    pub(super) ratio: bool,
    /// The figure, where there is one.
    pub(super) of: fn(&T) -> Option<f64>,
}

/// Of a version.
pub(super) const VERSION_GAUGES: [Gauge<VersionEntry>; 4] = [
    Gauge {
        name: "version_weight",
        help: "The weight in force",
        ratio: true,
        of: |version| Some(f64::from(version.weight.ppm()) / 1e6),
    },
    Gauge {
        name: "version_healthy_backends",
        help: "Backends that are active and healthy",
        ratio: false,
        of: |version| Some(version.healthy as f64),
    },
    Gauge {
        name: "version_empty",
        help: "1 while no backend is left for clients of an address family",
        ratio: false,
        of: |version| Some(flag(version.empty)),
    },
    Gauge {
        name: "version_open_flows",
        help: "Open flows, as estimated from a sample of the flow table",
        ratio: false,
        of: |version| version.open_flows.map(|flows| flows as f64),
    },
];

/// Of an interface.
pub(super) const INTERFACE_GAUGES: [Gauge<InterfaceEntry>; 3] = [
    Gauge {
        name: "interface_attached",
        help: "1 while the interface carries the program",
        ratio: false,
        of: |interface| Some(flag(interface.attached)),
    },
    Gauge {
        name: "interface_native",
        help: "1 while the program runs in the interface's driver; 0 in the slower generic path",
        ratio: false,
        of: |interface| Some(flag(interface.native)),
    },
    Gauge {
        name: "interface_up",
        help: "1 while the interface is up",
        ratio: false,
        of: |interface| Some(flag(interface.up)),
    },
];

/// A yes or no as a figure.
pub(super) const fn flag(so: bool) -> f64 {
    if so { 1.0 } else { 0.0 }
}

/// Of the flow tables.
pub(super) const TABLE_EVENTS: [(TableEvent, &str, &str); 4] = [
    (
        TableEvent::PendingInserts,
        "pending_flow_inserts",
        "Entries that came into the table of pending flows",
    ),
    (
        TableEvent::PendingRemovals,
        "pending_flow_removals",
        "Entries taken out of the table of pending flows; not those that were pushed out",
    ),
    (
        TableEvent::EstablishedInserts,
        "established_flow_inserts",
        "Entries that came into the table of established flows",
    ),
    (
        TableEvent::EstablishedRemovals,
        "established_flow_removals",
        "Entries taken out of the table of established flows; not those that were pushed out",
    ),
];

/// The name of a histogram and what it measures.
pub(super) const fn of_times(times: Times) -> (&'static str, &'static str) {
    match times {
        Times::Handshake => (
            "version_handshake_time",
            "Time from a client's first SYN to the SYN-ACK",
        ),
        Times::Turn => (
            "version_turn_time",
            "Time from a question of a client to the first of its answer",
        ),
    }
}

/// The name under which packets of a verdict are counted by reason.
pub(super) const fn verdict(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Pass => (
            "passed_packets",
            "Packets passed untouched to this host's stack, by reason",
        ),
        Verdict::Drop => ("dropped_packets", "Packets dropped, by reason"),
        Verdict::Tx => (
            "returned_packets",
            "Packets sent out of the interface that they came in by, by reason",
        ),
        Verdict::Redirect => (
            "redirected_packets",
            "Packets sent out of another interface, by reason",
        ),
        Verdict::Resolve => (
            "resolved_packets",
            "Packets rewritten and left to this host's stack to be routed, by reason",
        ),
    }
}
