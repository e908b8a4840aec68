//! Owns the cases: which packets a case drives, and as what splitter must have counted them.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use splitter_common::{address::Family, reason::Reason};

use super::layout::{FRAME_SENDER, Frame, V4_HALFWORDS, V6_HALFWORDS};
use crate::packet;

/// A kind of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// The client's ACK on an established flow.
    Established,
    /// The backend's ACK on an established flow.
    Reply,
    /// To an address that is no VIP.
    NonVip,
    /// A SYN that begins a flow.
    New,
    /// SYN, SYN-ACK, ACK of a flow that begins; the ACK carries FIN, so that the next SYN of these
    /// ports begins another. A figure is that of all three packets.
    Handshake,
    /// As `Handshake`, but the flow stays: what makes flows established before they are measured.
    Establish,
}

/// Those that are measured.
const MEASURED: [Case; 5] = [
    Case::Established,
    Case::Reply,
    Case::NonVip,
    Case::New,
    Case::Handshake,
];

/// The names of all cases that are measured.
pub fn names() -> [&'static str; MEASURED.len()] {
    MEASURED.map(Case::name)
}

/// The templates, by their number.
#[derive(Clone, Copy, Debug)]
enum Template {
    Syn = 0,
    SynAck = 1,
    LastAck = 2,
    Ack = 3,
    Reply = 4,
    Other = 5,
}

impl Case {
    /// As the figures call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Reply => "reply",
            Self::NonVip => "non-vip",
            Self::New => "new",
            Self::Handshake => "handshake",
            Self::Establish => "establish",
        }
    }

    /// The one of these [`names`].
    pub(super) fn named(name: &str) -> Option<Self> {
        MEASURED.into_iter().find(|case| case.name() == name)
    }

    /// The numbers of the templates of one flow's packets.
    pub(super) fn steps(self) -> Vec<u64> {
        let steps: &[Template] = match self {
            Self::Established => &[Template::Ack],
            Self::Reply => &[Template::Reply],
            Self::NonVip => &[Template::Other],
            Self::New => &[Template::Syn],
            Self::Handshake => &[Template::Syn, Template::SynAck, Template::LastAck],
            Self::Establish => &[Template::Syn, Template::SynAck, Template::Ack],
        };
        steps.iter().map(|step| *step as u64).collect()
    }

    /// The reasons under which splitter counts the packets of one flow, one each.
    pub(super) const fn reasons(self) -> &'static [Reason] {
        match self {
            Self::Established => &[Reason::Established],
            Self::Reply => &[Reason::Reply],
            Self::NonVip => &[Reason::NotOurs],
            Self::New => &[Reason::NewFlow],
            Self::Handshake | Self::Establish => {
                &[Reason::NewFlow, Reason::Reply, Reason::Handshake]
            }
        }
    }
}

/// As the figures call a family.
pub(super) const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

/// The bytes of a frame of a family.
pub(super) const fn frame_bytes(family: Family) -> usize {
    match family {
        Family::V4 => 2 * V4_HALFWORDS,
        Family::V6 => 2 * V6_HALFWORDS,
    }
}

/// All templates of a family, by their numbers. Ends are replaced by the driver.
pub(super) fn templates(family: Family, vip: IpAddr, other: IpAddr) -> Result<Vec<Frame>> {
    let (client, backend) = match family {
        Family::V4 => ("10.100.0.1", "10.2.0.11"),
        Family::V6 => ("fd64::1", "fd02::11"),
    };
    let (client, backend): (IpAddr, IpAddr) = (client.parse()?, backend.parse()?);
    let from_client = |to: IpAddr, flags: &str| template(family, client, to, flags, 0);
    let from_backend = |flags: &str| template(family, backend, client, flags, 1);
    Ok(vec![
        from_client(vip, "SYN seq 1")?,
        from_backend("SYN,ACK seq 5000 ack 2")?,
        from_client(vip, "FIN,ACK seq 2 ack 5001")?,
        from_client(vip, "ACK seq 2 ack 5001")?,
        from_backend("ACK seq 5001 ack 2")?,
        from_client(other, "ACK seq 2 ack 5001")?,
    ])
}

fn template(
    family: Family,
    source: IpAddr,
    destination: IpAddr,
    tcp: &str,
    sender: u16,
) -> Result<Frame> {
    let line = format!(
        "{} > {} tcp {tcp}",
        SocketAddr::new(source, 80),
        SocketAddr::new(destination, 80)
    );
    let end = |text: &str| {
        let socket: SocketAddr = text.parse()?;
        Ok((socket.ip(), socket.port()))
    };
    let mut bytes = packet::Frame::parse(&line, end)?.bytes();
    bytes.resize(frame_bytes(family), 0);
    let mut frame: Frame = [0; FRAME_SENDER + 4];
    for (halfword, pair) in frame.iter_mut().zip(bytes.chunks_exact(2)) {
        *halfword = u16::from_ne_bytes([pair[0], pair[1]]);
    }
    frame[FRAME_SENDER] = sender;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_its_case() {
        for name in names() {
            assert_eq!(Case::named(name).map(Case::name), Some(name));
        }
        assert_eq!(Case::named("establish"), None, "it is no measurement");
    }
}
