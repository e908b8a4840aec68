//! Owns what tests do with a data plane in memory: open one, forget what it has learned, let time go
//! by, and read what it has counted.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use splitter_common::{flow::Table, reason::Reason};
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
    let limits = Limits {
        flows,
        pending: flows,
        ..Limits::default()
    };
    Ok(DataPlane::open(&Options {
        pin_dir: None,
        limits,
    })?)
}

/// Forgets flows and fragments, and what they are looked at for.
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
    for table in TABLES {
        for key in plane.maps().flow_keys(table) {
            let found = plane.flow(table, &key);
            let mut entry = found.context("a flow that was listed")?;
            let (seen, began) = (entry.words[2] as u32, (entry.words[2] >> 32) as u32);
            let older = |time: u32| u64::from(time.wrapping_sub(jiffies));
            entry.words[2] = older(seen) | older(began) << 32;
            plane.maps_mut().put_flow(table, &key, &entry)?;
        }
    }
    for (key, mut row) in plane.maps().fragments() {
        row.seen = row.seen.wrapping_sub(jiffies);
        plane.maps_mut().put_fragment(&key, &row)?;
    }
    Ok(())
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
