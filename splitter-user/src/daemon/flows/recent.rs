//! Owns who was seen lately: the clients of the flows that stand in the table of established flows, open
//! or over.
//!
//! Invariant: only answered handshakes enter that table, so that no flood of forged addresses is among
//! them; it drops what was silent for longest. A look takes [`MOST`] flows at most and says of which part
//! of the table they are.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use splitter_common::{
    address::Address,
    clock::Jiffies,
    decide::Question,
    flow::{Entry, Table, law},
    layout::FlowKey,
};

use super::{
    beside, own,
    pick::{Filter, FlowState, Owners},
};
use crate::{
    api::Refusal,
    daemon::core::{Core, Daemon},
    dataplane::FlowTable,
    model::{Protocol, SplitKey},
};

/// Flows of the services that are meant that a look takes.
const MOST: usize = 131_072;
/// Flows that one system call takes.
const PART: usize = 4_096;

/// One who was seen, as the split law tells clients apart.
#[derive(Clone, Copy, Debug)]
pub(in crate::daemon) struct Recent {
    /// The flow that was seen last.
    key: FlowKey,
    protocol: Protocol,
    /// The backend of that.
    pub(in crate::daemon) backend: u32,
    /// The device class that it was decided by.
    device: u8,
    /// How long ago, in jiffies.
    idle: u32,
    /// Open flows.
    pub(in crate::daemon) open: u64,
    /// All that stand in the table.
    pub(in crate::daemon) flows: u64,
}

impl Recent {
    /// How long ago it was seen, in jiffies; to sort by.
    pub(in crate::daemon) const fn last_seen(&self) -> u32 {
        self.idle
    }

    /// The device class of its last flow, for when none stands for it any more.
    pub(in crate::daemon) const fn device(&self) -> u8 {
        self.device
    }

    /// What the split law is asked for.
    pub(in crate::daemon) const fn question(&self) -> Question {
        Question {
            client: self.key.client,
            client_port: self.key.client_port,
            port: self.key.port,
            protocol: self.protocol.number(),
        }
    }
}

/// Those of one service.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Recents {
    clients: HashMap<(Address, u64), Recent>,
    /// Open flows by backend.
    pub(in crate::daemon) open: HashMap<u32, u64>,
}

impl Recents {
    /// All of them.
    pub(in crate::daemon) fn iter(&self) -> impl Iterator<Item = &Recent> {
        self.clients.values()
    }

    fn add(&mut self, client: (Address, u64), flow: Recent) {
        *self.open.entry(flow.backend).or_default() += flow.open;
        let known = self.clients.entry(client).or_insert(Recent {
            open: 0,
            flows: 0,
            ..flow
        });
        let (open, flows) = (known.open + flow.open, known.flows + flow.flows);
        if flow.idle < known.idle {
            *known = flow;
        }
        (known.open, known.flows) = (open, flows);
    }
}

/// What a look has found.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Seen {
    by_service: HashMap<u16, Recents>,
    /// Jiffies in a second.
    hz: u32,
    /// The part of the table that was looked at, in percent.
    pub(in crate::daemon) sampled_percent: f64,
}

impl Seen {
    /// Those of a service by its number; `None` where none was seen.
    pub(in crate::daemon) fn of(&self, service: u16) -> Option<&Recents> {
        self.by_service.get(&service)
    }

    /// How long ago somebody was seen, in seconds.
    pub(in crate::daemon) fn idle_s(&self, recent: &Recent) -> f64 {
        f64::from(recent.idle) / f64::from(self.hz.max(1))
    }
}

/// All that a look needs.
struct Look {
    filter: Filter,
    keys: HashMap<u16, SplitKey>,
    table: FlowTable,
    now: law::Now,
}

/// Who of a service was seen lately, or of every one.
pub(in crate::daemon) async fn look(
    daemon: &Daemon,
    service: Option<&str>,
) -> Result<Seen, Refusal> {
    let _one_at_a_time = daemon.walks.lock().await;
    let look = prepare(&mut *daemon.core.lock().await, service)?;
    beside(move |stop| look.take(stop)).await
}

fn prepare(core: &mut Core, service: Option<&str>) -> Result<Look, Refusal> {
    if let Some(name) = service {
        core.service(name)?;
    }
    let (mut owners, mut keys) = (Owners::default(), HashMap::new());
    for configured in &core.config.services {
        if service.is_some_and(|name| name != configured.name) {
            continue;
        }
        let given = core.state.numbers.service(&configured.name);
        let given = given.map_err(Refusal::internal)?;
        own(&mut owners, given, &core.plane);
        keys.insert(given.number, configured.key);
    }
    let jiffies = Jiffies(core.plane.jiffies().map_err(Refusal::internal)?).low();
    Ok(Look {
        filter: Filter {
            owners,
            client: None,
        },
        keys,
        table: core.plane.maps().flow_table(Table::Established).clone(),
        now: law::Now {
            jiffies,
            hz: core.plane.hz(),
        },
    })
}

impl Look {
    fn take(&self, stop: &dyn Fn() -> bool) -> io::Result<Seen> {
        let mut seen = Seen {
            hz: self.now.hz,
            ..Seen::default()
        };
        let (mut met, mut twice) = (0, HashSet::new());
        let mut walk = self.table.walk(0, PART);
        let mut whole = true;
        loop {
            let by_keys = !walk.tells_buckets();
            let more = walk.next(|key, element| {
                let Some((entry, protocol)) = self.filter.met(key, element) else {
                    return;
                };
                // Walked key by key, a flow may be met twice.
                if by_keys && !twice.insert(*key) {
                    return;
                }
                let Some(split) = self.keys.get(&entry.service) else {
                    return;
                };
                met += 1;
                let of = seen.by_service.entry(entry.service).or_default();
                of.add(client(*split, key), self.recent(key, &entry, protocol));
            })?;
            if !more || stop() {
                break;
            }
            // Walked key by key nobody knows which part it is: all of it is met then.
            if met >= MOST && walk.tells_buckets() {
                whole = walk.bucket().is_none();
                break;
            }
        }
        let part = match walk.bucket() {
            Some(bucket) if !whole => f64::from(bucket) / f64::from(self.table.buckets()),
            Some(_) | None => 1.0,
        };
        seen.sampled_percent = part * 100.0;
        Ok(seen)
    }

    fn recent(&self, key: &FlowKey, entry: &Entry, protocol: Protocol) -> Recent {
        let state = FlowState::of(entry, Table::Established, protocol, 0, self.now);
        Recent {
            key: *key,
            protocol,
            backend: entry.backend,
            device: entry.traits.device() as u8,
            idle: self.now.jiffies.since(entry.seen),
            open: u64::from(state.is_some_and(|state| state != FlowState::Closing)),
            flows: 1,
        }
    }
}

/// Who is assigned as one.
pub(super) const fn client(key: SplitKey, flow: &FlowKey) -> (Address, u64) {
    match key {
        SplitKey::Client => (flow.client.prefix(32, 64), 0),
        SplitKey::Client24 => (flow.client.prefix(24, 48), 0),
        SplitKey::Flow => (
            flow.client,
            flow.client_port as u64 | (flow.port as u64) << 16 | (flow.frontend as u64) << 32,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(client: &str, client_port: u16) -> FlowKey {
        let address: std::net::IpAddr = client.parse().expect("an address");
        FlowKey {
            client: Address::from(address),
            client_port,
            frontend: 1,
            port: 80,
            zero: 0,
        }
    }

    #[test]
    fn the_unit_of_the_split_is_the_client() {
        let of = |split, address: &str, port| client(split, &key(address, port));
        let (one, other) = ("10.0.0.1", "10.0.0.2");
        assert_eq!(of(SplitKey::Client, one, 1), of(SplitKey::Client, one, 2));
        assert_ne!(of(SplitKey::Client, one, 1), of(SplitKey::Client, other, 1));
        let wide = SplitKey::Client24;
        assert_eq!(of(wide, one, 1), of(wide, other, 2));
        assert_ne!(of(SplitKey::Flow, one, 1), of(SplitKey::Flow, one, 2));
        let v6 = ["2001:db8::1", "2001:db8::2"].map(|one| of(SplitKey::Client, one, 1));
        assert_eq!(v6[0], v6[1]);
    }

    #[test]
    fn a_client_is_as_its_last_flow_was_and_has_all_of_them() {
        let mut recents = Recents::default();
        let flow = |port, backend, idle, open| Recent {
            device: 0,
            key: key("10.0.0.1", port),
            protocol: Protocol::Tcp,
            backend,
            idle,
            open,
            flows: 1,
        };
        for each in [flow(1, 7, 50, 1), flow(2, 8, 20, 0), flow(3, 7, 90, 1)] {
            recents.add(client(SplitKey::Client, &each.key), each);
        }
        let seen: Vec<&Recent> = recents.iter().collect();
        let [one] = seen[..] else {
            panic!("one client: {seen:?}");
        };
        assert_eq!((one.backend, one.idle, one.open, one.flows), (8, 20, 2, 3));
        assert_eq!(one.key.client_port, 2);
        assert_eq!((recents.open[&7], recents.open[&8]), (2, 0));
    }
}
