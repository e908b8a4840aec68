//! Owns the end of flows that an operator names: those of a version, of a client, or of a service.
//!
//! Invariant: what is decided of new flows does not change, so that whoever is ended comes back to
//! the version that it belongs to.

use std::{collections::BTreeMap, io};

use super::{PART, Search, beside, prepare};
use crate::{
    api::{
        Actor, Refusal,
        types::{FlowQuery, FlowsReset, FlowsToReset},
    },
    daemon::core::Daemon,
};

impl Search {
    /// Ends every flow that is meant, or only counts them: how many, by backend number.
    fn cut(&self, stop: impl Fn() -> bool, dry_run: bool) -> io::Result<BTreeMap<u32, u64>> {
        let mut cut = BTreeMap::new();
        let mut met = Vec::new();
        for (table, flows) in &self.tables {
            let mut walk = flows.walk(0, PART);
            while !stop()
                && walk.next(|key, entry| {
                    met.extend(self.filter.pick(*table, key, entry, self.now));
                })?
            {
                for found in met.drain(..) {
                    if dry_run || flows.cut(&found.key, &found.entry)? {
                        *cut.entry(found.entry.backend).or_default() += 1;
                    }
                }
            }
        }
        Ok(cut)
    }
}

/// Ends flows, or says how many that would be.
pub(in crate::daemon) async fn reset(
    daemon: &Daemon,
    service: String,
    wanted: FlowsToReset,
    actor: &Actor,
) -> Result<FlowsReset, Refusal> {
    let FlowsToReset {
        version,
        client,
        reason,
        dry_run,
    } = wanted;
    let query = FlowQuery {
        version,
        client,
        pending: false,
        limit: FlowQuery::LIMIT,
    };
    let _one_at_a_time = daemon.walks.lock().await;
    let (search, names) = prepare(&mut *daemon.core.lock().await, &service, &query)?;
    let (by_backend, names) = beside(move |stop| Ok((search.cut(stop, dry_run)?, names))).await?;
    let mut versions = BTreeMap::<String, u64>::new();
    for (backend, flows) in by_backend {
        let owner = names.backends.get(&backend);
        let version = owner.map_or("(unknown)", |(version, _)| version);
        *versions.entry(version.to_owned()).or_default() += flows;
    }
    let flows = versions.values().sum();
    if !dry_run {
        let why = reason.map_or_else(String::new, |why| format!(": {why}"));
        log::info!("service {service}: {flows} flows ended by {actor}{why}");
    }
    Ok(FlowsReset {
        service,
        flows,
        versions,
        dry_run,
    })
}
