//! Owns what the API asks of single backends: add, remove, drain, disable, activate.
//!
//! Invariant: whatever is put in force here would pass as a file, and nobody changes version by it
//! but by a version's `on_empty`, which the answer tells.

use std::collections::BTreeMap;

use super::{clients, core::Core, fares, fate::Fate, flows::recent::Seen, wall::now_text};
use crate::{
    api::{
        Actor, Refusal,
        types::{BackendChange, BackendSet, BackendVerb},
    },
    config::{backend, check_again, hint, nearest},
    events::{What, acts},
    model::{AdminState, Backend, Config, OnEmpty, Service, Version},
    state::{BackendOverlay, Presence, State, of_file, with_overlays},
};

/// A change that can be put in force.
struct Change {
    version: String,
    backend: String,
    before: String,
    after: String,
    config: Config,
    state: State,
}

/// Carries a change of one backend out, or says what it would do.
pub(super) fn change(
    core: &mut Core,
    name: &str,
    asked: &BackendSet,
    actor: &Actor,
    seen: Option<&Seen>,
) -> Result<BackendChange, Refusal> {
    let change = prepare(core, name, asked, actor)?;
    let service = change.config.service(name);
    let service = service.ok_or_else(|| Refusal::internal("the service is gone"))?;
    let consequences = consequences(core, service, &change)?;
    let Change {
        version,
        backend,
        before,
        after,
        config,
        state,
    } = change;
    let on_it = seen.and_then(|seen| clients::on_backend(core, name, &backend, seen));
    let fate = asked.flows.unwrap_or(core.service(name)?.flows);
    if !asked.dry_run {
        core.apply_asked(config, state, Fate::Of(name, fate))?;
        // What a start told of this backend is over.
        let told = format!("service {name}: the file changed backend {backend};");
        core.warnings.retain(|line| !line.starts_with(&told));
        log::info!("service {name}, version {version}: {backend} is {after} by {actor}");
        core.events.tell(What::Backend(acts::BackendSet {
            service: name.to_owned(),
            version: version.clone(),
            backend: backend.clone(),
            by: actor.to_string(),
            before: before.clone(),
            after: after.clone(),
            reason: asked.reason.clone(),
        }));
    }
    Ok(BackendChange {
        service: name.to_owned(),
        version,
        backend,
        generation: u64::from(core.state.numbers.generation),
        before,
        after,
        dry_run: asked.dry_run,
        on_it,
        consequences,
        flows: fate.to_string(),
    })
}

fn prepare(core: &Core, name: &str, asked: &BackendSet, actor: &Actor) -> Result<Change, Refusal> {
    let service = core.service(name)?;
    if asked.weight.is_some() && asked.verb != BackendVerb::Add {
        return Err(
            Refusal::invalid("only a backend that is added takes a weight")
                .with_hint("remove it and add it again, or change the file"),
        );
    }
    let weight = asked.weight.unwrap_or(1);
    if weight > Backend::MAX_WEIGHT {
        let most = Backend::MAX_WEIGHT;
        return Err(Refusal::invalid(format!("weight {weight} is over {most}")));
    }
    let meant = backend(&asked.backend, weight)
        .map_err(Refusal::invalid)?
        .to_string();
    let present = find(service, &meant);
    if let Some(version) = &asked.version {
        known_version(service, version)?;
    }
    let file = core.file.service(name);
    let of_file = file.and_then(|file| of_file(file, &meant));
    let mut state = core.state.clone();
    let overlays = state.backends.entry(name.to_owned()).or_default();
    let last = overlays.get(&meant);
    let mut overlay = BackendOverlay {
        version: String::new(),
        presence: last.map_or(Presence::File, |last| last.presence),
        state: last.map_or(AdminState::Active, |last| last.state),
        file: of_file,
        by: actor.to_string(),
        at: now_text(),
        reason: asked.reason.clone(),
    };
    let before = present.map_or("absent".to_owned(), |_| overlay.state.to_string());
    overlay.version = match (asked.verb, present) {
        (BackendVerb::Add, Some((version, _))) => {
            return Err(Refusal::conflict(format!(
                "{meant} is in version \"{}\" of service \"{name}\" already",
                version.name
            ))
            .with_hint("its state: splitter backend list"));
        }
        (BackendVerb::Add, None) => add(&mut overlay, asked, weight)?,
        (_, None) => return Err(unknown(service, &meant)),
        (_, Some((version, _))) => set(&mut overlay, asked, version, &meant)?,
    };
    let after = match overlay.presence {
        Presence::Removed => "absent".to_owned(),
        Presence::File | Presence::Added { .. } => overlay.state.to_string(),
    };
    let version = overlay.version.clone();
    let gone = overlay.presence == Presence::Removed && overlay.file.is_none();
    if gone || overlay.is_idle() {
        overlays.remove(&meant);
    } else {
        overlays.insert(meant.clone(), overlay);
    }
    let overlays = overlays.clone();
    state.backends.retain(|_, overlays| !overlays.is_empty());
    let config = with(core, service, file, &overlays)?;
    Ok(Change {
        version,
        backend: meant,
        before,
        after,
        config,
        state,
    })
}

/// The version that a backend is added to.
fn add(overlay: &mut BackendOverlay, asked: &BackendSet, weight: u16) -> Result<String, Refusal> {
    let Some(version) = &asked.version else {
        return Err(Refusal::invalid("no version to add the backend to")
            .with_hint("splitter backend add SERVICE VERSION BACKEND"));
    };
    let as_in_file = overlay
        .file
        .as_ref()
        .is_some_and(|file| file.version == *version && file.weight == weight);
    overlay.presence = if as_in_file {
        Presence::File
    } else {
        Presence::Added { weight }
    };
    overlay.state = AdminState::Active;
    Ok(version.clone())
}

/// Sets what is asked of a backend that is there; its version.
fn set(
    overlay: &mut BackendOverlay,
    asked: &BackendSet,
    version: &Version,
    meant: &str,
) -> Result<String, Refusal> {
    let name = &version.name;
    if asked.version.as_ref().is_some_and(|asked| asked != name) {
        return Err(
            Refusal::not_found(format!("{meant} is in version \"{name}\"")).with_hint(format!(
                "name that version: splitter backend remove SERVICE {name} {meant}"
            )),
        );
    }
    match asked.verb {
        BackendVerb::Drain => overlay.state = AdminState::Draining,
        BackendVerb::Disable => overlay.state = AdminState::Disabled,
        BackendVerb::Activate | BackendVerb::Add => overlay.state = AdminState::Active,
        BackendVerb::Remove => {
            overlay.presence = Presence::Removed;
            overlay.state = AdminState::Active;
        }
    }
    Ok(name.clone())
}

/// The configuration in force with other overlays on one service, if that can be.
fn with(
    core: &Core,
    service: &Service,
    file: Option<&Service>,
    overlays: &BTreeMap<String, BackendOverlay>,
) -> Result<Config, Refusal> {
    let file = file.ok_or_else(|| Refusal::internal("the file has no such service"))?;
    let of_file = with_overlays(file, overlays);
    let mut changed = service.clone();
    for (version, other) in changed.versions.iter_mut().zip(of_file.versions) {
        // Weights of versions are another matter, and stay as they are in force.
        version.backends = other.backends;
    }
    let mut config = core.config.clone();
    if changed == *service {
        return Ok(config);
    }
    config.replace(&changed);
    match check_again(&config) {
        Ok(()) => Ok(config),
        Err(errors) => {
            let why: Vec<String> = errors.0.into_iter().map(|error| error.message).collect();
            Err(Refusal::invalid(why.join("\n")).with_hint("nothing has changed"))
        }
    }
}

/// What follows from a change for whole versions. An error where nobody would be left to serve a
/// version that is to keep its table.
fn consequences(core: &Core, service: &Service, change: &Change) -> Result<Vec<String>, Refusal> {
    let left = |version: &Version, v6: bool| {
        let backends = version.backends.iter();
        backends
            .filter(|backend| backend.address.is_ipv6() == v6 && backend.weight > 0)
            .any(|backend| change.state.admin(service, backend) == AdminState::Active)
    };
    let there = |version: &Version, v6: bool| {
        let mut backends = version.backends.iter();
        backends.any(|backend| backend.address.is_ipv6() == v6)
    };
    let version = service.version(&change.version);
    let version = version.ok_or_else(|| Refusal::internal("the version is gone"))?;
    let none_left = [false, true].map(|v6| there(version, v6) && !left(version, v6));
    if version.on_empty() == OnEmpty::Keep && none_left.contains(&true) {
        let name = &version.name;
        return Err(Refusal::conflict(format!(
            "{} is the last active backend of \"{name}\" in its address family, and \"{name}\" \
             keeps its last table (on_empty \"keep\")",
            change.backend
        ))
        .with_hint("add or activate another one first, or give its clients to another version"));
    }
    let served = core.serve_now(service, &change.state).versions;
    let at = service
        .versions
        .iter()
        .position(|each| each.name == version.name);
    Ok(at.map_or_else(Vec::new, |at| fares::of_version(service, at, &served)))
}

fn find<'a>(service: &'a Service, meant: &str) -> Option<(&'a Version, &'a Backend)> {
    let mut all = service
        .versions
        .iter()
        .flat_map(|version| version.backends.iter().map(move |each| (version, each)));
    all.find(|(_, backend)| backend.to_string() == meant)
}

fn known_version(service: &Service, name: &str) -> Result<(), Refusal> {
    if service.version(name).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = service
        .versions
        .iter()
        .map(|each| each.name.as_str())
        .collect();
    Err(Refusal::not_found(format!(
        "service \"{}\" has no version \"{name}\"{}",
        service.name,
        hint(name, &names)
    )))
}

fn unknown(service: &Service, meant: &str) -> Refusal {
    let all = service
        .versions
        .iter()
        .flat_map(|version| &version.backends);
    let names: Vec<String> = all.map(ToString::to_string).collect();
    let refusal = Refusal::not_found(format!(
        "service \"{}\" has no backend {meant}",
        service.name
    ));
    match nearest(meant, names.iter().map(String::as_str)) {
        Some(near) => refusal.with_hint(format!("did you mean {near}?")),
        None => refusal.with_hint(format!(
            "`splitter backend list {}` shows them",
            service.name
        )),
    }
}
