//! Owns the supervision of releases: whether new flows fall back to the baseline when this daemon
//! no longer watches, which the kernel sees by the lease that is no longer renewed.

use super::{core::Core, fate::Fate, wall::now_text};
use crate::{
    api::{
        Actor, Refusal,
        types::{Supervise, Supervision},
    },
    events::{What, acts},
    model::Service,
    state::SupervisionRecord,
};

/// Starts or ends the supervision of a service, or of all.
pub(super) fn supervise(
    core: &mut Core,
    wanted: &Supervise,
    actor: &Actor,
) -> Result<Vec<Supervision>, Refusal> {
    let names: Vec<String> = match &wanted.service {
        Some(name) => vec![core.service(name)?.name.clone()],
        None => core
            .config
            .services
            .iter()
            .map(|each| each.name.clone())
            .collect(),
    };
    let (mut config, mut state) = (core.config.clone(), core.state.clone());
    let mut changed = Vec::new();
    for service in &mut config.services {
        if !names.contains(&service.name) {
            continue;
        }
        if service.supervised != wanted.on {
            changed.push(service.name.clone());
            service.supervised = wanted.on;
        }
        if wanted.on {
            // Who began it stays, however often it is asked for.
            state
                .supervised
                .entry(service.name.clone())
                .or_insert_with(|| SupervisionRecord {
                    by: actor.to_string(),
                    at: now_text(),
                    reason: wanted.reason.clone(),
                });
        } else {
            state.supervised.remove(&service.name);
        }
    }
    if config != core.config {
        core.apply_asked(config, state, Fate::Keep)?;
        let word = if wanted.on { "begins" } else { "ends" };
        log::info!("supervision of {} {word} by {actor}", names.join(", "));
        for service in changed {
            core.events.tell(What::Supervision(acts::Supervision {
                service,
                on: wanted.on,
                by: actor.to_string(),
                reason: wanted.reason.clone(),
            }));
        }
    }
    let named = core
        .config
        .services
        .iter()
        .filter(|each| names.contains(&each.name));
    Ok(named.map(|service| supervision(core, service)).collect())
}

/// What holds of a service, and what would if the lease ran out.
pub(super) fn supervision(core: &Core, service: &Service) -> Supervision {
    let record = core.state.supervised.get(&service.name);
    Supervision {
        service: service.name.clone(),
        on: service.supervised,
        by: record.map(|record| record.by.clone()),
        at: record.map(|record| record.at.clone()),
        reason: record.and_then(|record| record.reason.clone()),
        without_daemon: without_daemon(service),
    }
}

fn without_daemon(service: &Service) -> String {
    let baseline = service.baseline().map_or("the baseline", |each| &each.name);
    let others: Vec<&str> = service
        .versions
        .iter()
        .filter(|each| !each.baseline)
        .map(|each| each.name.as_str())
        .collect();
    if service.falls_back() {
        format!("new flows go to {baseline}")
    } else if service.supervised {
        format!(
            "the split stays: {} has more than failsafe_max_weight, {}",
            others.join(" and "),
            service.fail_safe_max
        )
    } else {
        "the split stays".to_owned()
    }
}
