//! Owns what a change of a cohort would do to the clients that were seen lately.
//!
//! Invariant: they are asked for as the kernel asks, with the elements that its table of members would have.

use std::collections::HashMap;

use splitter_common::{address::Address, cohort::MemberRow, decide::decide};

use crate::{
    api::{Refusal, types::CohortMoves},
    cohorts::Changes,
    daemon::{
        clients,
        core::{Core, Daemon},
        explain::version_name,
        flows::recent::{self, Recent, Seen},
    },
    model::Service,
};

/// Which clients would move, of each service that asks for the cohort; nobody when it is no dry run.
pub(super) async fn moves(
    daemon: &Daemon,
    cohort: &str,
    changes: Changes,
    dry_run: bool,
) -> Result<Vec<CohortMoves>, Refusal> {
    let asks = |service: &&Service| {
        let mut segments = service.segments.iter();
        segments.any(|segment| segment.condition.cohorts().contains(&cohort))
    };
    let is_asked = async || {
        let core = daemon.core.lock().await;
        core.config.services().any(|each| asks(&each))
    };
    if !dry_run || !is_asked().await {
        return Ok(Vec::new());
    }
    let Changes { put, gone } = changes;
    let gone = gone.into_iter();
    let gone = gone.map(|address| (address, MemberRow::new(address, &[])));
    let members: HashMap<Address, MemberRow> = put.into_iter().chain(gone).collect();
    let seen = recent::look(daemon, None).await?;
    let mut core = daemon.core.lock().await;
    // Ends of memberships are compared with the time that it is now.
    core.plane.jiffies().map_err(Refusal::internal)?;
    let core = &*core;
    let services = core.config.services().filter(asks);
    services
        .map(|service| of_service(core, service, &members, &seen))
        .collect()
}

fn of_service(
    core: &Core,
    service: &Service,
    members: &HashMap<Address, MemberRow>,
    seen: &Seen,
) -> Result<CohortMoves, Refusal> {
    let given = core.state.numbers.service(&service.name);
    let given = given.map_err(Refusal::internal)?;
    let row = core.plane.maps().service_in_force(u32::from(given.number));
    let ways = |recent: &Recent| {
        let question = recent.question();
        let client = question.client;
        let now_so = core.conditions(given.number, &row, client, recent.device());
        let then = members.get(&client).map_or(now_so, |member| {
            let traits = core.traits(given.number, &row, client, recent.device());
            core.plane
                .conditions_with(&row, client, Some(member), traits)
        });
        let version = |conditions| {
            let decision = decide(&row, &question, conditions);
            version_name(given, decision.assigned)
        };
        (version(now_so), version(then))
    };
    Ok(CohortMoves {
        service: service.name.clone(),
        seen: clients::moves(core, &service.name, given.number, seen, ways),
    })
}
