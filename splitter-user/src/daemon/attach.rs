//! Owns how interfaces come to carry the program, at a start and at a reload: all that are wanted or
//! none, and what one that fails has done is taken back.

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
    net::link::LinkInfo,
};

/// The interfaces of a configuration as they are before anything is touched.
pub(super) struct Survey {
    /// Those that are there.
    pub(super) targets: Vec<Target>,
    /// Those that are waited for.
    absent: Vec<InterfaceStatus>,
    /// The names of all, in the order of the file.
    order: Vec<String>,
}

/// Looks at the interfaces of a file. One that is absent is an error, unless `waits` says of its
/// name that it is waited for; two names of one interface are an error always.
pub(super) fn survey(
    core: &Core,
    links: &[LinkInfo],
    file: &Config,
    waits: impl Fn(&str) -> bool,
) -> Result<Survey, Refusal> {
    let (mut targets, mut absent): (Vec<Target>, _) = (Vec::new(), Vec::new());
    for interface in &file.interfaces {
        let name = &interface.name;
        let link = links.iter().find(|link| link.name == *name);
        let renamed = || {
            let ifindex = core.plane.pinned_to(name)?;
            links.iter().find(|link| link.ifindex == ifindex)
        };
        let Some(link) = link.or_else(renamed) else {
            if let Some(link) = links.iter().find(|link| link.is_called(name)) {
                return Err(other_name(name, link));
            }
            if !waits(name) {
                return Err(absent_one(name, links));
            }
            absent.push(gone(core, interface, links));
            continue;
        };
        if let Some(twice) = targets.iter().find(|each| each.ifindex == link.ifindex) {
            return Err(Refusal::invalid(format!(
                "\"{}\" and \"{name}\" are one interface, which is called {} now",
                twice.name, link.name
            ))
            .with_hint(format!("keep [[interface]] name = \"{}\" alone", link.name)));
        }
        targets.push(target(interface, link));
    }
    let order = file.interfaces.iter().map(|each| each.name.clone());
    Ok(Survey {
        targets,
        absent,
        order: order.collect(),
    })
}

fn other_name(name: &str, link: &LinkInfo) -> Refusal {
    Refusal::invalid(format!(
        "\"{name}\" is another name of the interface {}",
        link.name
    ))
    .with_hint(format!(
        "write [[interface]] name = \"{}\", once",
        link.name
    ))
}

fn absent_one(name: &str, links: &[LinkInfo]) -> Refusal {
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    Refusal::not_found(format!("interface \"{name}\" does not exist"))
        .with_hint(format!("there are: {}", names.join(", ")))
}

/// What takes back what was done to an interface.
pub(super) enum Undo {
    /// The program was not there.
    Release(String),
    /// It ran in the mode that this target has.
    Mode(Target),
}

/// Puts the program onto all interfaces that do not carry it as they should: half an attached host
/// forwards requests and loses replies. What would take it back is added to `undo`. Interfaces that
/// are not surveyed keep the program until [`detach_others`].
pub(super) fn attach_all(
    core: &mut Core,
    survey: &Survey,
    undo: &mut Vec<Undo>,
) -> Result<(), Refusal> {
    let Survey {
        targets,
        absent,
        order,
    } = survey;
    let known = std::mem::take(&mut core.interfaces);
    for target in targets {
        core.plane.claim(target);
    }
    for target in targets {
        undo.extend(before(core, target));
        let status = match known.iter().find(|each| each.name == target.name) {
            Some(known) if is_right(core, known, target) => known.clone(),
            Some(_) | None => {
                let attached = core.plane.attach(target).map_err(refusal)?;
                carries(target, &attached)
            }
        };
        core.interfaces.push(status);
    }
    core.interfaces.extend(absent.iter().cloned());
    let place = |each: &InterfaceStatus| order.iter().position(|name| *name == each.name);
    core.interfaces.sort_by_key(place);
    one_mode(core, targets)
}

/// Whether an interface needs nothing. One that runs generic for another's sake is looked at anew,
/// since that other may be gone.
fn is_right(core: &Core, known: &InterfaceStatus, target: &Target) -> bool {
    known.mode != NO_MODE
        && known.ifindex == target.ifindex
        && known.wanted == target.choice.to_string()
        && known.note.as_deref() != Some(BECAUSE_OF_OTHERS)
        && target
            .present
            .is_some_and(|(program, _)| core.plane.carries(target.ifindex, program))
}

/// Makes all interfaces generic that may be, where one is.
fn one_mode(core: &mut Core, targets: &[Target]) -> Result<(), Refusal> {
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

/// Takes back what a start or a reload that failed has done, as far as the kernel lets it.
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
