//! Owns what tests do with a data plane in memory: open one, forget what it has learned, let time go
//! by, and read what it has counted.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context as _, Result};
use splitter_common::{
    address::Address,
    cohort::{self, MemberRow, Membership},
    flow::Table,
    reason::Reason,
};
use splitter_user::{
    dataplane::{DataPlane, Options},
    model::{Config, FlowFate, Limits},
};

const TABLES: [Table; 2] = [Table::Pending, Table::Established];

/// A data plane that nothing outlives, with room for so many flows in either table.
///
/// # Errors
///
/// Mostly when the caller is not root.
pub fn in_memory(flows: u32) -> Result<DataPlane> {
    in_memory_with(Limits {
        flows,
        pending: flows,
        ..Limits::default()
    })
}

/// The same with limits of the caller's.
///
/// # Errors
///
/// Mostly when the caller is not root.
pub fn in_memory_with(limits: Limits) -> Result<DataPlane> {
    Ok(DataPlane::open(&Options {
        pin_dir: None,
        limits,
    })?)
}

/// Forgets flows, fragments, clients and members of cohorts, and what flows are looked at for.
///
/// # Errors
///
/// When an element does not go.
pub fn forget(plane: &mut DataPlane) -> Result<()> {
    for table in TABLES {
        for key in plane.maps().flow_keys(table) {
            plane.maps_mut().remove_flow(table, &key)?;
        }
    }
    plane.forget_rechecks();
    plane.forget_clients()?;
    let members = plane.members();
    let addresses = members.rows()?.into_iter().map(|(address, _)| address);
    members.remove(&addresses.collect::<Vec<_>>())?;
    forget_fragments(plane)
}

/// Forgets where the fragments of datagrams go.
///
/// # Errors
///
/// When an element does not go.
pub fn forget_fragments(plane: &mut DataPlane) -> Result<()> {
    for (key, _) in plane.maps().fragments() {
        plane.maps_mut().remove_fragment(&key)?;
    }
    Ok(())
}

/// Makes all flows and fragments older, and brings the ends of flows nearer: the kernel's clock cannot
/// be set.
///
/// # Errors
///
/// When an element goes meanwhile.
pub fn age(plane: &mut DataPlane, seconds: u32) -> Result<()> {
    let jiffies = seconds * plane.hz();
    plane.advance_rechecks(u64::from(jiffies));
    plane.age_slices(jiffies);
    for table in TABLES {
        for key in plane.maps().flow_keys(table) {
            let found = plane.flow(table, &key);
            let mut entry = found.context("a flow that was listed")?;
            let (seen, began) = (entry.words[2] as u32, (entry.words[2] >> 32) as u32);
            let older = |time: u32| u64::from(time.wrapping_sub(jiffies));
            entry.words[2] = older(seen) | older(began) << 32;
            entry.words[8] = asked_earlier(table, entry.words[8], seconds);
            plane.maps_mut().put_flow(table, &key, &entry)?;
        }
    }
    age_members(plane, u64::from(jiffies))?;
    age_clients(plane, seconds)?;
    for (key, mut row) in plane.maps().fragments() {
        row.seen = row.seen.wrapping_sub(jiffies);
        plane.maps_mut().put_fragment(&key, &row)?;
    }
    Ok(())
}

/// The last word of a flow, with the time of its SYN or of what its client asked last earlier: 31 bits
/// of microseconds, of which 0 says that there is none.
fn asked_earlier(table: Table, word: u64, seconds: u32) -> u64 {
    const TIME: u64 = 0x7fff_ffff;
    let at = match table {
        Table::Pending => 0,
        Table::Established => 32,
    };
    let us = word >> at & TIME;
    if us == 0 {
        return word;
    }
    let earlier = us.wrapping_sub(u64::from(seconds) * 1_000_000) & TIME;
    word & !(TIME << at) | earlier.max(1) << at
}

/// Brings the time nearer at which traits of clients are found anew, and lets half windows go by: as many
/// as there are whole ones in these seconds.
fn age_clients(plane: &mut DataPlane, seconds: u32) -> Result<()> {
    let hz = plane.hz();
    for (key, row) in plane.clients() {
        let service = plane.maps().service_in_force(key.service as u32);
        let older = row.aged(&service.segments.traits, seconds, hz);
        plane.put_client(&key, &older)?;
    }
    Ok(())
}

/// Brings the ends of memberships nearer.
fn age_members(plane: &DataPlane, jiffies: u64) -> Result<()> {
    let members = plane.members();
    let older = members.rows()?.into_iter().map(|(address, row)| {
        let all = row.memberships(address).map(|of| Membership {
            // 0 would be for ever.
            until: of
                .until
                .saturating_sub(jiffies)
                .max(u64::from(of.until > 0)),
            ..of
        });
        (address, MemberRow::new(address, &all.collect::<Vec<_>>()))
    });
    Ok(members.put(&older.collect::<Vec<_>>())?)
}

/// Puts an address into a cohort, for so many seconds or for ever.
///
/// # Errors
///
/// When the kernel has no room.
pub fn enrol(
    plane: &mut DataPlane,
    address: IpAddr,
    cohort: &str,
    seconds: Option<u32>,
) -> Result<()> {
    let hz = u64::from(plane.hz());
    let now = plane.jiffies()?;
    let (members, address) = (plane.members(), Address::from(address));
    let row = members.row(address)?;
    let before = row.iter().flat_map(|row| row.memberships(address));
    let mut all: Vec<Membership> = before.collect();
    all.push(Membership {
        cohort: cohort::number(cohort),
        until: seconds.map_or(0, |seconds| now + u64::from(seconds) * hz),
    });
    Ok(members.put(&[(address, MemberRow::new(address, &all))])?)
}

/// How often packets ended for a reason.
pub fn counted(plane: &DataPlane, reason: Reason) -> u64 {
    let reasons = plane.maps().reasons();
    let of_reason = reasons.iter().filter(|(each, _, _)| *each == reason);
    of_reason.map(|(_, _, packets)| packets).sum()
}

/// After how many seconds open flows end, by service, when a fate is said of all services.
pub fn ends(config: &Config, fate: FlowFate) -> BTreeMap<String, u32> {
    let services = config.services.iter();
    services
        .filter_map(|each| Some((each.name.clone(), fate.ends_after_s()?)))
        .collect()
}
