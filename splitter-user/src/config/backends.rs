//! Owns what a version's backends must be beside the VIPs of the configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::check::Faults;
use super::draft::ServiceDraft;
use super::error::Place;
use crate::model::Vip;

const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// nat does not cross families: every version serves exactly those of the VIPs.
pub(super) fn families(draft: &ServiceDraft, faults: &mut Faults) {
    let service = &draft.service;
    if !draft.vips_whole || service.vips.is_empty() {
        return;
    }
    let has = |wanted| {
        service
            .vips
            .iter()
            .find(|vip| family(vip.address) == wanted)
    };
    for (version, places) in service.versions.iter().zip(&draft.version_at) {
        let lead = format!("service \"{}\", version \"{}\"", service.name, version.name);
        for (backend, at) in version.backends.iter().zip(&places.backend_at) {
            let this = family(backend.address);
            if has(this).is_none() {
                let message = format!(
                    "{lead}: backend {backend} is {this}, but no VIP of the service is; remove it \
                     or add an {this} VIP"
                );
                faults.add(at, message);
            }
        }
        if version.backends.is_empty() || !places.backends_whole {
            continue;
        }
        for wanted in ["IPv4", "IPv6"] {
            let Some(vip) = has(wanted) else { continue };
            let mut of_family = version
                .backends
                .iter()
                .filter(|b| family(b.address) == wanted)
                .peekable();
            if of_family.peek().is_none() {
                let message = format!(
                    "{lead}: no {wanted} backend, but VIP {vip} is {wanted}; every version needs \
                     a backend in each address family of the VIPs"
                );
                faults.add(&places.at, message);
            } else if of_family.all(|backend| backend.weight == 0) {
                let message = format!(
                    "{lead}: every {wanted} backend has weight 0, so no new flow could be served; \
                     to send nobody there, set the version's weight to 0%"
                );
                faults.add(&places.at, message);
            }
        }
    }
}

pub(super) fn backend_addresses(
    draft: &ServiceDraft,
    vips: &BTreeMap<IpAddr, (&str, Vip, &Place)>,
    faults: &mut Faults,
) {
    for (version, places) in draft.service.versions.iter().zip(&draft.version_at) {
        for (backend, at) in version.backends.iter().zip(&places.backend_at) {
            if let Some((owner, vip, other)) = vips.get(&backend.address) {
                let message = format!(
                    "service \"{}\", version \"{}\": backend {backend} has the address of VIP \
                     {vip} of service \"{owner}\" ({other}); a backend needs an address of its own",
                    draft.service.name, version.name
                );
                faults.add(at, message);
            }
        }
    }
}
