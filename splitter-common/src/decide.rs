//! Owns the decision about a new flow: client -> version (split law) -> cell of the version's
//! table. Pure: the XDP program, `explain` and the tests call it with the same row.

use crate::{
    address::{Address, Family},
    hash::{siphash13_words, spread},
    layout::{Affinity, ServiceRow, SplitKey, TableRef},
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
    /// Index of the version; below eight.
    pub version: usize,
    /// The version's table for the client's family; 0 cells when it has no backend.
    pub table: TableRef,
    /// The cell of the table; below `table.cells` unless that is 0.
    pub cell: u32,
}

impl SplitKey {
    /// From the byte of a row; unknown ones count as `Client`.
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Client24,
            2 => Self::Flow,
            _ => Self::Client,
        }
    }

    /// The address that is hashed.
    #[inline(always)]
    pub const fn unit(self, client: Address) -> Address {
        match self {
            Self::Client => client.prefix(32, 64),
            Self::Client24 => client.prefix(24, 48),
            Self::Flow => client,
        }
    }
}

impl Question {
    #[inline(always)]
    const fn flow_word(&self) -> u64 {
        self.client_port as u64 | (self.port as u64) << 16 | (self.protocol as u64) << 32
    }

    /// The client's place on the line of the split law.
    #[inline(always)]
    pub fn place(&self, row: &ServiceRow) -> u32 {
        let key = SplitKey::from_byte(row.key);
        let [a, b] = key.unit(self.client).0;
        let flow = if matches!(key, SplitKey::Flow) {
            self.flow_word()
        } else {
            0
        };
        siphash13_words(row.salt, [a, b, flow]) as u32
    }

    /// The hash that picks the backend; independent of [`Self::place`] by its key.
    #[inline(always)]
    fn backend_hash(&self, row: &ServiceRow) -> u32 {
        let affinity = if self.protocol == TCP {
            row.affinity_tcp
        } else {
            row.affinity_udp
        };
        let (client, flow) = if affinity == Affinity::Client as u8 {
            (self.client.prefix(32, 64), 0)
        } else {
            (self.client, self.flow_word())
        };
        let [a, b] = client.0;
        siphash13_words(row.backend_key, [a, b, flow]) as u32
    }
}

/// Decides about a new flow.
#[inline(always)]
pub fn decide(row: &ServiceRow, question: &Question) -> Decision {
    let u = question.place(row);
    let version = row.cuts.version_of(u);
    let family = match question.client.family() {
        Family::V4 => 0,
        Family::V6 => 1,
    };
    let table = row.versions[version].tables[family];
    let cell = spread(question.backend_hash(row), table.cells);
    Decision {
        u,
        version,
        table,
        cell,
    }
}
