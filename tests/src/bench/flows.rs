//! Owns the service that the bench commits, and the flows to it with the backends that splitter
//! decides for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use splitter_common::{
    address::{Address, Family},
    decide::{Question, decide},
};
use splitter_user::{config::parse_str, model::Config, plan::Image};

use super::layout::{Flow, TARGET_ADDRESS, TARGET_MACS, TARGET_PORT, Target};

/// The service's port.
pub(super) const PORT: u16 = 80;
/// The first client port; each client has 128 of them.
const FIRST_PORT: u16 = 1_024;
const CLIENTS: u32 = 4_096;

/// Two versions of two backends in each family.
pub(super) fn config() -> Result<Config> {
    let mut text = format!(
        "[[interface]]\nname = \"lo\"\n[service.shop]\n\
         vips = [\"203.0.113.10:{PORT}/tcp\", \"[2001:db8::10]:{PORT}/tcp\"]\n"
    );
    let backends = |first: usize| {
        let list = [Family::V4, Family::V6].map(backends).concat();
        let chosen = list.iter().skip(first).step_by(2);
        chosen
            .map(|address| format!("\"{}\"", std::net::SocketAddr::new(*address, PORT)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    text += &format!(
        "[service.shop.version.stable]\nbaseline = true\nbackends = [{}]\n\
         [service.shop.version.canary]\nweight = \"10%\"\nbackends = [{}]\n",
        backends(0),
        backends(1)
    );
    Ok(parse_str("bench.toml", &text)?)
}

pub(super) fn backends(family: Family) -> Vec<IpAddr> {
    let host = |last: u8| match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 2, 0, last)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, last.into())),
    };
    (11..15).map(host).collect()
}

/// The VIP, and an address that is none.
pub(super) fn vips(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (
            Ipv4Addr::new(203, 0, 113, 10).into(),
            Ipv4Addr::new(198, 51, 100, 9).into(),
        ),
        Family::V6 => (
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99).into(),
        ),
    }
}

/// An address as its halfwords stand in a frame.
fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(v4) => [u64::from(u32::from_ne_bytes(v4.octets())), 0],
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let word = |at: usize| {
                let bytes: [u8; 8] = std::array::from_fn(|index| octets[at + index]);
                u64::from_ne_bytes(bytes)
            };
            [word(0), word(8)]
        }
    }
}

pub(super) fn target(address: IpAddr, port: u16) -> Target {
    let mut target: Target = [0; 6];
    target[TARGET_ADDRESS..TARGET_ADDRESS + 2].copy_from_slice(&words(address));
    target[TARGET_PORT] = u64::from(port.to_be());
    target[TARGET_MACS] = 2;
    target
}

/// One of the usual flows, with the backend that splitter decides for it.
pub(super) fn flow(family: Family, index: u32, image: &Image) -> Result<Flow> {
    let host = index % CLIENTS;
    let port = FIRST_PORT + (index / CLIENTS) as u16;
    let client: IpAddr = match family {
        Family::V4 => Ipv4Addr::from(0x0a64_0000 + host).into(),
        Family::V6 => Ipv6Addr::new(0xfd64, 0, 0, host as u16, 0, 0, 0, 1).into(),
    };
    flow_of(family, client, port, image)
}

/// The flow of a client and its port.
pub(super) fn flow_of(family: Family, client: IpAddr, port: u16, image: &Image) -> Result<Flow> {
    let service = image.services.values().next().context("no service")?;
    let question = Question {
        client: Address::from(client),
        client_port: port,
        port: PORT,
        protocol: 6,
    };
    let decided = decide(&service.row, &question, 0);
    let table = &service.tables[&(decided.version, family as usize)];
    let backend = image.backends[&u32::from(table[decided.cell as usize])];
    let (client, backend_address) = (words(client), IpAddr::from(backend.address));
    let backend_words = words(backend_address);
    let ports = u64::from(port.to_be()) | u64::from(backend.port.to_be()) << 16;
    Ok([
        client[0],
        client[1],
        backend_words[0],
        backend_words[1],
        ports,
        0,
    ])
}
