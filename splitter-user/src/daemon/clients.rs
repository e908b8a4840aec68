//! Owns what is told of clients that were seen lately: who they are, and which of them a change would
//! move, by the law that the kernel runs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use splitter_common::{
    address::Family,
    decide::decide,
    layout::{Counter, ServiceRow},
};

use super::{
    core::{Core, Daemon, Planned, bytes},
    explain::version_name,
    flows::recent::{self, Recent, Seen},
    segments,
};
use crate::{
    api::{
        Refusal,
        types::{ClientLine, ClientList, ClientQuery, OnBackend, SeenMove, SeenMoves},
    },
    config::hint,
    model::SplitKey,
    plan::numbers::ServiceNumbers,
};

/// Clients that one answer may list.
const LIST_MAX: u32 = 10_000;

/// The clients of a service that were seen lately, as many as are asked for.
pub(super) async fn list(
    daemon: &Daemon,
    name: String,
    wanted: ClientQuery,
) -> Result<ClientList, Refusal> {
    if !(1..=LIST_MAX).contains(&wanted.limit) {
        let what = format!("the limit is {}: it must be 1 to {LIST_MAX}", wanted.limit);
        return Err(Refusal::invalid(what));
    }
    let seen = recent::look(daemon, Some(&name)).await?;
    let core = daemon.core.lock().await;
    let service = core.service(&name)?;
    if let Some(version) = &wanted.version
        && service.version(version).is_none()
    {
        let names = service.versions.iter().map(|each| each.name.as_str());
        let names: Vec<&str> = names.collect();
        return Err(Refusal::not_found(format!(
            "service \"{name}\" has no version \"{version}\"{}",
            hint(version, &names)
        )));
    }
    let given = core.state.numbers.service(&name);
    let given = given.map_err(Refusal::internal)?;
    let row = core.plane.maps().service_in_force(u32::from(given.number));
    let version = |recent: &Recent| {
        let owner = given.backend_name(recent.backend);
        owner.map_or("(unknown)", |(version, _)| version).to_owned()
    };
    let meant = |recent: &&Recent| {
        let only = wanted.version.as_ref();
        only.is_none_or(|only| *only == version(recent))
    };
    let all = seen.of(given.number).into_iter();
    let mut all: Vec<&Recent> = all.flat_map(|all| all.iter()).filter(meant).collect();
    all.sort_by_key(|recent| recent.last_seen());
    let more = all.len().saturating_sub(wanted.limit as usize);
    all.truncate(wanted.limit as usize);
    let line = |recent: &Recent| {
        let place = place(&core, given.number, &row, recent);
        ClientLine {
            client: client_text(service.key, recent),
            idle_s: seen.idle_s(recent),
            version: version(recent),
            segment: segments::at(service, given, place).map(|segment| segment.name.clone()),
            open_flows: recent.open,
            flows: recent.flows,
        }
    };
    Ok(ClientList {
        service: name,
        clients: all.into_iter().map(line).collect(),
        more: more as u64,
        sampled_percent: seen.sampled_percent,
    })
}

/// The place of the segment that a client is in.
fn place(core: &Core, number: u16, row: &ServiceRow, recent: &Recent) -> usize {
    let question = recent.question();
    let conditions = core.conditions(number, row, question.client, recent.device());
    decide(row, &question, conditions).place
}

/// A client as it is assigned.
fn client_text(key: SplitKey, recent: &Recent) -> String {
    let question = recent.question();
    let address = question.client;
    let bits = match key {
        SplitKey::Client => (32, 64),
        SplitKey::Client24 => (24, 48),
        SplitKey::Flow => {
            return SocketAddr::new(IpAddr::from(address), question.client_port).to_string();
        }
    };
    let prefix = IpAddr::from(address.prefix(bits.0, bits.1));
    match (address.family(), bits) {
        (Family::V4, (32, _)) => prefix.to_string(),
        (Family::V4, (bits, _)) | (Family::V6, (_, bits)) => format!("{prefix}/{bits}"),
    }
}

/// What a planned change would do to them. `None` where the service is not there before and after it.
pub(super) fn would_move(
    core: &Core,
    name: &str,
    planned: &Planned,
    seen: &Seen,
) -> Option<SeenMoves> {
    let before = core.state.numbers.services.get(name)?;
    let after = planned.state.numbers.services.get(name)?;
    let in_force = core.plane.maps().service_in_force(u32::from(before.number));
    let row = core.planned_row(planned, name)?;
    let version = |row: &ServiceRow, given: &ServiceNumbers, recent: &Recent| {
        let question = recent.question();
        let conditions = core.conditions(given.number, row, question.client, recent.device());
        version_name(given, decide(row, &question, conditions).assigned)
    };
    let ways = |recent: &Recent| {
        let from = version(&in_force, before, recent);
        (from, version(&row, after, recent))
    };
    Some(moves(core, name, before.number, seen, ways))
}

/// Those of a service whose version differs, by both: `ways` says of each which it has and which it would.
pub(super) fn moves(
    core: &Core,
    name: &str,
    number: u16,
    seen: &Seen,
    ways: impl Fn(&Recent) -> (String, String),
) -> SeenMoves {
    let mut told = SeenMoves {
        sampled_percent: seen.sampled_percent,
        ..SeenMoves::default()
    };
    let mut moves = BTreeMap::<(String, String), SeenMove>::new();
    for recent in seen.of(number).iter().flat_map(|all| all.iter()) {
        told.clients += 1;
        let (from, to) = ways(recent);
        if from != to {
            let sum = moves.entry((from, to)).or_default();
            sum.clients += 1;
            sum.open_flows += recent.open;
        }
    }
    let sums = moves.into_iter().map(|((from, to), sum)| SeenMove {
        bytes_estimate: bytes_of(core, name, &from, sum.open_flows),
        from,
        to,
        ..sum
    });
    told.moves = sums.collect();
    told
}

/// Bytes of so many flows, if they are as all of a version were.
fn bytes_of(core: &Core, service: &str, version: &str, flows: u64) -> Option<u64> {
    let totals = core.totals(&core.state.numbers, service, bytes);
    let all = core.totals(&core.state.numbers, service, |cells| {
        cells[Counter::NewFlows as usize]
    });
    let (bytes, all) = (*totals.get(version)?, *all.get(version)?);
    let estimate = u128::from(bytes) * u128::from(flows);
    u64::try_from(estimate.checked_div(u128::from(all))?).ok()
}

/// Who sits on a backend.
pub(super) fn on_backend(
    core: &Core,
    service: &str,
    backend: &str,
    seen: &Seen,
) -> Option<OnBackend> {
    let given = core.state.numbers.services.get(service)?;
    let mut backends = given.backends.values();
    let number = backends.find_map(|all| all.get(backend))?.number;
    let all = seen.of(given.number);
    let clients = all.into_iter().flat_map(|all| all.iter());
    Some(OnBackend {
        open_flows: all
            .and_then(|all| all.open.get(&number).copied())
            .unwrap_or(0),
        clients: clients.filter(|recent| recent.backend == number).count() as u64,
        sampled_percent: seen.sampled_percent,
    })
}
