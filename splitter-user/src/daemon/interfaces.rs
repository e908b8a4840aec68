//! Owns the interfaces while the daemon runs: what each carries and what an operator must know of
//! it; the program comes back to one that was deleted and made again.

use super::{core::Core, refusal};
use crate::{
    api::types::InterfaceStatus,
    dataplane::{Attached, Target},
    model::{Interface, XdpChoice},
    net::{
        Net,
        link::{AttachedMode, LinkInfo},
    },
};

/// The mode of an interface that does not carry the program.
pub(super) const NO_MODE: &str = "none";
/// In the driver.
pub(super) const NATIVE: &str = "native";
/// On socket buffers.
pub(super) const GENERIC: &str = "generic";
/// The note of an interface that runs as another one has to.
pub(super) const BECAUSE_OF_OTHERS: &str = "generic because another interface is: slower";
/// What the note of an interface with another name begins with.
const RENAMED: &str = "is called";

/// The interface as it is now.
pub(super) fn target(interface: &Interface, link: &LinkInfo) -> Target {
    let present = link
        .xdp
        .as_ref()
        .map(|xdp| (xdp.program_id, matches!(xdp.mode, AttachedMode::Native)));
    Target {
        name: interface.name.clone(),
        link_name: link.name.clone(),
        ifindex: link.ifindex,
        mtu: link.mtu,
        up: link.up,
        choice: interface.xdp,
        present,
    }
}

/// Looks whether every interface still carries the program, and puts it back where it does not.
pub(super) async fn keep_attached(core: &mut Core, net: &Net) -> anyhow::Result<()> {
    let links = net.links().await?;
    for interface in core.config.interfaces.clone() {
        let link = links.iter().find(|link| link.name == interface.name);
        let status = match link {
            None => gone(core, &interface, &links),
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

/// Whether the program sees packets as long as they were on the wire: in its driver it does, in
/// the generic path it sees what the kernel has put together of several.
pub(super) fn wire_lengths(core: &Core) -> bool {
    !core.interfaces.iter().any(|each| each.mode == GENERIC)
}

/// What an operator must know of them.
pub(super) fn warnings(core: &Core) -> Vec<String> {
    let mut warnings = Vec::new();
    for each in &core.interfaces {
        let name = &each.name;
        let note = each.note.as_deref().unwrap_or_default();
        if each.mode == NO_MODE {
            warnings.push(format!("{name} does not carry the program: {note}"));
        } else if note.starts_with(RENAMED) {
            warnings.push(format!("{name}: {note}"));
        } else if !each.up {
            warnings.push(format!("{name} is down"));
        }
    }
    let of_mode = |mode: &'static str| core.interfaces.iter().find(|each| each.mode == mode);
    if let (Some(native), Some(generic)) = (of_mode(NATIVE), of_mode(GENERIC)) {
        warnings.push(format!(
            "{} runs natively and {} does not: a driver without native XDP mostly takes no frames \
             that a native program sends to it, and they are lost without a count; if clients time \
             out, set xdp = \"generic\" for all interfaces",
            native.name, generic.name
        ));
    }
    warnings
}

fn present(core: &mut Core, interface: &Interface, link: &LinkInfo) -> InterfaceStatus {
    let mut target = target(interface, link);
    let known = core
        .interfaces
        .iter()
        .find(|known| known.name == target.name);
    let ours = target
        .present
        .is_some_and(|(program, _)| core.plane.carries(target.ifindex, program));
    if let Some(known) = known.filter(|known| ours && known.mode != NO_MODE) {
        return InterfaceStatus {
            mtu: target.mtu,
            up: target.up,
            ..known.clone()
        };
    }
    let others = core
        .interfaces
        .iter()
        .filter(|each| each.name != target.name);
    if target.choice == XdpChoice::Auto && others.clone().any(|each| each.mode == GENERIC) {
        target.choice = XdpChoice::Generic;
    }
    match tokio::task::block_in_place(|| core.plane.attach(&target)) {
        Ok(attached) => {
            let status = carries(&target, &attached);
            let of_others = target.choice != interface.xdp;
            InterfaceStatus {
                wanted: interface.xdp.to_string(),
                note: if of_others {
                    Some(BECAUSE_OF_OTHERS.to_owned())
                } else {
                    status.note.clone()
                },
                ..status
            }
        }
        Err(error) => lacks(interface, Some(&target), refusal(error).to_string()),
    }
}

/// An interface that is not there under its name: deleted, or renamed under the program.
pub(super) fn gone(core: &Core, interface: &Interface, links: &[LinkInfo]) -> InterfaceStatus {
    let known = core
        .interfaces
        .iter()
        .find(|known| known.name == interface.name && known.mode != NO_MODE);
    let renamed = known.and_then(|known| {
        let link = links.iter().find(|link| link.ifindex == known.ifindex)?;
        Some((known, link))
    });
    match renamed {
        Some((known, link)) => InterfaceStatus {
            note: Some(format!(
                "{RENAMED} {} now and carries the program still: name it so in the configuration",
                link.name
            )),
            mtu: link.mtu,
            up: link.up,
            ..known.clone()
        },
        None => lacks(interface, None, "the interface is gone".to_owned()),
    }
}

/// The status of an interface that just got the program.
pub(super) fn carries(target: &Target, attached: &Attached) -> InterfaceStatus {
    let mode = if attached.native { NATIVE } else { GENERIC };
    if attached.adopted {
        log::info!("{}: program replaced under its link ({mode})", target.name);
    } else {
        log::info!("{}: program attached ({mode})", target.name);
    }
    let note = match (attached.native, target.choice) {
        (false, XdpChoice::Auto) if attached.adopted => {
            Some("generic since earlier, which xdp = \"native\" changes: slower")
        }
        (false, XdpChoice::Auto) => Some("its driver refuses native XDP: slower"),
        _ => None,
    };
    InterfaceStatus {
        name: target.name.clone(),
        ifindex: target.ifindex,
        mode: mode.to_owned(),
        wanted: target.choice.to_string(),
        frags: attached.frags,
        mtu: target.mtu,
        up: target.up,
        note: note.map(str::to_owned),
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
        up: target.is_some_and(|target| target.up),
        note: Some(why),
    }
}
