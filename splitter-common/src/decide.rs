//! Owns the decision about a new flow: client -> segment -> version (split law) -> cell of the
//! version's table. Pure: the XDP program, `explain` and the tests call it with the same row.

use core::hint::black_box;

use crate::{
    address::{Address, is_zero, select},
    capacity::MAX_VERSIONS,
    hash::{HashKey, siphash13_of_three, spread},
    layout::{ServiceRow, TableRef},
    packet::TCP,
};

/// Who asks for what; ports in native order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// Client address.
    pub client: Address,
    /// Client port.
    pub client_port: u16,
    /// Dialled port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// What a service answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The keyed hash of the client.
    pub u: u32,
    /// What [`Question::once_bit`] says of it.
    pub once: u32,
    /// The place of the client among the service's segments; 0: in none.
    pub place: usize,
    /// Index of the version that the client belongs to; below eight.
    pub assigned: usize,
    /// Index of the version that serves it: the same, but for a fail-safe.
    pub version: usize,
    /// 1 when the flow is judged, see [`crate::evidence`]; else 0.
    pub judged: u64,
    /// The version's table for the client's family; 0 cells when it has no backend.
    pub table: TableRef,
    /// The cell of the table; below `table.cells` unless that is 0.
    pub cell: u32,
}

impl Question {
    #[inline(always)]
    const fn flow_word(&self) -> u64 {
        self.client_port as u64 | (self.port as u64) << 16 | (self.protocol as u64) << 32
    }

    /// The bit that remembers what a client was counted for, before it is masked, see
    /// [`crate::evidence`]. It says nothing of the client's place.
    #[inline(always)]
    pub fn once_bit(&self, row: &ServiceRow) -> u32 {
        self.client_hash(row)[1]
    }

    /// The two halves of the keyed hash of whom the service assigns, which are independent: the place on the
    /// line of the split law, and [`Self::once_bit`].
    #[inline(always)]
    fn client_hash(&self, row: &ServiceRow) -> [u32; 2] {
        // A row has 0, 1 or 2; see `layout::SplitKey`. Its bits choose without branches, of which
        // each would make the verifier walk the hash once more.
        let (by_24, by_flow) = (row.key as u64 & 1, row.key as u64 >> 1 & 1);
        let (client, wider) = (self.client.masks(32, 64), self.client.masks(24, 48));
        let mask =
            |word: usize| select(by_flow, u64::MAX, select(by_24, wider[word], client[word]));
        let [a, b] = self.client.0;
        let flow = select(by_flow, self.flow_word(), 0);
        let HashKey { k0, k1 } = row.salt;
        let hash = siphash13_of_three(k0, k1, a & mask(0), b & mask(1), flow);
        [hash as u32, (hash >> 32) as u32]
    }

    /// The hash that picks the backend; independent of [`Self::client_hash`] by its key.
    #[inline(always)]
    fn backend_hash(&self, row: &ServiceRow) -> u32 {
        let affinity = if self.protocol == TCP {
            row.affinity_tcp
        } else {
            row.affinity_udp
        };
        // 0 or 1; see `layout::Affinity`.
        let by_client = affinity as u64 & 1;
        let client = self.client.masks(32, 64);
        let mask = |word: usize| select(by_client, client[word], u64::MAX);
        let [a, b] = self.client.0;
        let flow = select(by_client, 0, self.flow_word());
        let HashKey { k0, k1 } = row.backend_key;
        siphash13_of_three(k0, k1, a & mask(0), b & mask(1), flow) as u32
    }
}

/// Decides about a new flow of a client of whom `conditions` hold, see [`crate::segment`].
#[inline(always)]
pub fn decide(row: &ServiceRow, question: &Question, conditions: u32) -> Decision {
    decide_watched(row, question, conditions, true)
}

/// The same, on a host whose daemon may have died: when it no longer watches a supervised release
/// (the lease has run out), new flows go to the baseline where the service's row says so.
#[inline(always)]
pub fn decide_watched(
    row: &ServiceRow,
    question: &Question,
    conditions: u32,
    watched: bool,
) -> Decision {
    let [u, once] = question.client_hash(row);
    let place = row.segments.place_of(conditions);
    let assigned = row.cuts[place].version_of(u);
    // The row has 0 or 1; see `layout::ServiceRow::fail_safe`.
    let falls_back = row.fail_safe as u64 & 1 & !(watched as u64);
    let version = select(falls_back, row.baseline as u64, assigned as u64);
    // The mask is for verifiers before 6.10, which lose all bounds at `^`; the compiler would put it
    // before the choice.
    let version = black_box(version) as usize & (MAX_VERSIONS - 1);
    let family = question.client.v6_flag() as usize & 1;
    let table = row.versions[version].tables[family];
    let judged = (row.ledger != 0) as u64
        & is_zero(place as u64)
        & is_zero(version as u64 ^ assigned as u64)
        & (u <= row.judged_until) as u64
        & is_zero(row.versions[version].empty[family] as u64);
    let cell = spread(question.backend_hash(row), table.cells);
    Decision {
        u,
        once,
        place,
        assigned,
        version,
        judged,
        table,
        cell,
    }
}
