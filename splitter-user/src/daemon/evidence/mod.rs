//! Owns the evidence of services as it is told, its slices, and its beginning anew.

use std::collections::BTreeMap;

use splitter_common::{
    evidence::{Event, Sample},
    histogram::CELLS,
    layout::EvidenceRow,
    weight::Weight,
};

use super::{core::Core, times};
use crate::{
    api::{
        Actor, Refusal,
        types::{
            ClientCounts, Evidence, EvidenceReset, LedgerInUse, SplitCheck, UnderWeights,
            VersionEvidence,
        },
    },
    dataplane::{SLICE_S, Scopes},
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
    let service = core.service(name)?;
    let given = core
        .state
        .numbers
        .service(name)
        .map_err(Refusal::internal)?;
    let mut told = Evidence {
        service: service.name.clone(),
        release: service.release.clone(),
        ..Evidence::default()
    };
    let Some(judged) = &given.judged else {
        told.not_judged = Some(why_not(core, service));
        return Ok(told);
    };
    let names = compared_first(service, judged);
    let counted: Vec<Counted<'_>> = judged
        .slots
        .iter()
        .map(|slot| counted(core, judged, slot, &names))
        .collect();
    let sums = names.iter().enumerate().map(|(at, name)| {
        let mut sum = Cells::default();
        for each in &counted {
            sum.add(&each.versions[at]);
        }
        (name.clone(), sum)
    });
    told.versions = shown(&sums.collect::<Vec<_>>());
    told.ledger = Some(ledger(core, judged, &told.versions));
    told.split = checks(service, &counted, &names);
    let in_force = counted.len().saturating_sub(1);
    let weights = counted.iter().enumerate().map(|(at, each)| {
        let versions = names.iter().cloned().zip(each.versions.clone());
        UnderWeights {
            in_force: at == in_force,
            since_generation: u64::from(each.slot.born),
            weights: weights(each.slot),
            versions: shown(&versions.collect::<Vec<_>>()),
        }
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
    let service = core.service(name)?;
    let given = core
        .state
        .numbers
        .service(name)
        .map_err(Refusal::internal)?;
    if given.judged.is_none() {
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

impl Core {
    /// Begins the slices whose time has come.
    pub(super) fn advance_slices(&mut self) {
        if self.unfinished.is_some() {
            return;
        }
        let services = self.state.numbers.services.values();
        let judged = services.filter_map(|given| given.judged.as_ref());
        let ledgers: Vec<u32> = judged.map(|judged| u32::from(judged.ledger)).collect();
        let done = tokio::task::block_in_place(|| self.plane.advance_slices(&ledgers));
        if let Err(error) = done {
            log::error!("cannot begin the next slice of evidence: {error}");
        }
    }
}

/// Where the split is not what the weights say.
pub(super) fn warnings(core: &Core) -> Vec<String> {
    let judged = core.state.numbers.services.iter();
    let judged = judged.filter(|(_, given)| given.judged.is_some());
    let told = judged.filter_map(|(name, _)| show(core, name).ok());
    told.flat_map(|told| {
        let alarms = told.split.into_iter().filter(|check| check.alarm);
        alarms.map(move |check| {
            let SplitCheck {
                at,
                version,
                clients,
                expected,
                counted,
                ..
            } = check;
            format!(
                "service {}: of {clients} clients at the {at}, {counted} were {version}'s where its \
                 weights say {expected:.0}: chance does not explain it, and no comparison of the \
                 versions can be trusted; see `splitter evidence show {}`",
                told.service, told.service
            )
        })
    })
    .collect()
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

/// Names of the versions that a release has had: the baseline, those in force, those of before.
fn compared_first(service: &Service, judged: &Judged) -> Vec<String> {
    let mut names: Vec<String> = service
        .baseline()
        .into_iter()
        .map(|each| each.name.clone())
        .collect();
    let in_force = service.versions.iter().map(|each| &each.name);
    let before = judged.slots.iter().flat_map(|slot| slot.weights.keys());
    for name in in_force.chain(before) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// What was counted, summed up as needed.
#[derive(Clone)]
struct Cells([EvidenceSum; 2]);

#[derive(Clone)]
struct EvidenceSum {
    counts: [u64; Event::ALL.len()],
    cells: [[u64; CELLS]; Sample::COUNT],
}

impl Default for Cells {
    fn default() -> Self {
        let zero = EvidenceSum {
            counts: [0; Event::ALL.len()],
            cells: [[0; CELLS]; Sample::COUNT],
        };
        Self([zero.clone(), zero])
    }
}

impl Cells {
    fn of(scopes: &Scopes) -> Self {
        Self(scopes.map(|EvidenceRow { counts, cells }| EvidenceSum {
            counts: counts.map(u64::from),
            cells: cells.map(|cells| cells.map(u64::from)),
        }))
    }

    fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            for (sum, count) in own.counts.iter_mut().zip(other.counts) {
                *sum += count;
            }
            let pairs = own.cells.as_flattened_mut().iter_mut();
            for (sum, count) in pairs.zip(other.cells.as_flattened()) {
                *sum += count;
            }
        }
    }

    fn release(&self, event: Event) -> u64 {
        self.0[0].counts[event as usize]
    }
}

/// What was counted under one set of weights, by version.
struct Counted<'a> {
    slot: &'a Slot,
    versions: Vec<Cells>,
}

fn counted<'a>(core: &Core, judged: &Judged, slot: &'a Slot, names: &[String]) -> Counted<'a> {
    let cells = |name: &String| {
        let given = slot.weights.get(name);
        given.map_or_else(Cells::default, |given| {
            let ledger = u32::from(judged.ledger);
            Cells::of(&core.plane.evidence(ledger, slot.slot, given.index))
        })
    };
    Counted {
        slot,
        versions: names.iter().map(cells).collect(),
    }
}

fn weights(slot: &Slot) -> BTreeMap<String, String> {
    let weights = slot.weights.iter();
    weights
        .filter_map(|(name, given)| Some((name.clone(), Weight::from_ppm(given.ppm)?.to_string())))
        .collect()
}

fn shown(versions: &[(String, Cells)]) -> Vec<VersionEvidence> {
    let all = [0, 1].map(|scope| {
        let decided = versions
            .iter()
            .map(|(_, cells)| cells.0[scope].counts[Event::Decided as usize]);
        decided.sum::<u64>()
    });
    versions
        .iter()
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

fn ledger(core: &Core, judged: &Judged, versions: &[VersionEvidence]) -> LedgerInUse {
    let ledger = core.plane.ledger(u32::from(judged.ledger));
    let decided: u64 = versions.iter().map(|each| each.release.decided).sum();
    let at_all = |us: u32| (us != 0).then_some(us);
    LedgerInUse {
        since_generation: u64::from(judged.born),
        slice: ledger.slice,
        slice_age_s: ledger.slice_age_s,
        slice_length_s: SLICE_S,
        clients_max: ledger.clients,
        clients_in_use: (decided as f64 / f64::from(ledger.clients.max(1))).min(1.0),
        slow_us: at_all(ledger.slow_us[0]),
        late_us: at_all(ledger.slow_us[1]),
    }
}

/// The baseline and the first version beside it are compared.
fn checks(service: &Service, counted: &[Counted<'_>], names: &[String]) -> Vec<SplitCheck> {
    let Some(version) = service.versions.iter().find(|version| !version.baseline) else {
        return Vec::new();
    };
    let Some(place) = names.iter().position(|name| *name == version.name) else {
        return Vec::new();
    };
    let places = [
        (Event::Decided, "decision"),
        (Event::Handshake, "handshake"),
    ];
    places
        .map(|(event, at)| {
            let events = counted.iter().map(|each| {
                // The baseline's come first.
                let [baseline, own] = [0, place].map(|at| each.versions[at].release(event));
                Events {
                    rho: each.slot.rho(&version.name),
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
