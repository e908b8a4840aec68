//! Owns which elements of the flow tables are flows, whose they are, and in what state: pure.
//!
//! Invariant: what the packet path would not use is no flow. The rule is the engine's (`alive` in
//! `splitter_common::engine`) and the flow law's, said once for all who read the tables from here.

use std::collections::HashMap;

use ipnet::IpNet;
use splitter_common::{
    flow::{Entry, Table, entry::state, law},
    layout::{FlowEntry, FlowKey},
};

use crate::{model::Protocol, plan::numbers::ServiceNumbers};

/// The state of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::daemon) enum FlowState {
    /// Its handshake is complete, its datagrams are answered.
    Established,
    /// Not yet.
    Pending,
    /// A RST or a FIN was seen.
    Closing,
    /// It was met in the middle and goes on by decision.
    Adopted,
    /// Its service decides otherwise by now: it goes on until its time is up.
    Leaving,
}

impl FlowState {
    /// All.
    pub(in crate::daemon) const ALL: [Self; 5] = [
        Self::Established,
        Self::Closing,
        Self::Adopted,
        Self::Leaving,
        Self::Pending,
    ];

    /// As it is shown.
    pub(in crate::daemon) const fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Pending => "pending",
            Self::Closing => "closing",
            Self::Adopted => "adopted",
            Self::Leaving => "leaving",
        }
    }

    /// The state of an entry that was found in `table`; `None` when the packet path would not use
    /// it: a number that it names has had another owner since (`born` is the younger of the
    /// frontend's and the backend's birth), its life is over, it was cut, or it never was a client's.
    pub(in crate::daemon) fn of(
        entry: &Entry,
        table: Table,
        protocol: Protocol,
        born: u32,
        now: law::Now,
    ) -> Option<Self> {
        let over = match protocol {
            Protocol::Tcp => law::is_over(entry, now),
            Protocol::Udp => {
                entry.state & state::OWN != 0
                    || law::datagram(*entry, law::udp_life_s(table), now).is_none()
            }
        };
        if entry.generation < born || over || entry.state & state::CUT != 0 {
            return None;
        }
        Some(if entry.state & (state::RST | state::FIN) != 0 {
            Self::Closing
        } else if entry.state & state::LEAVING != 0 {
            Self::Leaving
        } else if entry.state & state::ADOPTED != 0 {
            Self::Adopted
        } else {
            match table {
                Table::Pending => Self::Pending,
                Table::Established => Self::Established,
            }
        })
    }
}

/// A VIP of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frontend {
    born: u32,
    protocol: Protocol,
}

/// Who owns the numbers that flows name, as the kernel has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    frontends: HashMap<u16, Frontend>,
    backends: HashMap<u32, u32>,
}

impl Owners {
    /// Adds a service's numbers; `born` tells when the kernel's rows of a frontend and of a backend
    /// were born.
    pub(super) fn add(
        &mut self,
        given: &ServiceNumbers,
        frontend_born: impl Fn(u32) -> u32,
        backend_born: impl Fn(u32) -> u32,
    ) {
        for vip in &given.applied.vips {
            if let Ok(number) = given.frontend(vip) {
                let frontend = Frontend {
                    born: frontend_born(u32::from(number.number)),
                    protocol: vip.protocol,
                };
                self.frontends.insert(number.number, frontend);
            }
        }
        for backend in given.backends.values().flat_map(|all| all.values()) {
            let born = backend_born(backend.number);
            self.backends.insert(backend.number, born);
        }
    }
}

/// An element that is a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Where it stands.
    pub(super) table: Table,
    /// Its key.
    pub(super) key: FlowKey,
    /// What stands there.
    pub(super) entry: Entry,
    /// Its state.
    pub(super) state: FlowState,
}

/// Which flows are meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Those of these numbers.
    pub(super) owners: Owners,
    /// Only of clients in here.
    pub(super) client: Option<IpNet>,
}

impl Filter {
    /// What was once a flow of an owner of today, over or not, and its protocol: who was here lately.
    pub(super) fn met(&self, key: &FlowKey, element: &FlowEntry) -> Option<(Entry, Protocol)> {
        let frontend = self.owners.frontends.get(&key.frontend)?;
        let entry = Entry::unpack(element, key.tag())?;
        let backend_born = self.owners.backends.get(&entry.backend)?;
        let is_ours = entry.generation >= frontend.born.max(*backend_born);
        (is_ours && entry.state & state::OWN == 0).then_some((entry, frontend.protocol))
    }

    /// The element as a flow, if it is one that is meant.
    pub(super) fn pick(
        &self,
        table: Table,
        key: &FlowKey,
        element: &FlowEntry,
        now: law::Now,
    ) -> Option<Found> {
        let frontend = self.owners.frontends.get(&key.frontend)?;
        if let Some(net) = &self.client
            && !net.contains(&std::net::IpAddr::from(key.client))
        {
            return None;
        }
        let entry = Entry::unpack(element, key.tag())?;
        let backend_born = self.owners.backends.get(&entry.backend)?;
        let born = frontend.born.max(*backend_born);
        let state = FlowState::of(&entry, table, frontend.protocol, born, now)?;
        Some(Found {
            table,
            key: *key,
            entry,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitter_common::{address::Address, clock::Jiffies32, evidence::Mark, flow::hop::NO_HOP};

    const NOW: law::Now = law::Now {
        jiffies: Jiffies32(1_000_000),
        hz: 100,
    };

    /// An entry with these marks.
    macro_rules! entry {
        ($state:expr, $idle_s:expr) => {
            Entry {
                generation: 7,
                backend: 3,
                service: 1,
                version: 0,
                mark: Mark::default(),
                state: $state,
                checked: 7,
                seen: Jiffies32(NOW.jiffies.0 - $idle_s * NOW.hz),
                began: Jiffies32(5),
                client_seq: 0,
                server_seq: 0,
                syn_us: 0,
                once: 0,
                traits: splitter_common::traits::Traits::NONE,
            }
        };
    }

    #[test]
    fn the_state_is_what_the_packet_path_would_do() {
        let tcp = |table, entry: Entry| FlowState::of(&entry, table, Protocol::Tcp, 7, NOW);
        let (established, pending) = (Table::Established, Table::Pending);
        let fin = state::FIN_SERVER;
        for (table, entry, wanted) in [
            (established, entry!(0, 9_000), Some(FlowState::Established)),
            (pending, entry!(0, 0), Some(FlowState::Pending)),
            (pending, entry!(state::ADOPTED, 0), Some(FlowState::Adopted)),
            (
                established,
                entry!(state::ADOPTED | fin, 200),
                Some(FlowState::Closing),
            ),
            // 240 s after a FIN, 10 s after a RST.
            (established, entry!(fin, 241), None),
            (
                established,
                entry!(state::RST_CLIENT, 9),
                Some(FlowState::Closing),
            ),
            (established, entry!(state::RST_CLIENT, 11), None),
            // A backend's own connection.
            (established, entry!(state::OWN, 0), None),
            (
                established,
                entry!(state::LEAVING | state::ADOPTED, 0),
                Some(FlowState::Leaving),
            ),
            (established, entry!(state::CUT, 0), None),
        ] {
            assert_eq!(tcp(table, entry), wanted, "{entry:?}");
        }
        let udp = |table, entry: Entry| FlowState::of(&entry, table, Protocol::Udp, 7, NOW);
        for (table, entry, wanted) in [
            (established, entry!(0, 119), Some(FlowState::Established)),
            (established, entry!(0, 121), None),
            (pending, entry!(0, 29), Some(FlowState::Pending)),
            (pending, entry!(0, 31), None),
            (established, entry!(state::OWN, 0), None),
        ] {
            assert_eq!(udp(table, entry), wanted, "{entry:?}");
        }
        let young = FlowState::of(&entry!(0, 0), established, Protocol::Tcp, 8, NOW);
        assert_eq!(young, None, "older than a number's birth");
    }

    #[test]
    fn only_flows_that_are_meant_are_picked() {
        let key = |client: &str, frontend| FlowKey {
            client: Address::from(client.parse::<std::net::IpAddr>().expect("an address")),
            client_port: 5_000,
            frontend,
            port: 80,
            zero: 0,
        };
        let owners = Owners {
            frontends: [(4, 6), (5, 8)]
                .map(|(number, born)| {
                    let protocol = Protocol::Tcp;
                    (number, Frontend { born, protocol })
                })
                .into(),
            backends: [(3, 7)].into(),
        };
        let all = Filter {
            owners: owners.clone(),
            client: None,
        };
        let picked = |filter: &Filter, key: FlowKey, entry: Entry| {
            let element = entry.pack(Table::Established, key.tag(), NO_HOP);
            let found = filter.pick(Table::Established, &key, &element, NOW);
            found.map(|found| (found.key, found.state))
        };
        let (fresh, one) = (entry!(0, 1), key("10.0.0.1", 4));
        assert_eq!(
            picked(&all, one, fresh),
            Some((one, FlowState::Established))
        );
        assert_eq!(picked(&all, key("10.0.0.1", 6), fresh), None, "no such VIP");
        assert_eq!(
            picked(&all, key("10.0.0.1", 5), fresh),
            None,
            "the VIP is younger"
        );
        let other = Entry {
            backend: 4,
            ..fresh
        };
        assert_eq!(picked(&all, one, other), None, "no such backend");
        let recycled = fresh.pack(Table::Established, key("10.0.0.2", 4).tag(), NO_HOP);
        assert!(all.pick(Table::Established, &one, &recycled, NOW).is_none());
        let of = |net: &str| Filter {
            owners: owners.clone(),
            client: Some(net.parse().expect("a prefix")),
        };
        assert!(picked(&of("10.0.0.0/24"), one, fresh).is_some());
        assert!(picked(&of("10.0.1.0/24"), one, fresh).is_none());
        let v6 = key("2001:db8::1", 4);
        assert!(picked(&of("2001:db8::/64"), v6, fresh).is_some());
        assert!(picked(&of("0.0.0.0/0"), v6, fresh).is_none());
    }
}
