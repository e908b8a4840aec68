//! Owns what must hold between values of the configuration.
//!
//! Invariant: a draft without complaint from here can be carried out by the kernel as it stands.
//! A value that could not be read has been reported already and is not missed a second time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use splitter_common::capacity::MAX_VERSIONS;

use super::backends::{backend_addresses, families};
use super::devices;
use super::draft::{Draft, ServiceDraft, VersionPlaces};
use super::error::{ConfigError, Place};
use super::health;
use super::sharing;
use super::weights::check_weights;
use crate::model::{Version, Vip, needs};

/// What is wrong, gathered.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<ConfigError>);

impl Faults {
    pub(super) fn add(&mut self, place: &Place, message: String) {
        self.0.push(ConfigError {
            place: place.clone(),
            message,
        });
    }
}

/// Everything that is wrong with the draft; `start` is the beginning of the main file.
pub(super) fn check(draft: &Draft, start: &Place) -> Vec<ConfigError> {
    let mut faults = Faults::default();
    interfaces(draft, start, &mut faults);
    if draft.services.is_empty() {
        let message = "no service: write [service.NAME] with its `vips` and versions, here or in \
                       a file of conf.d";
        faults.add(start, message.to_owned());
    }
    let distinct = services(draft, &mut faults);
    let vips = vips(&distinct, &mut faults);
    for service in &draft.services {
        versions(service, &mut faults);
        weights(service, &mut faults);
        families(service, &mut faults);
        backend_addresses(service, &vips, &mut faults);
        health::sound(service, &mut faults);
    }
    sharing::check(&distinct, &mut faults);
    capacities(draft, start, &mut faults);
    faults.0.extend(devices::check(&draft.devices));
    faults.0
}

fn interfaces(draft: &Draft, start: &Place, faults: &mut Faults) {
    if draft.interfaces.is_empty() && !draft.interfaces_missed {
        let message = "no interface: write [[interface]] with `name = \"eth0\"` for each interface \
                       that clients or backends are reached through";
        faults.add(start, message.to_owned());
    }
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    for (interface, at) in &draft.interfaces {
        if let Some(other) = seen.insert(&interface.name, at) {
            let name = &interface.name;
            faults.add(
                at,
                format!("interface \"{name}\" stands in {other} already; remove one"),
            );
        }
    }
}

/// Reports repeated services, and returns every service once: what a copy shares with the first is
/// no news. Only files can repeat a service: within one, TOML itself refuses it.
fn services<'d>(draft: &'d Draft, faults: &mut Faults) -> Vec<&'d ServiceDraft> {
    let mut distinct = Vec::new();
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    for service in &draft.services {
        let name = &service.service.name;
        if let Some(other) = seen.get(name.as_str()) {
            let message =
                format!("service \"{name}\" stands in {other} already; remove or rename one");
            faults.add(&service.at, message);
        } else {
            seen.insert(name, &service.at);
            distinct.push(service);
        }
    }
    distinct
}

/// Every VIP and its owner.
fn vips<'d>(
    services: &[&'d ServiceDraft],
    faults: &mut Faults,
) -> BTreeMap<IpAddr, (&'d str, Vip, &'d Place)> {
    let mut seen: BTreeMap<Vip, (&str, &Place)> = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for draft in services {
        let name = draft.service.name.as_str();
        if draft.service.vips.is_empty() && draft.vips_whole {
            let message =
                format!("service \"{name}\": no VIP; write `vips = [\"203.0.113.10:443/tcp\"]`");
            faults.add(&draft.at, message);
        }
        for (vip, at) in draft.service.vips.iter().zip(&draft.vip_at) {
            addresses.entry(vip.address).or_insert((name, *vip, at));
            if let Some((owner, other)) = seen.insert(*vip, (name, at)) {
                let message = format!(
                    "service \"{name}\": VIP {vip} belongs to service \"{owner}\" in {other} \
                     already; remove one"
                );
                faults.add(at, message);
            }
        }
    }
    addresses
}

fn versions(draft: &ServiceDraft, faults: &mut Faults) {
    let service = &draft.service;
    let name = &service.name;
    if !draft.versions_whole {
        return;
    }
    if service.versions.is_empty() {
        let message = format!(
            "service \"{name}\": no version; write [service.{name}.version.stable] with \
             `baseline = true` and `backends`"
        );
        faults.add(&draft.at, message);
        return;
    }
    if service.versions.len() > MAX_VERSIONS {
        let count = service.versions.len();
        let message = format!("service \"{name}\": {count} versions; at most {MAX_VERSIONS} fit");
        faults.add(&draft.at, message);
    }
    let pairs = || service.versions.iter().zip(&draft.version_at);
    let mut baselines = pairs().filter(|(version, _)| version.baseline);
    match baselines.next() {
        None => no_baseline(draft, faults),
        Some((first, _)) => {
            for (version, places) in baselines {
                let (this, first) = (&version.name, &first.name);
                let message = format!(
                    "service \"{name}\": \"{first}\" and \"{this}\" are both the baseline; keep \
                     one and give the other a weight"
                );
                faults.add(&places.at, message);
            }
            let bare = pairs().filter(|(v, at)| !v.baseline && at.weight_at.is_none());
            for (version, places) in bare {
                faults.add(&places.at, no_weight(name, version));
            }
        }
    }
    for (version, places) in pairs() {
        empty(name, version, places, faults);
    }
}

fn no_weight(service: &str, version: &Version) -> String {
    let version = &version.name;
    format!(
        "service \"{service}\", version \"{version}\": no weight; write `weight = \"0%\"` to begin"
    )
}

/// A version without a weight is probably the one that should be the baseline.
fn no_baseline(draft: &ServiceDraft, faults: &mut Faults) {
    let service = &draft.service;
    let pairs = service.versions.iter().zip(&draft.version_at);
    let bare: Vec<_> = pairs
        .filter(|(_, places)| places.weight_at.is_none())
        .collect();
    let (at, which) = match bare.as_slice() {
        [(version, places)] => (&places.at, format!("version \"{}\"", version.name)),
        [] | [..] => (
            &draft.at,
            "the version that serves everybody now".to_owned(),
        ),
    };
    let message = format!(
        "service \"{}\": no version is the baseline; put `baseline = true` in {which}, without a \
         weight",
        service.name
    );
    faults.add(at, message);
}

fn empty(service: &str, version: &Version, places: &VersionPlaces, faults: &mut Faults) {
    if version.backends.is_empty() && places.backends_whole {
        let message = format!(
            "service \"{service}\", version \"{}\": no backend; write `backends = \
             [\"10.0.1.11:8443\"]`",
            version.name
        );
        faults.add(&places.at, message);
    }
}

fn weights(draft: &ServiceDraft, faults: &mut Faults) {
    if let Err(error) = check_weights(&draft.service, &BTreeMap::new()) {
        // The last weight of the file is the likeliest to be the new one.
        let last = draft
            .version_at
            .iter()
            .rev()
            .find_map(|places| places.weight_at.as_ref());
        faults.add(last.unwrap_or(&draft.at), error.to_string());
    }
}

fn capacities(draft: &Draft, start: &Place, faults: &mut Faults) {
    let services = draft.services.iter().map(|draft| &draft.service);
    let limits = draft.limits.as_ref().map(|(limits, _)| *limits);
    for need in needs(services, &limits.unwrap_or_default()) {
        if !need.fits() {
            faults.add(start, need.to_string());
        }
    }
}
