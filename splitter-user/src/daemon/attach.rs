//! Owns the start's part of interfaces: the program goes onto all of them or none, and what a start
//! that fails has done is taken back.

use std::collections::BTreeSet;

use super::{
    core::Core,
    interfaces::{BECAUSE_OF_OTHERS, GENERIC, NATIVE, NO_MODE, carries, gone, target},
    refusal,
};
use crate::{
    api::{Refusal, types::InterfaceStatus},
    dataplane::Target,
    model::{Config, XdpChoice},
    net::Net,
};

/// The interfaces as they are before anything is touched. One that is absent is an error, unless
/// the data plane runs already: that is never refused its daemon, and waits for the interface.
pub(super) async fn targets(
    core: &mut Core,
    net: &Net,
    file: &Config,
) -> anyhow::Result<Vec<Target>> {
    let links = net.links().await?;
    let mut targets = Vec::new();
    for interface in &file.interfaces {
        let link = links.iter().find(|link| link.name == interface.name);
        let renamed = || {
            let ifindex = core.plane.pinned_to(&interface.name)?;
            links.iter().find(|link| link.ifindex == ifindex)
        };
        match link.or_else(renamed) {
            Some(link) => targets.push(target(interface, link)),
            None if core.plane.adopted() => {
                let status = gone(core, interface, &links);
                core.interfaces.push(status);
            }
            None => {
                let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
                let name = &interface.name;
                return Err(
                    Refusal::not_found(format!("interface \"{name}\" does not exist"))
                        .with_hint(format!("there are: {}", names.join(", ")))
                        .into(),
                );
            }
        }
    }
    Ok(targets)
}

/// What takes back what a start did to an interface.
pub(super) enum Undo {
    /// The program was not there.
    Release(String),
    /// It ran in the mode that this target has.
    Mode(Target),
}

/// Puts the program onto all interfaces: half an attached host forwards requests and loses
/// replies. What would take it back is added to `undo`.
pub(super) fn attach_all(
    core: &mut Core,
    targets: &[Target],
    undo: &mut Vec<Undo>,
) -> anyhow::Result<()> {
    for target in targets {
        core.plane.claim(target);
    }
    for target in targets {
        undo.extend(before(core, target));
        let attached = core.plane.attach(target).map_err(refusal)?;
        let status = carries(target, &attached);
        core.interfaces.push(status);
    }
    let some_generic = core.interfaces.iter().any(|each| each.mode == GENERIC);
    for target in targets {
        let known = core
            .interfaces
            .iter_mut()
            .find(|each| each.name == target.name);
        let Some(known) = known.filter(|each| some_generic && each.mode == NATIVE) else {
            continue;
        };
        if target.choice != XdpChoice::Auto {
            continue;
        }
        let generic = Target {
            choice: XdpChoice::Generic,
            present: None,
            ..target.clone()
        };
        // While that is tried it carries nothing, and a failure has to be undone.
        known.mode = NO_MODE.to_owned();
        let attached = core.plane.attach(&generic).map_err(refusal)?;
        *known = InterfaceStatus {
            wanted: target.choice.to_string(),
            note: Some(BECAUSE_OF_OTHERS.to_owned()),
            ..carries(&generic, &attached)
        };
    }
    Ok(())
}

/// What takes an interface back to how it is now.
fn before(core: &Core, target: &Target) -> Option<Undo> {
    match target.present {
        Some((program, native)) if core.plane.carries(target.ifindex, program) => {
            let choice = if native {
                XdpChoice::Native
            } else {
                XdpChoice::Generic
            };
            Some(Undo::Mode(Target {
                choice,
                ..target.clone()
            }))
        }
        // A foreign program: nothing will be done.
        Some(_) => None,
        None => Some(Undo::Release(target.name.clone())),
    }
}

/// Takes back what a start that failed has done, as far as the kernel lets it.
pub(super) fn undo(core: &mut Core, undo: Vec<Undo>) {
    for each in undo {
        match each {
            Undo::Release(name) => core.plane.release(&[name]),
            Undo::Mode(target) => {
                let now = core
                    .interfaces
                    .iter()
                    .find(|known| known.name == target.name);
                let wanted = if target.choice == XdpChoice::Native {
                    NATIVE
                } else {
                    GENERIC
                };
                if now.is_none_or(|now| now.mode == wanted) {
                    continue;
                }
                let (name, back) = (
                    target.name.clone(),
                    Target {
                        present: None,
                        ..target
                    },
                );
                if let Err(error) = core.plane.attach(&back) {
                    log::error!("{name}: cannot go back to {wanted} XDP: {error}");
                }
            }
        }
    }
}

/// Takes the program off interfaces that are no longer configured.
pub(super) fn detach_others(core: &mut Core) {
    let wanted: BTreeSet<String> = core
        .config
        .interfaces
        .iter()
        .map(|each| each.name.clone())
        .collect();
    for gone in core.plane.detach_others(&wanted) {
        log::info!("{gone}: no longer configured, program taken off");
    }
}
