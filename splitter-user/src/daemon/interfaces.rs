//! Owns the interfaces: at the start the program goes onto all of them or none; later it comes
//! back to one that was deleted and made again.

use std::collections::BTreeSet;

use super::{core::Core, refusal};
use crate::{
    api::{Refusal, types::InterfaceStatus},
    dataplane::{Attached, Target},
    model::{Config, Interface, XdpChoice},
    net::{
        Net,
        link::{AttachedMode, LinkInfo},
    },
};

/// The mode of an interface that does not carry the program.
const NO_MODE: &str = "none";

/// The interfaces as they are before anything is touched.
pub(super) async fn targets(net: &Net, file: &Config) -> anyhow::Result<Vec<Target>> {
    let links = net.links().await?;
    let find = |interface: &Interface| {
        let link = links.iter().find(|link| link.name == interface.name);
        link.map(|link| target(interface, link)).ok_or_else(|| {
            let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
            Refusal::not_found(format!("interface \"{}\" does not exist", interface.name))
                .with_hint(format!("there are: {}", names.join(", ")))
                .into()
        })
    };
    file.interfaces.iter().map(find).collect()
}

fn target(interface: &Interface, link: &LinkInfo) -> Target {
    let present = link
        .xdp
        .as_ref()
        .map(|xdp| (xdp.program_id, matches!(xdp.mode, AttachedMode::Native)));
    Target {
        name: interface.name.clone(),
        ifindex: link.ifindex,
        mtu: link.mtu,
        choice: interface.xdp,
        present,
    }
}

/// Puts the program onto all interfaces; takes it off those that are no longer configured.
pub(super) fn attach_all(core: &mut Core, file: &Config, targets: &[Target]) -> anyhow::Result<()> {
    let mut made: Vec<String> = Vec::new();
    for target in targets {
        let attached = match core.plane.attach(target) {
            Ok(attached) => attached,
            Err(error) => {
                // All or nothing: half an attached host forwards requests and loses replies.
                core.plane.release(&made);
                return Err(refusal(error).into());
            }
        };
        if !attached.adopted {
            made.push(target.name.clone());
        }
        core.interfaces.push(carries(target, &attached));
    }
    let wanted: BTreeSet<String> = file
        .interfaces
        .iter()
        .map(|each| each.name.clone())
        .collect();
    for gone in core.plane.detach_others(&wanted) {
        log::info!("{gone}: no longer configured, program taken off");
    }
    Ok(())
}

/// Looks whether every interface still carries the program, and puts it back where it does not.
pub(super) async fn keep_attached(core: &mut Core, net: &Net) -> anyhow::Result<()> {
    let links = net.links().await?;
    for interface in core.config.interfaces.clone() {
        let link = links.iter().find(|link| link.name == interface.name);
        let status = match link {
            None => lacks(&interface, None, "the interface is gone".to_owned()),
            Some(link) => present(core, &interface, link),
        };
        let before = core
            .interfaces
            .iter_mut()
            .find(|known| known.name == status.name);
        if let Some(before) = before {
            if status.mode == NO_MODE && before.note != status.note {
                log::error!(
                    "{}: {}",
                    status.name,
                    status.note.as_deref().unwrap_or_default()
                );
            }
            *before = status;
        }
    }
    Ok(())
}

/// Whether some interface does not carry the program.
pub(super) fn some_lack_it(core: &Core) -> bool {
    core.interfaces.iter().any(|each| each.mode == NO_MODE)
}

/// What an operator must know of them.
pub(super) fn warnings(core: &Core) -> Vec<String> {
    let without = core.interfaces.iter().filter(|each| each.mode == NO_MODE);
    without
        .map(|each| {
            format!(
                "{} does not carry the program: {}",
                each.name,
                each.note.as_deref().unwrap_or_default()
            )
        })
        .collect()
}

fn present(core: &mut Core, interface: &Interface, link: &LinkInfo) -> InterfaceStatus {
    let target = target(interface, link);
    let known = core
        .interfaces
        .iter()
        .find(|known| known.name == target.name);
    if core.plane.carries(&target)
        && let Some(known) = known
    {
        return InterfaceStatus {
            mtu: target.mtu,
            ..known.clone()
        };
    }
    match tokio::task::block_in_place(|| core.plane.attach(&target)) {
        Ok(attached) => carries(&target, &attached),
        Err(error) => lacks(interface, Some(&target), refusal(error).to_string()),
    }
}

fn carries(target: &Target, attached: &Attached) -> InterfaceStatus {
    let mode = if attached.native { "native" } else { "generic" };
    if attached.adopted {
        log::info!("{}: program replaced under its link ({mode})", target.name);
    } else {
        log::info!("{}: program attached ({mode})", target.name);
    }
    let slow = !attached.native && target.choice == XdpChoice::Auto;
    InterfaceStatus {
        name: target.name.clone(),
        ifindex: target.ifindex,
        mode: mode.to_owned(),
        wanted: target.choice.to_string(),
        frags: attached.frags,
        mtu: target.mtu,
        note: slow.then(|| "its driver refuses native XDP: slower".to_owned()),
    }
}

fn lacks(interface: &Interface, target: Option<&Target>, why: String) -> InterfaceStatus {
    InterfaceStatus {
        name: interface.name.clone(),
        ifindex: target.map_or(0, |target| target.ifindex),
        mode: NO_MODE.to_owned(),
        wanted: interface.xdp.to_string(),
        frags: false,
        mtu: target.map_or(0, |target| target.mtu),
        note: Some(why),
    }
}
