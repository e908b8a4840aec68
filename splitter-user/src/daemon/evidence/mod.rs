//! Owns the evidence of services as it is told, its slices, and its beginning anew.

mod counted;

use std::collections::BTreeMap;

use splitter_common::{
    evidence::{Event, Sample},
    weight::Weight,
};

use self::counted::{Cells, Counted, EvidenceSum};
use super::{core::Core, times};
use crate::{
    api::{
        Actor, Refusal,
        types::{
            ClientCounts, Evidence, EvidenceReset, LedgerInUse, SplitCheck, UnderWeights,
            VersionEvidence,
        },
    },
    events::{What, acts},
    judge::{
        ratio::Events,
        share::share,
        split::{alarm_from, check},
    },
    model::Service,
    plan::evidence::{Judged, NotJudged, Slot, can_be_judged},
};

/// The evidence of a service.
pub(super) fn show(core: &Core, name: &str) -> Result<Evidence, Refusal> {
    let (service, judged) = judged(core, name)?;
    let mut told = Evidence {
        service: service.name.clone(),
        release: service.release.clone(),
        ..Evidence::default()
    };
    let Some(judged) = judged else {
        told.not_judged = Some(why_not(core, service));
        return Ok(told);
    };
    let counted = Counted::read(&core.plane, service, judged);
    told.versions = shown(&counted.names, &counted.sums());
    told.ledger = Some(ledger(core, service, judged, &told.versions));
    told.split = checks(service, &counted);
    let in_force = counted.slots.len().saturating_sub(1);
    let slots = counted.slots.iter().enumerate();
    let weights = slots.map(|(at, (slot, versions))| UnderWeights {
        in_force: at == in_force,
        since_generation: u64::from(slot.born),
        weights: weights(slot),
        versions: shown(&counted.names, versions),
    });
    told.weights = weights.collect();
    Ok(told)
}

/// Begins the evidence of a service anew.
pub(super) fn reset(
    core: &mut Core,
    name: &str,
    wanted: EvidenceReset,
    actor: &Actor,
) -> Result<Evidence, Refusal> {
    let (service, judged) = judged(core, name)?;
    if judged.is_none() {
        let why = why_not(core, service);
        return Err(Refusal::conflict(format!(
            "service {name} has no evidence: {why}"
        )));
    }
    core.begin_evidence(name)?;
    let reason = wanted.reason;
    let why = reason
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    log::info!("service {name}: evidence begun anew by {actor}{why}");
    core.events.tell(What::EvidenceReset(acts::EvidenceReset {
        service: name.to_owned(),
        by: actor.to_string(),
        reason,
    }));
    show(core, name)
}

/// A service, and what is judged of it.
fn judged<'c>(core: &'c Core, name: &str) -> Result<(&'c Service, Option<&'c Judged>), Refusal> {
    let service = core.service(name)?;
    let given = core.state.numbers.service(name);
    let given = given.map_err(Refusal::internal)?;
    Ok((service, given.judged.as_ref()))
}

/// Clients that were decided under the weights in force, by version; `None` where some are not judged,
/// for what a third version has or had.
pub(super) fn decided_in_force(
    core: &Core,
    service: &Service,
    judged: &Judged,
) -> Option<BTreeMap<String, u64>> {
    let slot = judged.slots.last().filter(|slot| slot.third_ppm == 0)?;
    let ledger = u32::from(judged.ledger);
    let versions = service.versions.iter();
    let decided = versions.map(|version| {
        let given = slot.weights.get(&version.name)?;
        let [release, _] = core.plane.evidence(ledger, slot.slot, given.index);
        let decided = release.counts[Event::Decided as usize];
        Some((version.name.clone(), u64::from(decided)))
    });
    decided.collect()
}

impl Core {
    /// Begins the slices whose time has come.
    pub(super) fn advance_slices(&mut self) {
        if self.unfinished.is_some() {
            return;
        }
        let services = self.state.numbers.services.values();
        let judged = services.filter_map(|given| Some((given.judged.as_ref()?, &given.applied)));
        let ledgers: Vec<(u32, u64)> = judged
            .map(|(judged, service)| (u32::from(judged.ledger), service.slice_s()))
            .collect();
        let done = tokio::task::block_in_place(|| self.plane.advance_slices(&ledgers));
        if let Err(error) = done {
            log::error!("cannot begin the next slice of evidence: {error}");
        }
    }
}

/// Where the split is not what the weights say.
pub(super) fn warnings(core: &Core) -> Vec<String> {
    let services = core.config.services.iter();
    let told = services.flat_map(|service| {
        let judged = judged(core, &service.name)
            .ok()
            .and_then(|(_, judged)| judged);
        let checks = judged.map(|judged| {
            let counted = Counted::read(&core.plane, service, judged);
            checks(service, &counted)
        });
        let alarms = checks.into_iter().flatten().filter(|check| check.alarm);
        alarms.map(|check| warning(&service.name, &check))
    });
    told.collect()
}

fn warning(service: &str, check: &SplitCheck) -> String {
    format!(
        "service {service}: of {} clients at the {}, {} were {}'s where its weights say {:.0}: chance \
         does not explain it, and no comparison of the versions can be trusted; see `splitter \
         evidence show {service}`",
        check.clients, check.at, check.counted, check.version, check.expected
    )
}

fn why_not(core: &Core, service: &Service) -> String {
    match can_be_judged(service) {
        Err(NotJudged::OneVersion) => "it has one version, there is nothing to compare".to_owned(),
        Err(NotJudged::ManyVersions) => "it has more than three versions".to_owned(),
        Ok(()) => format!(
            "all {} ledgers are taken: raise [limits] judged_services, which takes `splitter \
             detach` and a start",
            core.file.limits.judged_services
        ),
    }
}

fn weights(slot: &Slot) -> BTreeMap<String, String> {
    let weights = slot.weights.iter();
    weights
        .filter_map(|(name, given)| Some((name.clone(), Weight::from_ppm(given.ppm)?.to_string())))
        .collect()
}

fn shown(names: &[String], versions: &[Cells]) -> Vec<VersionEvidence> {
    let all = [0, 1].map(|scope| versions.iter().map(|cells| cells.0[scope].decided()).sum());
    let pairs = names.iter().zip(versions);
    pairs
        .map(|(name, Cells([release, slice]))| VersionEvidence {
            name: name.clone(),
            release: counts(release, all[0]),
            slice: counts(slice, all[1]),
        })
        .collect()
}

fn counts(sum: &EvidenceSum, all_decided: u64) -> ClientCounts {
    let of = |event: Event| sum.counts[event as usize];
    let share = share(of(Event::Decided), all_decided);
    ClientCounts {
        decided: of(Event::Decided),
        flow: of(Event::Flow),
        flow_bad: of(Event::FlowBad),
        bad: of(Event::Bad),
        slow: of(Event::Slow),
        late: of(Event::Late),
        handshake: of(Event::Handshake),
        turn: of(Event::Turn),
        handshake_time: times::first(&sum.cells[Sample::Handshake as usize]),
        turn_time: times::first(&sum.cells[Sample::Turn as usize]),
        share: share.map(|share| share.share),
        share_interval: share.map(|share| [share.low, share.high]),
    }
}

fn ledger(
    core: &Core,
    service: &Service,
    judged: &Judged,
    versions: &[VersionEvidence],
) -> LedgerInUse {
    let ledger = core.plane.ledger(u32::from(judged.ledger));
    let decided: u64 = versions.iter().map(|each| each.release.decided).sum();
    let at_all = |us: u32| (us != 0).then_some(us);
    LedgerInUse {
        since_generation: u64::from(judged.born),
        slice: ledger.slice,
        slice_age_s: ledger.slice_age_s,
        slice_length_s: service.slice_s(),
        clients_max: ledger.clients,
        clients_in_use: (decided as f64 / f64::from(ledger.clients.max(1))).min(1.0),
        slow_us: at_all(ledger.slow_us[0]),
        late_us: at_all(ledger.slow_us[1]),
    }
}

/// The baseline and the first version beside it are compared.
fn checks(service: &Service, counted: &Counted<'_>) -> Vec<SplitCheck> {
    let Some(version) = service.versions.iter().find(|version| !version.baseline) else {
        return Vec::new();
    };
    let Some(place) = counted.names.iter().position(|name| *name == version.name) else {
        return Vec::new();
    };
    let places = [
        (Event::Decided, "decision"),
        (Event::Handshake, "handshake"),
    ];
    places
        .map(|(event, at)| {
            let events = counted.slots.iter().map(|(slot, versions)| {
                // The baseline's come first.
                let [baseline, own] = [0, place].map(|at| versions[at].release(event));
                Events {
                    rho: slot.rho(&version.name),
                    own,
                    both: baseline + own,
                }
            });
            let events: Vec<Events> = events.collect();
            let found = check(&events);
            SplitCheck {
                at: at.to_owned(),
                version: version.name.clone(),
                clients: events.iter().map(|events| events.both).sum(),
                expected: events
                    .iter()
                    .map(|events| events.rho * events.both as f64)
                    .sum(),
                counted: events.iter().map(|events| events.own).sum(),
                log10_evidence: found.log10_evidence,
                alarm_from: alarm_from(),
                alarm: found.alarm,
            }
        })
        .to_vec()
}
