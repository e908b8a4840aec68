//! Owns `weight set`: check, journal, commit, and who would move.

use std::collections::BTreeMap;

use splitter_common::weight::Weight;

use super::{core::Core, fate::Fate, flows::recent::Seen, refused, wall::now_text};
use crate::{
    api::{
        Actor, Refusal,
        types::{Move, WeightChange, WeightSet},
    },
    config::{WeightsError, apply_segment_weights, apply_weights},
    events::{What, acts::WeightsSet},
    model::{Config, FlowFate, Service},
    plan::service::cuts_by_position,
    state::{OverlayRecord, State, own_ppm, segment_ppm},
};

/// Carries a weight change out, or says what it would do.
pub(super) fn set(
    core: &mut Core,
    name: &str,
    change: &WeightSet,
    actor: &Actor,
    seen: Option<&Seen>,
) -> Result<WeightChange, Refusal> {
    let before = core.service(name)?.clone();
    if change.weights.is_empty() {
        return Err(Refusal::invalid("no weight given")
            .with_hint(format!("splitter weight set {name} VERSION=5%")));
    }
    let after = under(&before, &change.weights, change.segment.as_deref())?;
    let fate = change.flows.unwrap_or(after.flows);
    let mut would_move = None;
    if let Some(seen) = seen.filter(|_| change.dry_run) {
        let (config, state, _) = prepared(core, &after, change, actor);
        let planned = core.plan(config, state, Fate::Of(name, fate));
        let planned = planned.map_err(refused)?;
        would_move = core.would_move(&planned, name, seen);
        core.discard(planned);
    }
    if !change.dry_run {
        put_in_force(core, &after, change, fate, actor)?;
        core.events.tell(What::Weights(WeightsSet {
            service: name.to_owned(),
            by: actor.to_string(),
            before: texts(&before),
            after: texts(&after),
            flows: fate.to_string(),
            reason: change.reason.clone(),
        }));
    }
    // As those see it whose weights change.
    let (before, after) = match &change.segment {
        Some(segment) => (seen_by(before, segment), seen_by(after, segment)),
        None => (before, after),
    };
    Ok(WeightChange {
        service: name.to_owned(),
        segment: change.segment.clone(),
        generation: u64::from(core.state.numbers.generation),
        before: texts(&before),
        after: texts(&after),
        dry_run: change.dry_run,
        moves: moves(&before, &after),
        seen: would_move,
        flows: fate.to_string(),
    })
}

/// A service with other weights, its own or those of a segment.
pub(super) fn under(
    service: &Service,
    weights: &BTreeMap<String, String>,
    segment: Option<&str>,
) -> Result<Service, Refusal> {
    let asked = parse(weights)?;
    let after = match segment {
        Some(segment) => apply_segment_weights(service, segment, &asked),
        None => apply_weights(service, &asked),
    };
    after.map_err(|error| match error {
        WeightsError::NoSuchVersion { .. } | WeightsError::NoSuchSegment { .. } => {
            Refusal::not_found(error)
        }
        WeightsError::BaselineIsRest { .. } | WeightsError::Over { .. } => Refusal::invalid(error),
    })
}

/// A service as the clients of a segment see it.
fn seen_by(service: Service, segment: &str) -> Service {
    match service.segment(segment) {
        Some(segment) => service.under(segment),
        None => service,
    }
}

fn parse(weights: &BTreeMap<String, String>) -> Result<BTreeMap<String, Weight>, Refusal> {
    weights
        .iter()
        .map(|(version, text)| {
            let weight = Weight::parse(text)
                .map_err(|error| Refusal::invalid(format!("{version}={text}: {error}")))?;
            Ok((version.clone(), weight))
        })
        .collect()
}

fn put_in_force(
    core: &mut Core,
    after: &Service,
    change: &WeightSet,
    fate: FlowFate,
    actor: &Actor,
) -> Result<(), Refusal> {
    let (config, state, about) = prepared(core, after, change, actor);
    core.apply_asked(config, state, Fate::Of(&after.name, fate))?;
    // What a start told of these weights is over.
    core.warnings.retain(|line| !line.starts_with(&about));
    log::info!("{about}weights {:?} by {actor}", change.weights);
    Ok(())
}

/// What is to be in force and kept, and how what is told of these weights begins.
fn prepared(
    core: &Core,
    after: &Service,
    change: &WeightSet,
    actor: &Actor,
) -> (Config, State, String) {
    let mut config = core.config.clone();
    config.replace(after);
    let mut state = core.state.clone();
    let file = core.file.service(&after.name);
    let about = match change.segment.as_ref().and_then(|name| after.segment(name)) {
        None => {
            let of_file = file.map(own_ppm).unwrap_or_default();
            let record = record(own_ppm(after), &of_file, change, actor);
            replace(&mut state.overlays, &after.name, record);
            format!("service {}: ", after.name)
        }
        Some(segment) => {
            let file = file.and_then(|file| file.segment(&segment.name));
            let of_file = file.map(segment_ppm).unwrap_or_default();
            let record = record(segment_ppm(segment), &of_file, change, actor);
            let overlays = state.segment_overlays.entry(after.name.clone());
            replace(overlays.or_default(), &segment.name, record);
            format!("service {}: segment {}: ", after.name, segment.name)
        }
    };
    (config, state, about)
}

/// What differs from the file's weights, as it is kept; `None` where nothing does.
fn record(
    in_force: BTreeMap<String, u32>,
    of_file: &BTreeMap<String, u32>,
    change: &WeightSet,
    actor: &Actor,
) -> Option<OverlayRecord> {
    let own = in_force.into_iter();
    let weights_ppm: BTreeMap<String, u32> = own
        .filter(|(name, ppm)| of_file.get(name) != Some(ppm))
        .collect();
    (!weights_ppm.is_empty()).then(|| OverlayRecord {
        weights_ppm,
        by: actor.to_string(),
        at: now_text(),
        reason: change.reason.clone(),
    })
}

fn replace(
    overlays: &mut BTreeMap<String, OverlayRecord>,
    name: &str,
    record: Option<OverlayRecord>,
) {
    match record {
        Some(record) => overlays.insert(name.to_owned(), record),
        None => overlays.remove(name),
    };
}

fn texts(service: &Service) -> BTreeMap<String, String> {
    let weights = service.weights();
    weights
        .into_iter()
        .map(|(name, weight)| (name, weight.to_string()))
        .collect()
}

/// Intervals of the hash space with the version's name, by the law that the kernel runs.
pub(super) fn intervals(service: &Service) -> Vec<(String, u32, u32)> {
    let Ok(cuts) = cuts_by_position(service) else {
        return Vec::new();
    };
    let named = |(version, first, last): (usize, u32, u32)| {
        (service.versions[version].name.clone(), first, last)
    };
    cuts.intervals().map(named).collect()
}

/// The parts of the hash space that change hands.
pub(super) fn moves(before: &Service, after: &Service) -> Vec<Move> {
    let mut parts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let after = intervals(after);
    for (from, first, last) in intervals(before) {
        for (to, start, end) in &after {
            let (low, high) = (first.max(*start), last.min(*end));
            if from != *to && low <= high {
                *parts.entry((from.clone(), to.clone())).or_default() += u64::from(high - low) + 1;
            }
        }
    }
    parts
        .into_iter()
        .map(|((from, to), width)| Move {
            from,
            to,
            percent_of_clients: width as f64 / (1u64 << 32) as f64 * 100.0,
        })
        .collect()
}
