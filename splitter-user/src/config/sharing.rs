//! Owns the rule that makes replies unambiguous under nat: (protocol, backend address, backend
//! port) belongs to exactly one VIP and to exactly one version.
//!
//! Invariant: the rule is checked on the endpoints as packets will carry them, that is with the
//! dialled port put in where a backend has none. One mistake is reported once, not once for every
//! packet that would show it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::check::Faults;
use super::draft::ServiceDraft;
use super::error::Place;
use crate::model::{Backend, Protocol, Vip};

/// One way to a backend: which VIP, through which line of the file.
#[derive(Clone, Copy)]
struct Use<'d> {
    service: &'d str,
    version: &'d str,
    vip: Vip,
    vip_at: &'d Place,
    backend: &'d Backend,
    at: &'d Place,
}

impl Use<'_> {
    /// What a complaint begins with.
    fn lead(&self) -> String {
        format!("service \"{}\", version \"{}\"", self.service, self.version)
    }
}

/// Reports every endpoint with two owners.
pub(super) fn check(services: &[&ServiceDraft], faults: &mut Faults) {
    let mut owners: HashMap<(Protocol, IpAddr, u16), Use<'_>> = HashMap::new();
    let mut found: Vec<(&Place, Mistake<'_>, String)> = Vec::new();
    for used in uses(services) {
        // Port 0 stands for every port here, of the VIP and of the backend that keeps it.
        let port = used.backend.port.unwrap_or(used.vip.port);
        let endpoint = (used.vip.protocol, used.backend.address, port);
        if used.vip.port == 0 && port != 0 {
            let (mistake, message) = with_port(&used);
            found.push((used.at, mistake, message));
            continue;
        }
        match owners.get(&endpoint) {
            None => {
                owners.insert(endpoint, used);
            }
            Some(owner) => {
                let endpoint = SocketAddr::new(used.backend.address, port);
                if let Some((mistake, message)) = conflict(owner, &used, endpoint) {
                    found.push((used.at, mistake, message));
                }
            }
        }
    }
    for ((protocol, address, port), used) in &owners {
        let every = owners.get(&(*protocol, *address, 0));
        if let Some(every) = every.filter(|every| *port != 0 && !shadows(used, every)) {
            let (mistake, message) = beside_every_port(used, every);
            found.push((used.at, mistake, message));
        }
    }
    let mut told = HashSet::new();
    for (at, mistake, message) in found {
        if told.insert(mistake) {
            faults.add(at, message);
        }
    }
}

/// Whether packets to `every`, a VIP of every port, never reach the backend port of `used`: the
/// port that leads there is the VIP's own of the same address.
fn shadows(used: &Use<'_>, every: &Use<'_>) -> bool {
    let keeps = used.backend.port.is_none_or(|port| port == used.vip.port);
    keeps && used.vip.address == every.vip.address
}

/// A backend with a port behind a VIP of every port.
fn with_port<'d>(this: &Use<'d>) -> (Mistake<'d>, String) {
    let message = format!(
        "{}: backend {} has a port, but VIP {} ({}) takes every port and keeps the dialled one: \
         write \"{}\"",
        this.lead(),
        this.backend,
        this.vip,
        this.vip_at,
        this.backend.address
    );
    (lines(this, this), message)
}

/// A backend's port that replies of a VIP of every port could come from too.
fn beside_every_port<'d>(this: &Use<'d>, every: &Use<'d>) -> (Mistake<'d>, String) {
    let message = format!(
        "{}: backend {} serves VIP {} ({}), and every port of it serves VIP {} ({}; backend in {}), \
         so that a reply could come from either; use another backend address for one of them",
        this.lead(),
        this.backend,
        this.vip,
        this.vip_at,
        every.vip,
        every.vip_at,
        every.at
    );
    (lines(this, every), message)
}

/// Every VIP with every backend that it reaches, in the order of the files.
fn uses<'d>(services: &[&'d ServiceDraft]) -> impl Iterator<Item = Use<'d>> {
    services.iter().flat_map(|draft| {
        let service = &draft.service;
        let vips = service.vips.iter().zip(&draft.vip_at);
        let versions = service.versions.iter().zip(&draft.version_at);
        let backends = versions.flat_map(|(version, places)| {
            version
                .backends
                .iter()
                .zip(&places.backend_at)
                .map(move |pair| (version, pair))
        });
        backends.flat_map(move |(version, (backend, at))| {
            let same = vips
                .clone()
                .filter(|(vip, _)| vip.address.is_ipv4() == backend.address.is_ipv4());
            same.map(move |(vip, vip_at)| Use {
                service: &service.name,
                version: &version.name,
                vip: *vip,
                vip_at,
                backend,
                at,
            })
        })
    })
}

/// What makes two reports the same mistake.
#[derive(PartialEq, Eq, Hash)]
enum Mistake<'d> {
    /// These two lines name one server.
    Lines(&'d str, u32, u32, &'d str, u32, u32),
    /// These two VIPs meet in the backends of this version.
    Vips(&'d str, &'d str, Vip, Vip),
}

fn lines<'d>(a: &Use<'d>, b: &Use<'d>) -> Mistake<'d> {
    Mistake::Lines(
        &a.at.file,
        a.at.line,
        a.at.column,
        &b.at.file,
        b.at.line,
        b.at.column,
    )
}

/// The complaint about `this`, whose endpoint `owner` has already.
fn conflict<'d>(
    owner: &Use<'d>,
    this: &Use<'d>,
    endpoint: SocketAddr,
) -> Option<(Mistake<'d>, String)> {
    let Use {
        service,
        version,
        vip,
        backend,
        ..
    } = *this;
    let lead = this.lead();
    if owner.service == service && owner.version != version {
        let message = format!(
            "{lead}: backend {backend} is in version \"{}\" ({}) already; a backend belongs to \
             one version: remove it from one of them",
            owner.version, owner.at
        );
        return Some((lines(owner, this), message));
    }
    if owner.service == service && owner.at != this.at {
        let message = format!(
            "{lead}: backend {backend} is the server of {} ({}) again; remove one, or give it a \
             weight: {{ address = \"{backend}\", weight = 2 }}",
            owner.backend, owner.at
        );
        return Some((lines(owner, this), message));
    }
    // A VIP written twice is its own mistake and has been reported.
    if owner.vip == vip {
        return None;
    }
    let mistake = if owner.service == service {
        Mistake::Vips(service, version, owner.vip, vip)
    } else {
        lines(owner, this)
    };
    // The dialled port tells VIPs apart only where they differ in it.
    let way_out = if owner.vip.port == vip.port {
        "another backend port or address for each VIP"
    } else {
        "backends without a port, or another backend port or address for each VIP"
    };
    let other = if owner.service == service {
        String::new()
    } else {
        format!(
            " of service \"{}\" (backend in {})",
            owner.service, owner.at
        )
    };
    let message = format!(
        "{lead}: {endpoint} would serve VIP {vip} ({}) and VIP {} ({}){other}, so that a reply \
         could come from either; under nat a backend's address and port belong to one VIP: use \
         {way_out}",
        this.vip_at, owner.vip, owner.vip_at
    );
    Some((mistake, message))
}
