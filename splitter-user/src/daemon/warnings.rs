//! Owns the warnings: all that an operator should know at once, most urgent first.

use std::collections::BTreeSet;

use super::{core::Core, host, interfaces};
use crate::{model::Backend, net::hops::HopState};

/// What is wrong now, then what the start had to tell.
pub(super) fn warnings(core: &Core) -> Vec<String> {
    let mut warnings: Vec<String> = core.unfinished.iter().cloned().collect();
    warnings.extend(interfaces::warnings(core));
    warnings.extend(hops(core));
    warnings.extend(host::warnings(core));
    warnings.extend(core.warnings.iter().cloned());
    warnings
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
    let (ifname, answers) = match core.hops.get(&backend.address) {
        Some(HopState::Resolved { ifname, .. }) => (ifname, true),
        Some(HopState::Unresolved { ifname, .. }) => (ifname, false),
        Some(HopState::Local) => {
            return Some(format!(
                "{backend} is an address of this host: a nat backend must be another host"
            ));
        }
        Some(HopState::NoRoute) => return Some(format!("no route to {backend}")),
        None => return Some(format!("the next hop to {backend} is not looked up yet")),
    };
    let carries = |name: &String| core.config.interfaces.iter().any(|each| each.name == *name);
    if !carries(ifname) {
        return Some(format!(
            "{backend} is reached by {ifname}, which does not carry the program: its answers \
             reach no client; add [[interface]] name = \"{ifname}\""
        ));
    }
    (!answers).then(|| format!("the next hop to {backend} does not answer"))
}
