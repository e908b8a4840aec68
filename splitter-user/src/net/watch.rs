//! Owns the kernel's news: routes, addresses, links, and neighbours whose Ethernet address or
//! usability changes. The everyday flapping between REACHABLE and STALE is no news.

use std::{collections::HashMap, net::IpAddr};

use futures_util::StreamExt as _;
use rtnetlink::{
    MulticastGroup, new_multicast_connection,
    packet_core::NetlinkPayload,
    packet_route::{RouteNetlinkMessage, neighbour::NeighbourMessage},
};
use tokio::sync::mpsc::Sender;

use super::{
    NetError,
    hops::{address_of, is_usable, mac_of},
};

/// Something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A route or an address.
    Route,
    /// An interface.
    Link,
    /// A neighbour.
    Neighbour,
    /// News were lost: everything must be read again.
    Lost,
}

/// What was last heard of each neighbour: its Ethernet address while usable.
#[derive(Default)]
struct Memory(HashMap<(u32, IpAddr), Option<[u8; 6]>>);

impl Memory {
    /// Whether the message says something new.
    fn is_news(&mut self, entry: &NeighbourMessage, gone: bool) -> bool {
        let Some(address) = address_of(entry) else {
            return false;
        };
        let key = (entry.header.ifindex, address);
        let usable = !gone && is_usable(entry.header.state);
        let mac = if usable { mac_of(entry) } else { None };
        let before = if gone {
            self.0.remove(&key)
        } else {
            self.0.insert(key, mac)
        };
        before.flatten() != mac
    }
}

/// Tells changes until the receiver is gone. Must be polled in the network namespace's runtime.
pub async fn changes(tell: Sender<Change>) -> Result<(), NetError> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Neigh,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
    ];
    let (connection, _handle, mut messages) = new_multicast_connection(&groups)?;
    tokio::spawn(connection);
    let mut memory = Memory::default();
    while let Some((message, _)) = messages.next().await {
        let change = match message.payload {
            NetlinkPayload::InnerMessage(inner) => read(&inner, &mut memory),
            NetlinkPayload::Overrun(_) => {
                // What was heard before what was lost may be old.
                memory = Memory::default();
                Some(Change::Lost)
            }
            // Errors, acknowledgements and the library's later kinds are no news.
            _ => None,
        };
        if let Some(change) = change
            && tell.send(change).await.is_err()
        {
            break;
        }
    }
    Ok(())
}

fn read(message: &RouteNetlinkMessage, memory: &mut Memory) -> Option<Change> {
    match message {
        RouteNetlinkMessage::NewNeighbour(entry) => {
            memory.is_news(entry, false).then_some(Change::Neighbour)
        }
        RouteNetlinkMessage::DelNeighbour(entry) => {
            memory.is_news(entry, true).then_some(Change::Neighbour)
        }
        RouteNetlinkMessage::NewRoute(_)
        | RouteNetlinkMessage::DelRoute(_)
        | RouteNetlinkMessage::NewAddress(_)
        | RouteNetlinkMessage::DelAddress(_) => Some(Change::Route),
        RouteNetlinkMessage::NewLink(_) | RouteNetlinkMessage::DelLink(_) => Some(Change::Link),
        // The enum is the library's and may grow.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourState};

    fn entry(state: NeighbourState, mac: u8) -> NeighbourMessage {
        let mut entry = NeighbourMessage::default();
        entry.header.state = state;
        let address = IpAddr::from([10, 0, 0, 1]);
        entry.attributes = vec![
            NeighbourAttribute::Destination(address.into()),
            NeighbourAttribute::LinkLayerAddress(vec![mac; 6]),
        ];
        entry
    }

    #[test]
    fn only_addresses_and_usability_are_news() {
        let mut memory = Memory::default();
        assert!(memory.is_news(&entry(NeighbourState::Reachable, 1), false));
        assert!(!memory.is_news(&entry(NeighbourState::Stale, 1), false));
        assert!(memory.is_news(&entry(NeighbourState::Reachable, 2), false));
        assert!(memory.is_news(&entry(NeighbourState::Failed, 2), false));
        assert!(!memory.is_news(&entry(NeighbourState::Incomplete, 2), false));
        assert!(memory.is_news(&entry(NeighbourState::Reachable, 2), false));
        assert!(memory.is_news(&entry(NeighbourState::Reachable, 2), true));
    }
}
