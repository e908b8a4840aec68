//! Owns decisions about new flows: the split law, and weighted Maglev inside the version.
//!
//! What is hashed, and with which derived key, is stated here once more: hosts of different
//! releases must agree on it.

use std::{collections::BTreeMap, hash::Hasher as _, net::IpAddr};

use siphasher::sip::SipHasher13;
use splitter_user::{
    model::{Affinity, Backend, Protocol, Service, SplitKey, Version},
    secret::Secret,
};

use super::{Client, TCP, segments};

/// DESIGN, "Backend inside the version": the smallest that is at least 100 x backends.
const SIZES: [usize; 5] = [251, 1_021, 4_093, 16_381, 65_521];
/// 100 % in parts per million.
const WHOLE: u64 = 1_000_000;

/// A derived key.
type Key = (u64, u64);

/// What a service does with a new flow.
pub(super) struct Law {
    service: Service,
    salt: Key,
    backend_key: Key,
    /// By position of the version and whether the family is IPv6: cells as positions in the
    /// version's list of backends.
    tables: BTreeMap<(usize, bool), Vec<usize>>,
}

impl Law {
    pub(super) fn new(service: &Service, secret: &Secret) -> Self {
        let derive = |purpose: &str, parts: &[&str]| {
            let key = secret.derive(purpose, parts);
            (key.k0, key.k1)
        };
        let salt = match &service.salt_group {
            Some(group) => derive("salt of a group", &[group, &service.release]),
            None => derive("salt of a service", &[&service.name, &service.release]),
        };
        let mut tables = BTreeMap::new();
        for (position, version) in service.versions.iter().enumerate() {
            let key = derive("table", &[&service.name, &version.name]);
            for is_v6 in [false, true] {
                if let Some(cells) = table(version, is_v6, key) {
                    tables.insert((position, is_v6), cells);
                }
            }
        }
        Self {
            salt,
            backend_key: derive("backend", &[&service.name]),
            tables,
            service: service.clone(),
        }
    }

    /// The version and backend of a new flow; `None` when its version has no backend.
    pub(super) fn decide(
        &self,
        client: &Client,
        dialled: u16,
        protocol: u8,
    ) -> Option<(&Version, &Backend)> {
        let position = self.version_of(self.place(client, dialled, protocol), client);
        let version = &self.service.versions[position];
        let cells = self.tables.get(&(position, client.address.is_ipv6()))?;
        let hash = self.backend_hash(client, dialled, protocol);
        // The hash is a fraction of 2^32; the cell is that fraction of the table.
        let cell = u64::from(hash) * cells.len() as u64 / (1 << 32);
        Some((version, &version.backends[cells[cell as usize]]))
    }

    /// The version that a flow belongs to.
    pub(super) fn version(&self, client: &Client, dialled: u16, protocol: u8) -> &Version {
        let position = self.version_of(self.place(client, dialled, protocol), client);
        &self.service.versions[position]
    }

    /// The client's place `u` on the line 0 .. 2^32: a keyed hash of what `key` names.
    fn place(&self, client: &Client, dialled: u16, protocol: u8) -> u32 {
        self.client_hash(client, dialled, protocol) as u32
    }

    /// The bit by which it is remembered for what the client was counted: the hash's other half.
    pub(super) fn once_bit(&self, client: &Client, dialled: u16, protocol: u8) -> u32 {
        (self.client_hash(client, dialled, protocol) >> 32) as u32
    }

    /// DESIGN, section 6: hash-assigned clients alone are judged, and of three versions those whom the
    /// third never reached; `third` is the largest weight that it has had.
    pub(super) fn is_judged(
        &self,
        (client, dialled): (&Client, u16),
        protocol: u8,
        third: u64,
    ) -> bool {
        let place = u64::from(self.place(client, dialled, protocol));
        !segments::is_forced(&self.service, client.address) && place < edge(WHOLE - third)
    }

    /// Whether answers are read as HTTP.
    pub(super) fn is_http(&self) -> bool {
        self.service.http1
    }

    fn client_hash(&self, client: &Client, dialled: u16, protocol: u8) -> u64 {
        let message = match self.service.key {
            SplitKey::Client => message(leading(client.address, 32, 64), None),
            SplitKey::Client24 => message(leading(client.address, 24, 48), None),
            SplitKey::Flow => message(
                octets(client.address),
                Some((client.port, dialled, protocol)),
            ),
        };
        hash(self.salt, &message)
    }

    /// The hash that picks the backend, under its own key: independent of the place.
    fn backend_hash(&self, client: &Client, dialled: u16, protocol: u8) -> u32 {
        let l4 = if protocol == TCP {
            Protocol::Tcp
        } else {
            Protocol::Udp
        };
        // DESIGN: flow by default for TCP, client for UDP.
        let default = match l4 {
            Protocol::Tcp => Affinity::Flow,
            Protocol::Udp => Affinity::Client,
        };
        let message = match self.service.affinity.unwrap_or(default) {
            Affinity::Client => message(leading(client.address, 32, 64), None),
            Affinity::Flow => message(
                octets(client.address),
                Some((client.port, dialled, protocol)),
            ),
        };
        hash(self.backend_key, &message) as u32
    }

    /// DESIGN, "Split law": the first non-baseline version grows from 0 upward, the second from
    /// the top downward, the baseline lies between, further versions follow the first.
    fn version_of(&self, u: u32, client: &Client) -> usize {
        let weights = segments::weights(&self.service, client.address);
        let weights = weights.into_iter().enumerate();
        let others: Vec<(usize, u64)> = weights
            .filter_map(|(position, weight)| Some((position, weight?)))
            .collect();
        let u = u64::from(u);
        let mut until = 0;
        for (nth, (position, weight)) in others.iter().enumerate() {
            if nth == 1 {
                continue;
            }
            until += weight;
            if u < edge(until) {
                return *position;
            }
        }
        if let Some((position, weight)) = others.get(1)
            && u >= edge(WHOLE - weight)
        {
            return *position;
        }
        let baseline = self
            .service
            .versions
            .iter()
            .position(|version| version.baseline);
        baseline.unwrap_or_default()
    }
}

/// Where so many parts per million of the line end, to the nearest step.
fn edge(ppm: u64) -> u64 {
    let exact = u128::from(ppm) << 32;
    ((exact + u128::from(WHOLE) / 2) / u128::from(WHOLE)) as u64
}

/// Sixteen bytes of address, then what tells flows of one client apart, little-endian.
fn message(address: [u8; 16], flow: Option<(u16, u16, u8)>) -> [u8; 24] {
    let mut message = [0; 24];
    message[..16].copy_from_slice(&address);
    if let Some((client_port, dialled, protocol)) = flow {
        message[16..18].copy_from_slice(&client_port.to_le_bytes());
        message[18..20].copy_from_slice(&dialled.to_le_bytes());
        message[20] = protocol;
    }
    message
}

/// In network order, IPv4 as `::ffff:a.b.c.d`.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address with all but its leading bits cleared.
fn leading(address: IpAddr, bits_v4: u32, bits_v6: u32) -> [u8; 16] {
    let bits = if address.is_ipv4() {
        96 + bits_v4
    } else {
        bits_v6
    };
    let number = u128::from_be_bytes(octets(address));
    (number >> (128 - bits) << (128 - bits)).to_be_bytes()
}

fn hash((k0, k1): Key, message: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(k0, k1);
    hasher.write(message);
    hasher.finish()
}

/// Weighted Maglev (NSDI 2016, section 3.4) over a version's backends of one family; `None`
/// without a backend that takes new flows. Each backend walks the table by a permutation of its
/// own; the heaviest takes its next free cell in every round, the others as often as their weight
/// allows; within a round they go by the hash of their identity.
fn table(version: &Version, is_v6: bool, key: Key) -> Option<Vec<usize>> {
    struct Walker {
        position: usize,
        weight: usize,
        order: u64,
        walk: Box<dyn Iterator<Item = usize>>,
        taken: usize,
    }
    let members = version.backends.iter().enumerate();
    let members: Vec<(usize, &Backend)> = members
        .filter(|(_, backend)| backend.address.is_ipv6() == is_v6)
        .collect();
    let size = *SIZES
        .iter()
        .find(|size| **size >= 100 * members.len())
        .unwrap_or(&SIZES[4]);
    let mut walkers: Vec<Walker> = members
        .iter()
        .map(|(position, backend)| {
            let mut identity = octets(backend.address).to_vec();
            identity.extend(backend.port.unwrap_or(0).to_be_bytes());
            let order = hash(key, &identity);
            let offset = (order % size as u64) as usize;
            let skip = (hash((!key.0, !key.1), &identity) % (size as u64 - 1)) as usize + 1;
            Walker {
                position: *position,
                weight: usize::from(backend.weight),
                order,
                walk: Box::new((0..).map(move |step| (offset + step * skip) % size)),
                taken: 0,
            }
        })
        .collect();
    walkers.sort_by_key(|walker| walker.order);
    let heaviest = walkers
        .iter()
        .map(|walker| walker.weight)
        .max()
        .filter(|weight| *weight > 0)?;
    let mut cells = vec![None; size];
    let mut left = size;
    for round in 1.. {
        for walker in &mut walkers {
            if round * walker.weight < (walker.taken + 1) * heaviest {
                continue;
            }
            let free = walker.walk.find(|cell| cells[*cell].is_none());
            cells[free?] = Some(walker.position);
            walker.taken += 1;
            left -= 1;
            if left == 0 {
                return cells.into_iter().collect();
            }
        }
    }
    None
}
