//! Owns the links: the program on its interfaces, adopted without a gap where an earlier process
//! left one.

use std::{collections::BTreeSet, fs, io, path::Path};

use aya::programs::{
    Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};

use super::{DataPlane, DataPlaneError, bpf, load, pins};
use crate::model::XdpChoice;

/// Frames of a larger MTU do not fit the one buffer of a page (4096 less headroom 256, less
/// `skb_shared_info` 320, less the Ethernet header and two VLAN tags).
const LINEAR_MTU: u32 = 3_498;

/// An interface that carries the program now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub interface: String,
    /// Native rather than generic.
    pub native: bool,
    /// The program for frames in several buffers.
    pub frags: bool,
    /// An earlier process's link was taken over.
    pub adopted: bool,
}

/// An interface to attach to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name that the configuration has for it, and its pin.
    pub name: String,
    /// The name that the kernel has for it: another one when it was renamed.
    pub link_name: String,
    /// Its MTU.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The mode wanted.
    pub choice: XdpChoice,
    /// Its number.
    pub ifindex: u32,
    /// The XDP program it carries now, and whether natively.
    pub present: Option<(u32, bool)>,
}

impl DataPlane {
    /// Puts the program on an interface: takes over the pinned link if there is one, else makes
    /// one and pins it.
    pub fn attach(&mut self, target: &Target) -> Result<Attached, DataPlaneError> {
        let frags = target.mtu > LINEAR_MTU;
        let name = load::name(frags);
        self.ensure_loaded(name)?;
        let was_ours = self.claim(target);
        if let Some(attached) = self.adopt(target, name, frags)? {
            return Ok(attached);
        }
        let attempts: &[bool] = match target.choice {
            XdpChoice::Native => &[true],
            XdpChoice::Generic => &[false],
            XdpChoice::Auto => &[true, false],
        };
        let mut why = String::new();
        for &native in attempts {
            match self.attach_new(target, name, native) {
                Ok(()) => {
                    return Ok(Attached {
                        interface: target.name.clone(),
                        native,
                        frags,
                        adopted: false,
                    });
                }
                Err(error) => why = error,
            }
        }
        let why = match target.present {
            None => refused_mode(target, &why),
            Some((id, _)) if !was_ours => foreign(target, id),
            // What ran before goes on.
            Some((_, native)) => {
                let told = refused_mode(target, &why);
                match self.attach_new(target, name, native) {
                    Ok(()) => format!("{told}; until then it runs in the mode it had"),
                    Err(error) => format!("{told}; its old mode does not come back: {error}"),
                }
            }
        };
        Err(DataPlaneError::Interface {
            interface: target.name.clone(),
            why,
        })
    }

    /// Whether the interface's program sits there by a pinned link of ours, of this process or an
    /// earlier one.
    pub fn carries(&self, ifindex: u32, program: u32) -> bool {
        self.own_link(ifindex, program).is_some()
    }

    /// The interface that a link pinned under that name is on; `None` when it is gone.
    pub fn pinned_to(&self, name: &str) -> Option<u32> {
        let path = pins::link_path(self.pin_dir.as_ref()?, name);
        let link = bpf::xdp_link(&path).ok()??;
        (link.ifindex != 0).then_some(link.ifindex)
    }

    /// The name under which the link of an interface with that program is pinned, which is the
    /// one that the interface had when it was attached.
    fn own_link(&self, ifindex: u32, program: u32) -> Option<String> {
        let dir = self.pin_dir.as_ref()?;
        let holds = |name: &String| {
            let info = bpf::xdp_link(&pins::link_path(dir, name));
            info.is_ok_and(|info| {
                info.is_some_and(|link| (link.ifindex, link.program) == (ifindex, program))
            })
        };
        pins::linked(dir).into_iter().find(holds)
    }

    /// Whether the target carries our program; its link is pinned under its present name then.
    /// Claim all targets before one is attached to: a name may be another interface's by now, and
    /// with it the pin.
    pub fn claim(&self, target: &Target) -> bool {
        let Some((program, _)) = target.present else {
            return false;
        };
        let Some(name) = self.own_link(target.ifindex, program) else {
            return false;
        };
        if let Some(dir) = &self.pin_dir
            && name != target.name
        {
            log::info!("{name} is called {} now", target.name);
            let (from, to) = (
                pins::link_path(dir, &name),
                pins::link_path(dir, &target.name),
            );
            if let Err(error) = exchange(&from, &to) {
                log::warn!("{}: cannot be renamed: {error}", from.display());
            }
        }
        true
    }

    /// Takes the program off interfaces that are no longer wanted.
    pub fn detach_others(&mut self, wanted: &BTreeSet<String>) -> Vec<String> {
        let Some(dir) = &self.pin_dir else {
            return Vec::new();
        };
        let gone: Vec<String> = pins::linked(dir)
            .into_iter()
            .filter(|name| !wanted.contains(name))
            .collect();
        for name in &gone {
            let _already_gone = pins::remove_link(&pins::link_path(dir, name));
        }
        gone
    }

    /// Takes the program off again after a start that failed half-way.
    pub fn release(&mut self, interfaces: &[String]) {
        for name in interfaces {
            if let Some(dir) = &self.pin_dir {
                let _already_gone = pins::remove_link(&pins::link_path(dir, name));
            }
        }
    }

    fn ensure_loaded(&mut self, name: &'static str) -> Result<(), DataPlaneError> {
        let pin = self
            .pin_dir
            .as_ref()
            .map(|dir| pins::program_path(dir, name));
        let program = self.loaded(name == load::FRAGS)?;
        if let Some(path) = pin {
            // The pin is for people and tools; the links hold the program.
            let _absent = fs::remove_file(&path);
            program
                .pin(&path)
                .map_err(|error| DataPlaneError::Pins(format!("{}: {error}", path.display())))?;
        }
        Ok(())
    }

    /// Replaces the program under a pinned link (`bpf_link_update`): no packet sees a gap.
    fn adopt(
        &mut self,
        target: &Target,
        name: &str,
        frags: bool,
    ) -> Result<Option<Attached>, DataPlaneError> {
        let Some(dir) = &self.pin_dir else {
            return Ok(None);
        };
        let path = pins::link_path(dir, &target.name);
        if !path.exists() {
            return Ok(None);
        }
        let fits = match (target.choice, target.present) {
            (_, None) => false,
            (XdpChoice::Auto, Some(_)) => true,
            (XdpChoice::Native, Some((_, native))) => native,
            (XdpChoice::Generic, Some((_, native))) => !native,
        };
        let updated = if fits {
            self.update(&path, name)
        } else {
            Err("it is dead, or of another mode".to_owned())
        };
        if let Err(why) = updated {
            log::info!(
                "{}: the program cannot be replaced under the pinned link ({why}); attaching anew",
                target.name
            );
            let _already_gone = pins::remove_link(&path);
            return Ok(None);
        }
        let native = target.present.is_some_and(|(_, native)| native);
        Ok(Some(Attached {
            interface: target.name.clone(),
            native,
            frags,
            adopted: true,
        }))
    }

    fn update(&mut self, path: &Path, name: &str) -> Result<(), String> {
        let pinned = PinnedLink::from_pin(path).map_err(|error| load::chain(&error))?;
        let link = XdpLink::try_from(FdLink::from(pinned)).map_err(|error| load::chain(&error))?;
        let program = self.program(name).map_err(|error| error.to_string())?;
        let id = program
            .attach_to_link(link)
            .map_err(|error| load::chain(&error))?;
        // The pin holds the link; this process need not.
        program
            .take_link(id)
            .map(drop)
            .map_err(|error| load::chain(&error))
    }

    fn attach_new(&mut self, target: &Target, name: &str, native: bool) -> Result<(), String> {
        let mode = if native {
            XdpMode::Driver
        } else {
            XdpMode::Skb
        };
        let pin = self
            .pin_dir
            .as_ref()
            .map(|dir| pins::link_path(dir, &target.name));
        let program: &mut Xdp = self.program(name).map_err(|error| error.to_string())?;
        let id = program
            .attach(&target.link_name, mode)
            .map_err(|error| load::chain(&error))?;
        let Some(path) = pin else { return Ok(()) };
        let link = program.take_link(id).map_err(|error| load::chain(&error))?;
        let link = FdLink::try_from(link).map_err(|error| load::chain(&error))?;
        link.pin(&path)
            .map(drop)
            .map_err(|error| load::chain(&error))
    }
}

/// Gives a pin another name. A pin that has this name gets the other: two interfaces may have
/// swapped theirs.
fn exchange(from: &Path, to: &Path) -> io::Result<()> {
    if !to.exists() {
        return fs::rename(from, to);
    }
    let beside = to.with_file_name("link_%");
    fs::rename(to, &beside)?;
    fs::rename(from, to)?;
    fs::rename(&beside, from)
}

fn foreign(target: &Target, id: u32) -> String {
    format!(
        "it carries another XDP program already (id {id}); find its owner with `bpftool prog show \
         id {id}` and stop that, or take it off with `ip link set dev {} xdp off` (one that is \
         attached by a link: `bpftool link show`, then `bpftool link detach id ID`)",
        target.name
    )
}

fn refused_mode(target: &Target, why: &str) -> String {
    match target.choice {
        XdpChoice::Native => format!(
            "its driver refuses native XDP ({why}); set xdp = \"generic\" (slower) or \"auto\""
        ),
        XdpChoice::Generic | XdpChoice::Auto => format!("cannot attach: {why}"),
    }
}
