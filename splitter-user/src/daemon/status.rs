//! Owns `status`: what is in force beside what was measured.

use std::collections::BTreeMap;

use ipnet::IpNet;
use splitter_common::{
    flow::Table,
    hash::{HashKey, siphash13},
    layout::{COUNTERS, Counter, LAYOUT_VERSION, TableEvent},
};

use super::{
    core::Core, fares, lease::supervision, losses, segments, shares::Counted, times,
    warnings::warnings,
};
use crate::{
    api::{
        Refusal,
        types::{
            BackendStatus, Counters, FlowRules, HttpTurns, Limit, Overlay, ReasonCount,
            ServiceStatus, ServiceSummary, Status, VersionStatus, VersionWeight,
        },
    },
    health::VersionServed,
    model::{Backend, FlowLimit, Service, Version},
    net::hops::HopState,
    plan::numbers::ServiceNumbers,
    state::{OverlayRecord, weights},
};

/// Everything.
pub(super) fn status(core: &Core) -> Status {
    let services = core
        .config
        .services
        .iter()
        .filter_map(|service| service_status(core, service).ok());
    let reasons = core
        .plane
        .maps()
        .reasons()
        .into_iter()
        .map(|(reason, verdict, packets)| ReasonCount {
            reason: reason.name().into(),
            verdict: verdict.name().into(),
            packets,
        });
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        layout_version: LAYOUT_VERSION,
        generation: u64::from(core.plane.generation()),
        uptime_s: core.began.elapsed().as_secs(),
        config_path: core.config_path.display().to_string(),
        secret_digest: core.secret.digest(),
        config_digest: config_digest(core),
        hz: core.plane.hz(),
        interfaces: core.interfaces.clone(),
        services: services.collect(),
        tables: core.estimates.tables(|table| table_events(core, table)),
        losses: losses::told(core),
        reasons: reasons.collect(),
        warnings: warnings(core),
    }
}

/// Every service in brief.
pub(super) fn summaries(core: &Core) -> Vec<ServiceSummary> {
    let summary = |service: &Service| {
        let weights = service.weights();
        let version = |version: &Version| VersionWeight {
            name: version.name.clone(),
            baseline: version.baseline,
            weight: weights[&version.name].to_string(),
        };
        ServiceSummary {
            name: service.name.clone(),
            vips: service.vips.iter().map(ToString::to_string).collect(),
            versions: service.versions.iter().map(version).collect(),
        }
    };
    core.config.services().map(summary).collect()
}

/// Two hosts with the same services in force, weights, releases and lists included, the same rules of
/// devices, and the same secret, which the salts are drawn from with their releases, show the same digest;
/// others show others.
pub(super) fn config_digest(core: &Core) -> String {
    let config = &core.config;
    let decides = (&config.services, &config.devices, core.secret.digest());
    let text = serde_json::to_vec(&decides).unwrap_or_default();
    format!("{:016x}", siphash13(HashKey::default(), &text))
}

/// One service; fails only where it has no numbers, which every service in force has.
pub(super) fn service_status(core: &Core, service: &Service) -> Result<ServiceStatus, Refusal> {
    let given = core.state.numbers.service(&service.name);
    let given = given.map_err(Refusal::internal)?;
    let since = core.state.since.get(&service.name);
    let mut flows = core.new_flows(&core.state.numbers, &service.name);
    for (version, base) in since.iter().flat_map(|since| &since.new_flows) {
        if let Some(count) = flows.get_mut(version) {
            *count = count.saturating_sub(*base);
        }
    }
    let overlay = core.state.overlays.get(&service.name).map(overlay);
    let served = core.serve_now(service, &core.state).versions;
    let versions = service.versions.iter().zip(served);
    let counted = Counted::read(core, service, given);
    Ok(ServiceStatus {
        name: service.name.clone(),
        vips: service.vips.iter().map(ToString::to_string).collect(),
        forward: service.forward.to_string(),
        key: service.key.to_string(),
        affinity: affinity(service),
        release: service.release.clone(),
        generation: u64::from(given.generation),
        since: since.map(|since| since.at.clone()),
        versions: versions
            .map(|(version, served)| VersionStatus {
                shares: counted.of(&version.name),
                ..version_status(core, service, version, &served, given, &flows)
            })
            .collect(),
        overlay,
        segments: segments::statuses(core, service, given),
        by_hash: segments::flows(core, given, 0),
        supervision: supervision(core, service),
        flows: flow_rules(core, service, given),
    })
}

/// Weights that were set at run time.
pub(super) fn overlay(record: &OverlayRecord) -> Overlay {
    let weights = weights(&record.weights_ppm).into_iter();
    Overlay {
        weights: weights
            .map(|(name, weight)| (name, weight.to_string()))
            .collect(),
        by: record.by.clone(),
        at: record.at.clone(),
        reason: record.reason.clone(),
    }
}

/// What a table of flows has counted: inserts and removals.
fn table_events(core: &Core, table: Table) -> [u64; 2] {
    let events = match table {
        Table::Pending => [TableEvent::PendingInserts, TableEvent::PendingRemovals],
        Table::Established => [
            TableEvent::EstablishedInserts,
            TableEvent::EstablishedRemovals,
        ],
    };
    events.map(|event| core.plane.maps().table_events(event))
}

fn flow_rules(core: &Core, service: &Service, given: &ServiceNumbers) -> FlowRules {
    let texts = |prefixes: &[IpNet]| prefixes.iter().map(ToString::to_string).collect();
    let limit = |limit: FlowLimit| Limit {
        flows_per_s: limit.flows_per_s,
        burst: limit.burst,
    };
    FlowRules {
        fate: service.flows.to_string(),
        ends_in_s: core.plane.endings_in_s(u32::from(given.number)),
        denied: texts(&service.deny),
        allowed: texts(&service.allow),
        limit: service.limits.all.map(limit),
        client_limit: service.limits.each.map(limit),
    }
}

fn affinity(service: &Service) -> String {
    let mut kinds: Vec<String> = service
        .vips
        .iter()
        .map(|vip| format!("{} {}", vip.protocol, service.affinity_for(vip.protocol)))
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds.join(", ")
}

fn version_status(
    core: &Core,
    service: &Service,
    version: &Version,
    served: &VersionServed,
    given: &ServiceNumbers,
    flows: &BTreeMap<String, u64>,
) -> VersionStatus {
    let file = core.file.service(&service.name);
    let percent = |service: &Service| {
        let weights = service.weights();
        weights
            .get(&version.name)
            .map_or(0.0, |weight| f64::from(weight.ppm()) / 10_000.0)
    };
    let all: u64 = flows.values().sum();
    let own = flows.get(&version.name).copied().unwrap_or(0);
    let retired = given
        .versions
        .get(&version.name)
        .map_or([0; COUNTERS], |number| number.retired);
    let mut sum = retired;
    let mut backends = Vec::new();
    for backend in &version.backends {
        let cells = backend_cells(core, version, backend, given);
        for (total, cell) in sum.iter_mut().zip(cells) {
            *total += cell;
        }
        let (next_hop, next_hop_state) = next_hop(core, backend);
        backends.push(BackendStatus {
            address: backend.to_string(),
            weight: backend.weight,
            next_hop,
            next_hop_state,
            health: fares::backend(core, service, version, backend),
            counters: counters(&cells),
            times: given
                .backend(&version.name, backend)
                .map(|number| times::of_backend(&core.plane, number.number))
                .unwrap_or_default(),
            http: service.http1.then(|| http_turns(&cells)),
        });
    }
    let number = given.versions.get(&version.name);
    VersionStatus {
        name: version.name.clone(),
        baseline: version.baseline,
        weight_percent: percent(service),
        file_weight_percent: file.map_or(0.0, percent),
        shares: Default::default(),
        share_flows: (all > 0).then(|| own as f64 / all as f64),
        new_flows_since: own,
        open_flows: core.estimates.of_version(version, given),
        counters: counters(&sum),
        times: number
            .map(|number| times::of_version(&core.plane, u32::from(given.number), number.index))
            .unwrap_or_default(),
        http: service.http1.then(|| http_turns(&sum)),
        met_empty: number.map_or(0, |number| {
            core.plane
                .maps()
                .emptied(u32::from(given.number), number.index)
        }),
        healthy: served.healthy,
        on_empty: version.on_empty().to_string(),
        panic: served.panic.contains(&true),
        empty: served.empty.contains(&true),
        backends,
    }
}

/// What a backend has counted since it was given its number.
fn backend_cells(
    core: &Core,
    version: &Version,
    backend: &Backend,
    given: &ServiceNumbers,
) -> [u64; COUNTERS] {
    let Ok(number) = given.backend(&version.name, backend) else {
        return [0; COUNTERS];
    };
    let mut cells = core.plane.counters(number.number).cells;
    for (cell, base) in cells.iter_mut().zip(*number.base) {
        *cell = cell.saturating_sub(base);
    }
    cells
}

fn next_hop(core: &Core, backend: &Backend) -> (Option<String>, String) {
    match core.hops.get(&backend.address) {
        Some(HopState::Resolved { mac, ifname, .. }) => {
            let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            (
                Some(format!("{} via {ifname}", mac.join(":"))),
                "resolved".to_owned(),
            )
        }
        Some(HopState::Unresolved { ifname, .. }) => (None, format!("unresolved on {ifname}")),
        Some(HopState::Local) => (None, "local".to_owned()),
        Some(HopState::NoRoute) => (None, "no route".to_owned()),
        None => (None, "not looked up yet".to_owned()),
    }
}

pub(super) fn counters(cells: &[u64; COUNTERS]) -> Counters {
    let cell = |counter: Counter| cells[counter as usize];
    Counters {
        packets_in: cell(Counter::PacketsIn),
        bytes_in: cell(Counter::BytesIn),
        packets_out: cell(Counter::PacketsOut),
        bytes_out: cell(Counter::BytesOut),
        new_flows: cell(Counter::NewFlows),
        handshakes: cell(Counter::Handshakes),
        syns_begun: cell(Counter::SynsBegun),
        syns_answered: cell(Counter::SynsAnswered),
        resets_by_client: cell(Counter::ResetsByClient),
        resets_by_server: cell(Counter::ResetsByServer),
        resets_by_client_early: cell(Counter::ResetsByClientEarly),
        resets_by_server_early: cell(Counter::ResetsByServerEarly),
        syn_retransmits: cell(Counter::SynRetransmits),
        icmp_errors: cell(Counter::IcmpErrors),
        adopted: cell(Counter::Adopted),
        diverted: cell(Counter::Diverted),
        cut: cell(Counter::Cut),
        inserts_refused: cell(Counter::InsertsRefused),
    }
}

pub(super) fn http_turns(cells: &[u64; COUNTERS]) -> HttpTurns {
    let cell = |counter: Counter| cells[counter as usize];
    HttpTurns {
        http_2xx: cell(Counter::Http2xx),
        http_3xx: cell(Counter::Http3xx),
        http_4xx: cell(Counter::Http4xx),
        http_5xx: cell(Counter::Http5xx),
        http_other: cell(Counter::HttpOther),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_that_the_program_counts_in_is_told() {
        let cells: [u64; COUNTERS] = std::array::from_fn(|cell| 1_000 + cell as u64);
        let counters = serde_json::to_value(counters(&cells)).expect("JSON");
        let http = serde_json::to_value(http_turns(&cells)).expect("JSON");
        let mut told: Vec<u64> = [counters, http]
            .iter()
            .filter_map(serde_json::Value::as_object)
            .flat_map(serde_json::Map::values)
            .filter_map(serde_json::Value::as_u64)
            .collect();
        told.sort_unstable();
        assert_eq!(told, cells, "each once, in the field of another never");
    }
}
