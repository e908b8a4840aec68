//! Owns the tables of `status -o wide`: the state of every backend, and every counter.
//!
//! Invariant: no field of [`Counters`] is left out.

use crate::api::types::{BackendStatus, Counters, ServiceStatus, VersionStatus};
use crate::cli::backend::backend_cells;
use crate::cli::text::{self, brief, percent, share, table};

use super::hop_cells;

/// Versions and backends: how they fare and by which next hop they are reached.
pub(super) fn backends(service: &ServiceStatus) -> String {
    let of_version = |version: &VersionStatus| {
        let state = match (version.panic, version.empty) {
            (true, _) => "PANIC",
            (false, true) => "empty",
            (false, false) => "",
        };
        vec![
            text::version(&version.name, version.baseline),
            percent(version.weight_percent),
            share(version.share_flows),
            state.to_owned(),
            format!("{} of {}", version.healthy, version.backends.len()),
        ]
    };
    let of_backend = |backend: &BackendStatus| {
        let [address, weight, state, health, serves] =
            backend_cells(&backend.address, backend.weight, &backend.health);
        let mut row = vec![
            format!("  {address}"),
            weight,
            String::new(),
            state,
            health,
            serves,
        ];
        row.extend(hop_cells(backend));
        row
    };
    let rows = service.versions.iter().flat_map(|version| {
        std::iter::once(of_version(version)).chain(version.backends.iter().map(of_backend))
    });
    let head = [
        "",
        "WEIGHT",
        "SHARE",
        "STATE",
        "HEALTHY",
        "SERVES",
        "NEXT HOP",
        "HOP STATE",
    ];
    table(&head, &[0, 3, 4, 5, 6, 7], rows.collect())
}

/// Every counter of versions and backends.
pub(super) fn counters(service: &ServiceStatus) -> String {
    let row = |name: String, counters: &Counters| {
        let cells = cells(counters).map(|(_, count)| brief(count));
        std::iter::once(name).chain(cells).collect()
    };
    let rows = service.versions.iter().flat_map(|version| {
        let backends = version.backends.iter();
        std::iter::once(row(
            text::version(&version.name, version.baseline),
            &version.counters,
        ))
        .chain(backends.map(|each| row(format!("  {}", each.address), &each.counters)))
    });
    let names = cells(&Counters::default()).map(|(name, _)| name);
    let head: Vec<&str> = std::iter::once("").chain(names).collect();
    table(&head, &[0], rows.collect())
}

/// The columns.
fn cells(counters: &Counters) -> [(&'static str, u64); 18] {
    // Named one by one, so that a new counter stops the build here.
    let Counters {
        packets_in,
        bytes_in,
        packets_out,
        bytes_out,
        new_flows,
        handshakes,
        syns_begun,
        syns_answered,
        syn_retransmits,
        resets_by_client,
        resets_by_server,
        resets_by_client_early,
        resets_by_server_early,
        adopted,
        icmp_errors,
        diverted,
        cut,
        inserts_refused,
    } = *counters;
    [
        ("PKTS-IN", packets_in),
        ("BYTES-IN", bytes_in),
        ("PKTS-OUT", packets_out),
        ("BYTES-OUT", bytes_out),
        ("NEW", new_flows),
        ("SYNS", syns_begun),
        ("ANSWERED", syns_answered),
        ("RETRANS", syn_retransmits),
        ("SHAKES", handshakes),
        ("RST-CL", resets_by_client),
        ("RST-SV", resets_by_server),
        ("CL-EARLY", resets_by_client_early),
        ("SV-EARLY", resets_by_server_early),
        ("ICMP-ERR", icmp_errors),
        ("ADOPTED", adopted),
        ("DIVERTED", diverted),
        ("CUT", cut),
        ("REFUSED", inserts_refused),
    ]
}
