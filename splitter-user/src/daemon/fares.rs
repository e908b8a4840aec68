//! Owns what is told of how backends and versions fare.

use super::core::Core;
use crate::{
    api::{
        Refusal,
        types::{BackendHealth, BackendLine, BackendOverlay},
    },
    health::{Health, Key, VersionServed},
    model::{AdminState, Backend, OnEmpty, Service, Version},
    state::{self, Presence},
};

/// Every backend of a service, those that were removed at run time too.
pub(super) fn list(core: &Core, name: &str) -> Result<Vec<BackendLine>, Refusal> {
    let service = core.service(name)?;
    let mut lines = Vec::new();
    for version in &service.versions {
        for backend in &version.backends {
            lines.push(BackendLine {
                version: version.name.clone(),
                backend: backend.to_string(),
                weight: backend.weight,
                health: self::backend(core, service, version, backend),
            });
        }
    }
    let overlays = core.state.backends.get(name).into_iter().flatten();
    let removed = overlays.filter(|(_, overlay)| overlay.presence == Presence::Removed);
    lines.extend(removed.map(|(backend, overlay)| BackendLine {
        version: overlay.version.clone(),
        backend: backend.clone(),
        weight: 0,
        health: self::removed(overlay),
    }));
    Ok(lines)
}

/// How a backend fares.
pub(super) fn backend(
    core: &Core,
    service: &Service,
    version: &Version,
    backend: &Backend,
) -> BackendHealth {
    let entry = core.book.entry(&Key::new(service, backend));
    let admin = core.state.admin(service, backend);
    let overlays = core.state.backends.get(&service.name);
    let overlay = overlays.and_then(|overlays| overlays.get(&backend.to_string()));
    let settings = service.health.as_ref();
    let checked = settings.is_some_and(|health| health.check.is_some());
    let watched = settings.is_some_and(|health| health.passive.is_some());
    let health = match entry {
        Some(entry) if watched && entry.is_ejected() => "ejected",
        Some(entry) if checked => match entry.health {
            Health::Unknown => "unknown",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        },
        None if checked => "unknown",
        Some(_) | None => "unchecked",
    };
    let known = entry.filter(|_| checked || watched);
    let standing = core.book.standing(service, backend, admin, core.now());
    BackendHealth {
        state: admin.to_string(),
        health: health.to_owned(),
        since: known.and_then(|entry| entry.since.clone()),
        error: known.and_then(|entry| entry.error.clone()),
        changes: known.map_or(0, |entry| entry.changes),
        serves: serves(core, service, version, backend),
        weight_reached_percent: standing.parts * 100 / crate::health::serving::PARTS,
        overlay: overlay.map(told),
    }
}

/// What is told of a backend that was removed at run time.
fn removed(overlay: &state::BackendOverlay) -> BackendHealth {
    BackendHealth {
        state: "removed".to_owned(),
        health: "unchecked".to_owned(),
        since: None,
        error: None,
        changes: 0,
        serves: false,
        weight_reached_percent: 0,
        overlay: Some(told(overlay)),
    }
}

fn told(overlay: &state::BackendOverlay) -> BackendOverlay {
    let wanted = match overlay.state {
        AdminState::Active => None,
        AdminState::Draining | AdminState::Disabled => Some(overlay.state.to_string()),
    };
    let presence = match overlay.presence {
        Presence::File => None,
        Presence::Added { .. } => Some("added".to_owned()),
        Presence::Removed => Some("removed".to_owned()),
    };
    let words: Vec<String> = presence.into_iter().chain(wanted).collect();
    BackendOverlay {
        what: words.join(", "),
        by: overlay.by.clone(),
        at: overlay.at.clone(),
        reason: overlay.reason.clone(),
    }
}

/// Whether a backend is in its table, by the newest commit.
pub(super) fn serves(core: &Core, service: &Service, version: &Version, backend: &Backend) -> bool {
    let applied = core.state.numbers.services.get(&service.name);
    let applied = applied.and_then(|given| given.applied.version(&version.name));
    applied.is_some_and(|applied| {
        let same = |other: &&Backend| {
            (other.address, other.port) == (backend.address, backend.port) && other.weight > 0
        };
        applied.backends.iter().find(same).is_some()
    })
}

/// What is out of the ordinary with the version at `at`, as sentences. `served`: what is served of
/// all versions.
pub(super) fn of_version(service: &Service, at: usize, served: &[VersionServed]) -> Vec<String> {
    let (Some(version), Some(this)) = (service.versions.get(at), served.get(at)) else {
        return Vec::new();
    };
    let mut told = Vec::new();
    let name = &version.name;
    if this.panic.contains(&true) {
        let most = service
            .health
            .as_ref()
            .map(|health| health.max_unhealthy.to_string())
            .unwrap_or_default();
        told.push(format!(
            "PANIC: more than {most} of the active backends of {name}{} are unhealthy, which may \
             be the fault of the checks: all of them stay in the table",
            families(version, this.panic)
        ));
    }
    if this.empty.contains(&true) {
        let lead = format!("{name} is empty{}", families(version, this.empty));
        told.push(match version.on_empty() {
            OnEmpty::Baseline => format!("{lead}: {}", guests(service, served, this)),
            OnEmpty::Keep => format!("{lead}: its last table stays"),
            OnEmpty::Reset => format!("{lead}: new connections of its clients are reset"),
            OnEmpty::Drop => format!("{lead}: new flows of its clients are dropped"),
        });
    }
    told
}

/// Where the clients of an empty version are, that the baseline is to serve.
fn guests(service: &Service, served: &[VersionServed], this: &VersionServed) -> String {
    let mut pairs = service.versions.iter().zip(served);
    let Some((baseline, its)) = pairs.find(|(version, _)| version.baseline) else {
        return "nobody serves its clients".to_owned();
    };
    let name = &baseline.name;
    let both = (0..2).any(|family| this.empty[family] && its.empty[family]);
    if both && baseline.on_empty() == OnEmpty::Drop {
        return format!("{name} is empty too, and new flows are dropped");
    }
    format!("its clients are served by {name}")
}

/// ` for IPv4`, where the version serves IPv6 too and that is another matter.
fn families(version: &Version, which: [bool; 2]) -> &'static str {
    let has = |v6| {
        version
            .backends
            .iter()
            .any(|each| each.address.is_ipv6() == v6)
    };
    match (which, has(false) && has(true)) {
        ([true, false], true) => " for IPv4",
        ([false, true], true) => " for IPv6",
        (_, _) => "",
    }
}
