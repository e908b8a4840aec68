//! Owns the warnings: all that an operator should know at once, most urgent first.

use std::collections::BTreeSet;

use splitter_common::layout::Counter;

use super::{cohorts, core::Core, evidence, fares, host, interfaces, reload};
use crate::{api::types::InterfaceStatus, model::Backend, net::hops::HopState};

/// What is wrong now, then what the start or the last reload had to tell.
pub(super) fn warnings(core: &Core) -> Vec<String> {
    let mut warnings: Vec<String> = core.unfinished.iter().cloned().collect();
    warnings.extend(versions(core));
    warnings.extend(cohorts::warnings(core));
    warnings.extend(evidence::warnings(core));
    warnings.extend(interfaces::warnings(core));
    warnings.extend(core.losses.warnings(core));
    warnings.extend(reload::warnings(core));
    warnings.extend(hops(core));
    warnings.extend(core.answers.warnings().cloned());
    warnings.extend(tables(core));
    warnings.extend(core.estimates.warnings());
    warnings.extend(core.no_metrics.iter().chain(&core.no_history).cloned());
    warnings.extend(host::warnings(core));
    warnings.extend(core.warnings.iter().cloned());
    warnings
}

/// Versions of which too little is left.
fn versions(core: &Core) -> Vec<String> {
    let mut told = Vec::new();
    for service in &core.config.services {
        let served = core.serve_now(service, &core.state).versions;
        for at in 0..served.len() {
            let lines = fares::of_version(service, at, &served).into_iter();
            told.extend(lines.map(|line| format!("service {}: {line}", service.name)));
        }
    }
    told
}

/// Flows that found no room.
fn tables(core: &Core) -> Option<String> {
    let numbers = core.state.numbers.backend_numbers();
    let cell = Counter::InsertsRefused as usize;
    let refused: u64 = numbers
        .map(|backend| {
            core.plane.counters(backend.number).cells[cell].saturating_sub(backend.base[cell])
        })
        .sum();
    (refused > 0).then(|| {
        format!(
            "{refused} flows were refused by the flow tables and go by decision alone: raise \
             [limits], which takes `splitter detach` and a start"
        )
    })
}

fn hops(core: &Core) -> BTreeSet<String> {
    let versions = core
        .config
        .services
        .iter()
        .flat_map(|service| &service.versions);
    let backends = versions.flat_map(|version| &version.backends);
    backends.filter_map(|backend| hop(core, backend)).collect()
}

fn hop(core: &Core, backend: &Backend) -> Option<String> {
    let (ifname, ifindex, answers) = match core.hops.get(&backend.address) {
        Some(HopState::Resolved {
            ifname, ifindex, ..
        }) => (ifname, ifindex, true),
        Some(HopState::Unresolved {
            ifname, ifindex, ..
        }) => (ifname, ifindex, false),
        Some(HopState::Local) => {
            return Some(format!(
                "{backend} is an address of this host: a nat backend must be another host"
            ));
        }
        Some(HopState::NoRoute) => return Some(format!("no route to {backend}")),
        None => return Some(format!("the next hop to {backend} is not looked up yet")),
    };
    // By number too: an interface may be called otherwise by now.
    let carries = |each: &InterfaceStatus| each.name == *ifname || each.ifindex == *ifindex;
    if !core.interfaces.iter().any(carries) {
        return Some(format!(
            "{backend} is reached by {ifname}, which does not carry the program: its answers \
             reach no client; add [[interface]] name = \"{ifname}\""
        ));
    }
    (!answers).then(|| format!("the next hop to {backend} does not answer"))
}
