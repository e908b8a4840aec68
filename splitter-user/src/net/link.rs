//! Owns what a link message says of an interface.

use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkMessage, LinkXdp, Prop, XdpAttached,
};

/// How an XDP program sits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// On socket buffers.
    Generic,
    /// In the network card.
    Hardware,
    /// Several at once.
    Multiple,
}

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedXdp {
    /// How.
    pub mode: AttachedMode,
    /// The program's id; 0 when the kernel does not say.
    pub program_id: u32,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Its name.
    pub name: String,
    /// Its other names (`ip link property add dev NAME altname OTHER`).
    pub other_names: Vec<String>,
    /// Its number.
    pub ifindex: u32,
    /// Its Ethernet address.
    pub mac: Option<[u8; 6]>,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Its XDP program.
    pub xdp: Option<AttachedXdp>,
}

impl LinkInfo {
    /// From a message; `None` when it has no name.
    pub(super) fn read(message: &LinkMessage) -> Option<Self> {
        let mut info = Self {
            name: String::new(),
            other_names: Vec::new(),
            ifindex: message.header.index,
            mac: None,
            mtu: 0,
            up: message.header.flags.contains(LinkFlags::Up),
            xdp: None,
        };
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(name) = attribute {
                info.name.clone_from(name);
            } else if let LinkAttribute::Address(address) = attribute {
                info.mac = address.as_slice().try_into().ok();
            } else if let LinkAttribute::Mtu(mtu) = attribute {
                info.mtu = *mtu;
            } else if let LinkAttribute::Xdp(xdp) = attribute {
                info.xdp = attached(xdp);
            } else if let LinkAttribute::PropList(properties) = attribute {
                info.other_names = properties.iter().filter_map(other_name).collect();
            }
        }
        (!info.name.is_empty()).then_some(info)
    }

    /// Whether that is one of its names.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.other_names.iter().any(|other| other == name)
    }
}

fn other_name(property: &Prop) -> Option<String> {
    match property {
        Prop::AltIfName(name) => Some(name.clone()),
        // The enum is the library's and may grow.
        _ => None,
    }
}

fn attached(attributes: &[LinkXdp]) -> Option<AttachedXdp> {
    let mut mode = None;
    let mut program_id = 0;
    for attribute in attributes {
        if let LinkXdp::Attached(attached) = attribute {
            mode = match attached {
                XdpAttached::Driver => Some(AttachedMode::Native),
                XdpAttached::SocketBuffer => Some(AttachedMode::Generic),
                XdpAttached::Hardware => Some(AttachedMode::Hardware),
                XdpAttached::Multiple => Some(AttachedMode::Multiple),
                XdpAttached::None | XdpAttached::Other(_) => None,
                // The enum is the library's and may grow.
                _ => None,
            };
        } else if let LinkXdp::ProgId(id) = attribute {
            program_id = *id;
        }
    }
    mode.map(|mode| AttachedXdp { mode, program_id })
}
