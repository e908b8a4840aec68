//! Owns `explain`: where a client goes and why, from the row that is in force in the kernel and
//! by the code that the kernel runs.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use splitter_common::{
    address::{Address, Family},
    capacity::PAGE_CELLS,
    clock::Jiffies,
    decide::{Decision, Question, decide},
    device,
    flow::{Entry, Table, law},
    layout::FlowKey,
    split::Cuts,
    weight::{WHOLE_PPM, Weight},
};

use super::{cohorts, core::Core, devices, flows::FlowState, segments, weights::intervals};
use crate::{
    api::{
        Refusal,
        types::{Cut, Explanation, LiveFlow},
    },
    model::{Affinity, Service, SplitKey, Vip},
    plan::numbers::ServiceNumbers,
};

/// Explains a client's assignment.
pub(super) fn explain(
    core: &mut Core,
    name: &str,
    client: IpAddr,
    port: Option<u16>,
    vip: Option<Vip>,
) -> Result<Explanation, Refusal> {
    let service = core.service(name)?.clone();
    let Dialled { vip, port: dialled } = dialled(&service, client, port, vip)?;
    let given = core
        .state
        .numbers
        .service(name)
        .map_err(Refusal::internal)?
        .clone();
    let row = core.plane.maps().service_in_force(u32::from(given.number));
    let question = Question {
        client: Address::from(client),
        client_port: port.unwrap_or(0),
        port: dialled,
        protocol: vip.protocol.number(),
    };
    core.plane.jiffies().map_err(Refusal::internal)?;
    let traits = core.traits(given.number, &row, question.client, device::UNKNOWN);
    let conditions = core.plane.conditions_lately(&row, question.client, traits);
    let conditions = conditions.map_err(Refusal::internal)?;
    let decision = decide(&row, &question, conditions);
    let cohorts = cohorts::of_client(core, &service, question.client)?;
    let segment = segments::at(&service, &given, decision.place);
    let (backend, backend_note) = backend(core, &service, &given, &vip, port, &decision);
    let live_flow = match port {
        Some(_) => live_flow(core, &given, &vip, &question)?,
        None => None,
    };
    Ok(Explanation {
        service: name.to_owned(),
        vip: Vip {
            port: dialled,
            ..vip
        }
        .to_string(),
        client: port.map_or_else(
            || client.to_string(),
            |port| SocketAddr::new(client, port).to_string(),
        ),
        key: service.key.to_string(),
        assignment: assignment(&service, client, port, dialled, &vip),
        hash_hex: format!("{:#010x}", decision.u),
        hash_fraction: f64::from(decision.u) / (1u64 << 32) as f64,
        cuts: cuts(&row.cuts[decision.place], &given),
        segments: segments::tried(&service, &given, decision.place),
        cohorts,
        traits: devices::of_client(core, given.number, &row, question.client),
        segment: segment.map(|segment| segment.name.clone()),
        version: version_name(&given, decision.version),
        backend,
        backend_note,
        denied: denied(&service, client),
        live_flow,
        moves_at: match segment {
            Some(segment) => moves_at(&service.under(segment), decision.u),
            None => moves_at(&service, decision.u),
        },
    })
}

/// Why a service does not serve a client: by the lists of its configuration, which are those that
/// the kernel has.
fn denied(service: &Service, client: IpAddr) -> Option<String> {
    if let Some(prefix) = service.deny.iter().find(|prefix| prefix.contains(&client)) {
        return Some(format!("{prefix} is denied"));
    }
    let allows = |prefix: &IpNet| prefix.contains(&client);
    let left_out = !service.allow.is_empty() && !service.allow.iter().any(allows);
    left_out.then(|| "none of the prefixes of `allow` has it".to_owned())
}

pub(super) fn version_name(given: &ServiceNumbers, index: usize) -> String {
    given
        .version_name(index as u8)
        .unwrap_or("(unknown)")
        .to_owned()
}

/// A VIP of the service and the port that the client dials there; what makes a client's way clear.
pub(super) struct Dialled {
    pub(super) vip: Vip,
    pub(super) port: u16,
}

pub(super) fn dialled(
    service: &Service,
    client: IpAddr,
    port: Option<u16>,
    asked: Option<Vip>,
) -> Result<Dialled, Refusal> {
    let vip = pick_vip(service, client, asked)?;
    if service.key == SplitKey::Flow && port.is_none() {
        let what = format!("service \"{}\" splits by flow", service.name);
        return Err(Refusal::invalid(what)
            .with_hint("give the client's port too: CLIENT:PORT, [CLIENT]:PORT for IPv6"));
    }
    let dialled = asked.map_or(vip.port, |asked| asked.port);
    // Neither an assignment by client nor its version depends on the port.
    if dialled == 0 && (port.is_some() || service.key == SplitKey::Flow) {
        let example = Vip { port: 443, ..vip };
        return Err(Refusal::invalid(format!("VIP {vip} takes every port"))
            .with_hint(format!("name the one that is dialled: --vip {example}")));
    }
    Ok(Dialled { vip, port: dialled })
}

fn pick_vip(service: &Service, client: IpAddr, vip: Option<Vip>) -> Result<Vip, Refusal> {
    let all = || {
        let vips: Vec<String> = service.vips.iter().map(ToString::to_string).collect();
        format!("service \"{}\" has: {}", service.name, vips.join(", "))
    };
    let of_port = |asked: Vip| service.vips.iter().find(move |vip| **vip == asked);
    let owner = |asked: Vip| of_port(asked).or_else(|| of_port(Vip { port: 0, ..asked }));
    match vip {
        Some(vip) if owner(vip).is_none() => {
            Err(Refusal::not_found(format!("no VIP {vip}")).with_hint(all()))
        }
        Some(vip) if vip.address.is_ipv4() != client.is_ipv4() => Err(Refusal::invalid(format!(
            "client {client} cannot dial {vip}: another family"
        ))
        .with_hint(all())),
        Some(vip) => Ok(owner(vip).copied().unwrap_or(vip)),
        None => {
            let of_family = service
                .vips
                .iter()
                .find(|vip| vip.address.is_ipv4() == client.is_ipv4());
            of_family.copied().ok_or_else(|| {
                Refusal::invalid(format!("no VIP of the family of {client}")).with_hint(all())
            })
        }
    }
}

fn assignment(
    service: &Service,
    client: IpAddr,
    port: Option<u16>,
    dialled: u16,
    vip: &Vip,
) -> String {
    let address = Address::from(client);
    let (v4, v6) = match service.key {
        SplitKey::Client => (32, 64),
        SplitKey::Client24 => (24, 48),
        SplitKey::Flow => {
            let vip = Vip {
                port: dialled,
                ..*vip
            };
            return format!("{client} port {} to {vip}", port.unwrap_or(0));
        }
    };
    let bits = match address.family() {
        Family::V4 => v4,
        Family::V6 => v6,
    };
    format!("{}/{bits}", IpAddr::from(address.prefix(v4, v6)))
}

/// The hash space as cut points of the kernel cut it among the versions.
pub(super) fn cuts(cuts: &Cuts, given: &ServiceNumbers) -> Vec<Cut> {
    let whole = (1u64 << 32) as f64 / 100.0;
    cuts.intervals()
        .map(|(version, first, last)| Cut {
            version: version_name(given, version),
            from_percent: f64::from(first) / whole,
            to_percent: (f64::from(last) + 1.0) / whole,
        })
        .collect()
}

/// The backend of a new flow, or why it cannot be told.
pub(super) fn backend(
    core: &Core,
    service: &Service,
    given: &ServiceNumbers,
    vip: &Vip,
    port: Option<u16>,
    decision: &Decision,
) -> (Option<String>, Option<String>) {
    if decision.table.cells == 0 {
        return (
            None,
            Some("the version has no backend for this family".to_owned()),
        );
    }
    if service.affinity_for(vip.protocol) == Affinity::Flow && port.is_none() {
        let note = "each flow draws its own backend: give CLIENT:PORT to see one";
        return (None, Some(note.to_owned()));
    }
    let page = decision.table.page + decision.cell / PAGE_CELLS as u32;
    let cells = core.plane.maps().pages.read(page).cells;
    let number = u32::from(cells[decision.cell as usize % PAGE_CELLS]);
    match given.backend_name(number) {
        Some((owner, address)) => {
            let assigned = version_name(given, decision.version);
            let guest = (owner != assigned)
                .then(|| format!("{assigned} is empty, and its clients are served by {owner}"));
            (Some(address.to_owned()), guest)
        }
        None => (
            None,
            Some(format!(
                "the table names backend number {number}, which is unknown"
            )),
        ),
    }
}

fn live_flow(
    core: &mut Core,
    given: &ServiceNumbers,
    vip: &Vip,
    question: &Question,
) -> Result<Option<LiveFlow>, Refusal> {
    let frontend = given.frontend(vip).map_err(Refusal::internal)?;
    let key = FlowKey {
        client: question.client,
        client_port: question.client_port,
        frontend: frontend.number,
        port: question.port,
        zero: 0,
    };
    let now = Jiffies(core.plane.jiffies().map_err(Refusal::internal)?).low();
    for table in [Table::Established, Table::Pending] {
        let Some(entry) = core.plane.flow(table, &key) else {
            continue;
        };
        let Some(entry) = Entry::unpack(&entry, key.tag()) else {
            continue;
        };
        let row = core.plane.maps().backends.read(entry.backend);
        let clock = law::Now {
            jiffies: now,
            hz: core.plane.hz(),
        };
        let born = frontend.born.max(row.born);
        let Some(state) = FlowState::of(&entry, table, vip.protocol, born, clock) else {
            continue;
        };
        let backend = given
            .backend_name(entry.backend)
            .map(|(_, address)| address.to_owned());
        return Ok(Some(LiveFlow {
            state: state.name().to_owned(),
            version: version_name(given, usize::from(entry.version)),
            backend: backend.unwrap_or_else(|| "(unknown)".to_owned()),
            generation: u64::from(entry.generation),
            idle_s: f64::from(now.since(entry.seen)) / f64::from(core.plane.hz().max(1)),
        }));
    }
    Ok(None)
}

/// The smallest weight at which the client belongs to each version, all other weights as they
/// are. Membership only grows with a version's own weight, so a bisection finds it.
fn moves_at(service: &Service, u: u32) -> Option<String> {
    let ppm: Vec<u32> = service
        .versions
        .iter()
        .map(|version| version.weight.ppm())
        .collect();
    let baseline = service
        .versions
        .iter()
        .position(|version| version.baseline)?;
    let taken: u32 = ppm
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != baseline)
        .map(|(_, ppm)| ppm)
        .sum();
    let mut sentences = Vec::new();
    for (index, version) in service
        .versions
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != baseline)
    {
        let holds = |weight: u32| {
            let mut weights = ppm.clone();
            weights[index] = weight;
            Cuts::new(&weights, baseline).is_ok_and(|cuts| cuts.version_of(u) == index)
        };
        let most = WHOLE_PPM - (taken - ppm[index]);
        if !holds(most) {
            continue;
        }
        let (mut below, mut from) = (0, most);
        while below < from {
            let middle = below + (from - below) / 2;
            if holds(middle) {
                from = middle;
            } else {
                below = middle + 1;
            }
        }
        let weight = Weight::from_ppm(from)?;
        sentences.push(format!("in {} from {weight} on", version.name));
    }
    let here = intervals(service)
        .into_iter()
        .find(|(_, first, last)| (*first..=*last).contains(&u));
    let here = here.map(|(name, _, _)| name)?;
    if sentences.is_empty() {
        return Some(format!(
            "stays in {here} at every weight of one other version"
        ));
    }
    Some(format!(
        "now in {here}; {} (other weights as they are)",
        sentences.join(", ")
    ))
}
