//! Owns the end of flows that an operator names: those of a version, of a client, or of a service.
//!
//! Invariant: what is decided of new flows does not change, so that whoever is ended comes back to
//! the version that it belongs to.

use std::collections::BTreeMap;

use super::{beside, prepare};
use crate::{
    api::{
        Actor, Refusal,
        types::{FlowQuery, FlowsReset, FlowsToReset},
    },
    daemon::core::Daemon,
    events::{What, acts},
};

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
    let (by_backend, names) = beside(move |stop| {
        let mut cut = BTreeMap::<u32, u64>::new();
        search.each(stop, |flows, found| {
            if dry_run || flows.cut(&found.key, &found.entry)? {
                *cut.entry(found.entry.backend).or_default() += 1;
            }
            Ok(())
        })?;
        Ok((cut, names))
    })
    .await?;
    let mut versions = BTreeMap::<String, u64>::new();
    for (backend, flows) in by_backend {
        let owner = names.backends.get(&backend);
        let version = owner.map_or("(unknown)", |(version, _)| version);
        *versions.entry(version.to_owned()).or_default() += flows;
    }
    let flows = versions.values().sum();
    if !dry_run {
        let why = reason
            .as_ref()
            .map_or_else(String::new, |why| format!(": {why}"));
        log::info!("service {service}: {flows} flows ended by {actor}{why}");
        daemon.events.tell(What::FlowsReset(acts::FlowsReset {
            service: service.clone(),
            by: actor.to_string(),
            flows,
            reason,
        }));
    }
    Ok(FlowsReset {
        service,
        flows,
        versions,
        dry_run,
    })
}
